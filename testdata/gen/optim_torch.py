"""Golden values for student/optim from PyTorch's optimisers and schedulers.

Run from the repository root with Debian's Python (torch 1.13):

    /usr/bin/python3 testdata/gen/optim_torch.py

Writes testdata/golden/optim.json: three small float32 parameters, their
gradients for eight steps, and for each optimiser the parameters after each
step and the final running averages; for each scheduler the learning rate of
each step.
"""
import json
import warnings

import numpy as np
import torch
from torch.optim import lr_scheduler as sched

warnings.filterwarnings("ignore")  # schedulers complain about runs without optimiser steps
SEED, STEPS = 7, 8
NAMES = ["conv.weight", "bn.scale", "dense.weight"]
SHAPES = [(2, 3), (4,), (3, 2)]
DECAY = [True, False, True]  # the optimiser's weight decay applies


def short(a):
    """A tensor as the shortest decimals that read back as the same float32."""
    return [float(str(np.float32(v))) for v in a.detach().numpy().ravel()]


def inputs():
    g = torch.Generator().manual_seed(SEED)
    weights = [torch.randn(s, generator=g) for s in SHAPES]
    # Gradients of very different sizes, so that clipping acts on some steps only.
    grads = [[torch.randn(s, generator=g) * (0.2, 3.0, 0.01, 1.0)[t % 4] for s in SHAPES] for t in range(STEPS)]
    lrs = [0.1 / (1 + t % 3) for t in range(STEPS)]
    return weights, grads, lrs


OPTIMISERS = {
    "plain SGD": ("sgd", dict()),
    "plain SGD with decay and clipping": ("sgd", dict(weight_decay=0.05, clip=1.0)),
    "SGD with momentum": ("sgd", dict(momentum=0.9)),
    "SGD with momentum, decay and clipping": ("sgd", dict(momentum=0.9, weight_decay=5e-2, clip=0.5)),
    "SGD with Nesterov momentum and decay": ("sgd", dict(momentum=0.8, nesterov=True, weight_decay=5e-2)),
    "AdamW with defaults and no decay": ("adamw", dict(weight_decay=0.0)),
    "AdamW with decay": ("adamw", dict(weight_decay=0.3)),
    "AdamW with other betas, epsilon, decay and clipping": (
        "adamw", dict(betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1, clip=0.7)),
}


def optimise(rule, kw):
    weights, grads, lrs = inputs()
    kw = dict(kw)
    clip, decay = kw.pop("clip", 0.0), kw.pop("weight_decay", 0.0)
    params = [w.clone().requires_grad_() for w in weights]
    groups = [dict(params=[p], weight_decay=decay if d else 0.0) for p, d in zip(params, DECAY)]
    opt = (torch.optim.SGD if rule == "sgd" else torch.optim.AdamW)(groups, lr=1.0, **kw)
    out, norms = [], []
    for t in range(STEPS):
        for p, g in zip(params, grads[t]):
            p.grad = g.clone()
        norms.append(float(torch.cat([g.ravel().double() for g in grads[t]]).norm()))
        if clip:
            torch.nn.utils.clip_grad_norm_(params, clip)
        for group in opt.param_groups:
            group["lr"] = lrs[t]
        opt.step()
        out.append([short(p) for p in params])
    state = {}
    for name, p in zip(NAMES, params):
        for key, value in opt.state[p].items():
            if torch.is_tensor(value) and value.ndim:  # not the step count
                state[{"momentum_buffer": "momentum"}.get(key, key) + "/" + name] = short(value)
    betas = kw.get("betas", (0, 0))
    return dict(rule=rule, momentum=kw.get("momentum", 0.0), nesterov=kw.get("nesterov", False),
                beta1=betas[0], beta2=betas[1], eps=kw.get("eps", 0.0), weight_decay=decay, clip=clip,
                weights=out, norms=norms, state=state)


def rates(total, make):
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4, momentum=0.9)
    s = make(opt)
    out = []
    for t in range(total):
        if t:
            s.step()
        out.append(opt.param_groups[0]["lr"])
    return out


def warm(opt, w, then):
    """w steps of linear warm-up, then another scheduler."""
    first = sched.LinearLR(opt, start_factor=1 / (w + 1), end_factor=1.0, total_iters=w)
    return sched.SequentialLR(opt, [first, then(opt)], milestones=[w])


def one_cycle(opt, total, **kw):
    return sched.OneCycleLR(opt, max_lr=0.4, total_steps=total, cycle_momentum=False, **kw)


def schedules():
    return {
        "constant": (7, lambda o: sched.ConstantLR(o, factor=1.0)),
        "constant after warm-up": (10, lambda o: warm(o, 3, lambda o: sched.ConstantLR(o, factor=1.0))),
        "step at 60, 120 and 160 of 200 epochs": (40, lambda o: sched.MultiStepLR(o, [12, 24, 32], gamma=0.2)),
        "step at half and nine tenths": (10, lambda o: sched.MultiStepLR(o, [5, 9], gamma=0.1)),
        # Milestones of SequentialLR count from the warm-up's end, ours from the start: 9 and 15.
        "step after warm-up": (20, lambda o: warm(o, 4, lambda o: sched.MultiStepLR(o, [5, 11], gamma=0.3))),
        "cosine to zero": (16, lambda o: sched.CosineAnnealingLR(o, T_max=16)),
        "cosine to a tenth after warm-up": (
            20, lambda o: warm(o, 5, lambda o: sched.CosineAnnealingLR(o, T_max=15, eta_min=0.04))),
        "one-cycle with defaults": (50, lambda o: one_cycle(o, 50)),
        "one-cycle whose rise ends between steps": (
            17, lambda o: one_cycle(o, 17, pct_start=0.25, div_factor=10.0, final_div_factor=100.0)),
        "linear one-cycle": (23, lambda o: one_cycle(o, 23, pct_start=0.4, anneal_strategy="linear")),
        "one-cycle whose rise is shorter than a step": (5, lambda o: one_cycle(o, 5, pct_start=0.1)),
        "one-cycle that only rises": (6, lambda o: one_cycle(o, 6, pct_start=1.0)),
    }


def main():
    torch.set_num_threads(1)
    weights, grads, lrs = inputs()
    golden = dict(
        names=NAMES, shapes=SHAPES, decay=DECAY, lrs=lrs,
        weights=[short(w) for w in weights], grads=[[short(g) for g in step] for step in grads],
        optimisers={name: optimise(*c) for name, c in OPTIMISERS.items()},
        schedules={name: rates(total, make) for name, (total, make) in schedules().items()},
    )
    with open("testdata/golden/optim.json", "w") as f:
        json.dump(golden, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
