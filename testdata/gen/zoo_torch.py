#!/usr/bin/python3
"""Writes golden/zoo.json: sizes and values of the student architectures.

    /usr/bin/python3 testdata/gen/zoo_torch.py > testdata/golden/zoo.json

The networks are written out here from the papers, in PyTorch functions over a
table of parameters, apart from the Go code. `sizes` holds parameter counts and
multiply-accumulates; `values` holds, for small cases in float64, the logits in
inference and in training, the running statistics after the training pass (of
more than 64 channels their sum and 2-norm alone), the cross entropy (labels 0, 1, 2 ... modulo the classes), and for each parameter
the sum and the 2-norm of its gradient.

Nothing is drawn at random: element i of a tensor is a hash of i and of the
tensor's name, so that Go makes the same tensors (zoo_test.go, `fillFor`).
Weights are kept as [out, h, w, in] and images as [n, h, w, c], as in Go.

Written for Debian's python3-torch 1.13.1 and NumPy 1.24.
"""

import json
import zlib

import numpy as np
import torch
import torch.nn.functional as F


def noise(name, count):
    """count numbers in [-0.5, 0.5)."""
    x = np.arange(count, dtype=np.uint32) + np.uint32(zlib.crc32(name.encode()))
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x.astype(np.float64) / 2**32 - 0.5


