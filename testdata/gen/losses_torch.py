#!/usr/bin/python3
"""Makes testdata/golden/losses.json: values and gradients of the losses.

Run from the repository's root with Debian 12's python3 (PyTorch 1.13, NumPy 1.24):

    /usr/bin/python3 testdata/gen/losses_torch.py

Everything is float64. Activations are written channels last, [N, H, W, C], and
reach PyTorch channels first. The attention loss is that of the authors'
program (utils.py: at and at_loss) with the map left open, and of the paper's
equation 2 without beta.
"""
import json
import os

import numpy as np
import torch
import torch.nn.functional as F

SEED = 11
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "losses.json")

rng = np.random.RandomState(SEED)


def draw(*shape, scale=1.0):
    """Normal values of five decimals, so that the file holds them exactly."""
    return torch.tensor(np.round(rng.randn(*shape) * scale, 5), dtype=torch.float64)


def tensor(t):
    return {"shape": list(t.shape), "data": [float("%.13g" % v) for v in t.detach().reshape(-1).tolist()]}


def case(name, loss, inputs, config, f):
    """inputs[0] is the student's; its gradient is written."""
    x = inputs[0].clone().requires_grad_(True)
    value = f(x, *inputs[1:])
    (grad,) = torch.autograd.grad(value, x)
    return {
        "name": name,
        "loss": loss,
        "config": config,
        "inputs": [tensor(i) for i in inputs],
        "value": float("%.15g" % value.item()),
        "gradient": tensor(grad)["data"],
    }


def ce(smoothing):
    return lambda z, t: F.cross_entropy(z, t, label_smoothing=smoothing)


def kd(temperature):
    def f(z, teacher):
        p = F.log_softmax(z / temperature, dim=1)
        q = F.softmax(teacher / temperature, dim=1)
        return F.kl_div(p, q, reduction="batchmean") * temperature ** 2

    return f


MAPS = {
    "sum": lambda a, p: a.abs().sum(1),
    "sum^p": lambda a, p: a.abs().pow(p).sum(1),
    "max^p": lambda a, p: a.abs().pow(p).max(1)[0],
}


def normalised(q, size):
    q = F.adaptive_avg_pool2d(q.unsqueeze(1), size).squeeze(1)
    return F.normalize(q.reshape(q.size(0), -1))


def attention(form, kind, power):
    def f(tap, teacher):
        q = MAPS[kind](tap.permute(0, 3, 1, 2), power)
        size = (min(q.size(1), teacher.size(1)), min(q.size(2), teacher.size(2)))
        d = normalised(q, size) - normalised(teacher, size)
        if form == "code":
            return d.pow(2).mean()
        return d.pow(2).sum(1).sqrt().mean() / 2

    return f


def gradient(w1, w2, image, labels, teacher):
    """Equation of section 3.2 for logits = W2 (W1 x)^2, without beta; differentiated by W1."""
    x = image.clone().requires_grad_(True)
    logits = (x.reshape(x.size(0), -1) @ w1.T).pow(2) @ w2.T
    # The sum over samples: each one's gradient is of its own cross-entropy.
    (j,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), x, create_graph=True)
    return (j - teacher).reshape(x.size(0), -1).norm(dim=1).mean() / 2


def main():
    cases = []

    z, labels = draw(3, 5, scale=2), torch.tensor([4, 0, 2])
    hot = F.one_hot(labels, 5).to(torch.float64)
    soft = torch.tensor([[0.5, 0.25, 0.125, 0.125, 0], [0.25, 0.25, 0, 0.5, 0], [0, 0, 1, 0, 0]], dtype=torch.float64)
    for name, t, s in [("labels", hot, 0), ("labels, smoothed", hot, 0.1), ("probabilities", soft, 0), ("probabilities, smoothed", soft, 0.25)]:
        cases.append(case("CE of " + name, "ce", [z, t], {"smoothing": s}, ce(s)))
    # PyTorch's two ways of giving labels agree, so the file may hold one.
    for s in (0, 0.1):
        assert torch.allclose(ce(s)(z, hot), F.cross_entropy(z, labels, label_smoothing=s), atol=1e-14, rtol=0)

    teacher = draw(3, 5, scale=3)
    for t in (1, 2.5, 4):
        cases.append(case("KD at temperature %g" % t, "kd", [z, teacher], {"temperature": t}, kd(t)))

    tap = draw(2, 3, 4, 3)
    teachers = {
        "of one size": draw(2, 3, 4).abs(),
        "with a larger teacher, in even bins": draw(2, 6, 8).abs(),
        "with a smaller teacher, in uneven bins": draw(2, 2, 3).abs(),
        "with a teacher larger one way and smaller the other": draw(2, 5, 3).abs(),
    }
    for form in ("code", "paper"):
        for where, t in teachers.items():
            for kind in ("sum", "sum^p", "max^p"):
                config = {"form": form, "map": kind, "power": 2}
                cases.append(case("AT, %s form, %s, %s" % (form, kind, where), "at", [tap, t], config, attention(form, kind, 2)))
    t = teachers["with a larger teacher, in even bins"]
    for kind, power in (("sum^p", 3), ("sum^p", 4), ("max^p", 1)):
        config = {"form": "code", "map": kind, "power": power}
        cases.append(case("AT, code form, %s with power %g" % (kind, power), "at", [tap, t], config, attention("code", kind, power)))
    # The authors' own lines, for the case they cover.
    at = lambda x: F.normalize(x.pow(2).mean(1).view(x.size(0), -1))
    s, t = tap.permute(0, 3, 1, 2), draw(2, 6, 3, 4)
    assert torch.allclose((at(s) - at(t)).pow(2).mean(), attention("code", "sum^p", 2)(tap, t.pow(2).sum(1)), atol=1e-14, rtol=0)
    config = {"form": "code", "map": "sum^p", "power": 2}
    cases.append(case("AT, code form, a teacher normalised already", "at", [tap, normalised(t.pow(2).sum(1), (3, 4)).reshape(2, 3, 4)], config,
                      attention("code", "sum^p", 2)))

    operands = [draw(5, 12, scale=0.3), draw(3, 5), draw(2, 2, 3, 2), F.one_hot(torch.tensor([2, 0]), 3).to(torch.float64), draw(2, 2, 3, 2, scale=0.5)]
    cases.append(case("gradient, by the weights of a layer", "gradient", operands, {}, gradient))

    with open(OUT, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