class Net:
    def __init__(self, training):
        self.training, self.params, self.running, self.macs = training, {}, {}, 0

    def tensor(self, name, shape, scale, offset):
        v = torch.tensor(offset + scale * noise(name, int(np.prod(shape))).reshape(shape))
        self.params[name] = v.requires_grad_()
        return v

    def conv(self, name, x, out, k, stride, groups=1):
        fan = x.shape[1] // groups * k * k
        w = self.tensor(name + "/weight", (out, k, k, x.shape[1] // groups), 2 * (6 / fan) ** 0.5, 0)
        y = F.conv2d(x, w.permute(0, 3, 1, 2), stride=stride, padding=k // 2, groups=groups)
        self.macs += y[0].numel() * fan
        return y

    def bn(self, name, x):
        c = x.shape[1]
        scale = self.tensor(name + "/scale", (c,), 0.4, 1)
        shift = self.tensor(name + "/shift", (c,), 0.4, 0)
        r = noise(name + "/running", 2 * c)
        mean, var = torch.tensor(0.4 * r[:c]), torch.tensor(1 + 0.8 * r[c:])
        y = F.batch_norm(x, mean, var, scale, shift, self.training, 0.1, 1e-5)
        both = torch.cat((mean, var))
        self.running[name + "/running"] = both.tolist() if c <= 64 else [float(both.sum()), float(both.norm())]
        return y

    def dense(self, name, x, out):
        w = self.tensor(name + "/weight", (out, x.shape[1]), 2 * (6 / x.shape[1]) ** 0.5, 0)
        b = self.tensor(name + "/bias", (out,), 0.2, 0)
        self.macs += w.numel()
        return F.linear(x, w, b)

    def wrn(self, x, classes, depth, k):
        x = self.conv("conv", x, 16, 3, 1)
        for g in range(3):
            out = int(16 * k) * 2**g
            for i in range((depth - 4) // 6):
                name, stride = f"group{g+1}/block{i+1}/", 2 if g > 0 and i == 0 else 1
                a = F.relu(self.bn(name + "bn1", x))
                y = self.conv(name + "conv1", a, out, 3, stride)
                y = self.conv(name + "conv2", F.relu(self.bn(name + "bn2", y)), out, 3, 1)
                x = y + (x if x.shape[1] == out else self.conv(name + "shortcut", a, out, 1, stride))
        return self.dense("classifier", F.relu(self.bn("bn", x)).mean((2, 3)), classes)

    def resnet(self, x, classes, depth):
        x = F.relu(self.bn("bn", self.conv("conv", x, 16, 3, 1)))
        for g in range(3):
            out = 16 * 2**g
            for i in range((depth - 2) // 6):
                name, stride = f"group{g+1}/block{i+1}/", 2 if g > 0 and i == 0 else 1
                y = F.relu(self.bn(name + "bn1", self.conv(name + "conv1", x, out, 3, stride)))
                y = self.bn(name + "bn2", self.conv(name + "conv2", y, out, 3, 1))
                if x.shape[1] != out:
                    x = self.bn(name + "shortcut_bn", self.conv(name + "shortcut", x, out, 1, stride))
                x = F.relu(y + x)
        return self.dense("classifier", x.mean((2, 3)), classes)

    def mobilenetv2(self, x, classes, width):
        def channels(c):
            n = max(8, int(c * width + 4) // 8 * 8)
            return n + 8 if n < 0.9 * c * width else n

        x = F.relu(self.bn("bn", self.conv("conv", x, channels(32), 3, 1)))
        # Table 2 of the paper, t, c, n and s in one row per group of one
        # resolution; s is 1 instead of 2 in the second row.
        for g, rows in enumerate([[(1, 16, 1, 1), (6, 24, 2, 1)], [(6, 32, 3, 2)], [(6, 64, 4, 2), (6, 96, 3, 1)], [(6, 160, 3, 2), (6, 320, 1, 1)]]):
            strides = [(t, c, s if i == 0 else 1) for t, c, n, s in rows for i in range(n)]
            for i, (t, c, s) in enumerate(strides):
                name, y, wide = f"group{g+1}/block{i+1}/", x, t * x.shape[1]
                if t > 1:
                    y = F.relu(self.bn(name + "expand_bn", self.conv(name + "expand", y, wide, 1, 1)))
                y = F.relu(self.bn(name + "depthwise_bn", self.conv(name + "depthwise", y, wide, 3, s, wide)))
                y = self.bn(name + "project_bn", self.conv(name + "project", y, channels(c), 1, 1))
                x = y + x if y.shape == x.shape else y
        last = channels(1280) if width > 1 else 1280
        x = F.relu(self.bn("head_bn", self.conv("head", x, last, 1, 1)))
        return self.dense("classifier", x.mean((2, 3)), classes)


def run(name, h, w, c, classes, batch, training):
    net = Net(training)
    x = torch.tensor(2 * noise("image", batch * h * w * c).reshape(batch, h, w, c)).permute(0, 3, 1, 2)
    family, *numbers = name.split("-")
    if family == "wrn":
        return net, net.wrn(x, classes, int(numbers[0]), float(numbers[1]))
    if family == "mobilenetv2":
        return net, net.mobilenetv2(x, classes, float(numbers[0]))
    return net, net.resnet(x, classes, int(numbers[0]))


sizes, values = [], []
for name, h, w, c, classes in [
    ("wrn-10-0.5", 32, 32, 3, 10),
    ("wrn-16-1", 32, 32, 3, 10),
    ("wrn-16-1", 28, 28, 1, 10),
    ("wrn-16-1", 33, 17, 4, 7),
    ("wrn-16-2", 32, 32, 3, 10),
    ("wrn-16-2", 64, 64, 3, 200),
    ("wrn-40-1", 32, 32, 3, 10),
    ("wrn-40-2", 32, 32, 3, 10),
    ("wrn-40-2", 32, 32, 3, 100),
    ("resnet-8", 96, 96, 3, 10),
    ("resnet-20", 32, 32, 3, 10),
    ("resnet-56", 32, 32, 3, 10),
    ("mobilenetv2-1", 32, 32, 3, 10),
    ("mobilenetv2-0.35", 32, 32, 3, 100),
    ("mobilenetv2-1.4", 33, 17, 1, 7),
]:
    net, _ = run(name, h, w, c, classes, 1, False)
    params = sum(p.numel() for p in net.params.values())
    sizes.append(dict(name=name, image=[h, w, c], classes=classes, params=params, macs=net.macs))
for name, h, w, c, classes, batch in [("wrn-10-0.5", 9, 12, 3, 5, 3), ("wrn-16-1", 8, 8, 1, 10, 2), ("resnet-8", 7, 5, 2, 4, 3), ("mobilenetv2-0.1", 11, 9, 3, 5, 3)]:
    _, logits = run(name, h, w, c, classes, batch, False)
    net, trained = run(name, h, w, c, classes, batch, True)
    loss = F.cross_entropy(trained, torch.arange(batch) % classes)
    loss.backward()
    gradients = {n: [float(p.grad.sum()), float(p.grad.norm())] for n, p in net.params.items()}
    values.append(
        dict(
            name=name, image=[h, w, c], classes=classes, batch=batch, logits=logits.flatten().tolist(),
            training=trained.flatten().tolist(), loss=loss.item(), running=net.running, gradients=gradients,
        )
    )
# One line per case keeps the file small and its differences readable.
line = lambda d: json.dumps(d, separators=(",", ":"))
print('{"sizes":[\n' + ",\n".join(map(line, sizes)) + '\n],"values":[\n' + ",\n".join(map(line, values)) + "\n]}")
