#!/usr/bin/python3
"""Makes testdata/golden/ops.json: values and derivatives of the network operators.

Run from the repository's root with Debian 12's python3 (PyTorch 1.13, NumPy 1.24):

    /usr/bin/python3 testdata/gen/ops_torch.py

Operands are not stored: element i of operand k is ((3i² + 7i + 5k) mod 23 - 11)/8,
which both sides make exactly, with ties for the pooling. Operands and results
are channels last ([N, H, W, C], weights [K, R, S, C/groups]) and reach PyTorch
channels first. Gradients are those of sum(y·g), where g is the next operand.
Everything is float64.
"""
import json
import os

import numpy as np
import torch
import torch.nn.functional as F

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "ops.json")


def operand(k, *shape):
    """Operand number k, channels last."""
    i = np.arange(int(np.prod(shape)), dtype=np.int64)
    return torch.tensor((((3 * i * i + 7 * i + 5 * k) % 23 - 11) / 8.0).reshape(shape), dtype=torch.float64)


def first(t):
    return t.permute(0, 3, 1, 2).contiguous() if t.dim() == 4 else t


def last(t):
    return t.permute(0, 2, 3, 1).contiguous() if t.dim() == 4 else t


def numbers(t):
    return [float("%.12g" % v) for v in last(t.detach()).reshape(-1).tolist()]


def gradients(y, k, *wrt):
    """dwrt of sum(y·g) with g operand number k."""
    return torch.autograd.grad(y, wrt, first(operand(k, *last(y).shape)), create_graph=True)


def conv(name, x, w, stride=(1, 1), dilation=(1, 1), pad=(0, 0, 0, 0), groups=1):
    a = first(operand(0, *x)).requires_grad_(True)
    b = first(operand(1, *w)).requires_grad_(True)
    top, left, bottom, right = pad
    y = F.conv2d(F.pad(a, (left, right, top, bottom)), b, stride=stride, dilation=dilation, groups=groups)
    dx, dw = gradients(y, 2, a, b)
    return {"op": "Conv2D", "name": name, "x": x, "w": w, "stride": stride, "dilation": dilation, "pad": pad,
            "groups": groups, "y": numbers(y), "dx": numbers(dx), "dw": numbers(dw)}


def dense(name, n, i, o):
    a, b = operand(0, n, i).requires_grad_(True), operand(1, o, i).requires_grad_(True)
    y = F.linear(a, b)
    dx, dw = gradients(y, 2, a, b)
    return {"op": "Dense", "name": name, "x": [n, i], "w": [o, i], "y": numbers(y), "dx": numbers(dx), "dw": numbers(dw)}


def norm(name, x, eps, momentum):
    """Training: also the running statistics after one batch, which begin as
    operand 6 plus 2, and the derivative of sum(dx·v), v being operand 4."""
    c = x[-1]
    a = first(operand(0, *x)).requires_grad_(True)
    scale, shift = operand(1, c).requires_grad_(True), operand(2, c).requires_grad_(True)
    mean, var = (operand(6, 2, c) + 2).clone()
    y = F.batch_norm(a, mean, var, scale, shift, training=True, momentum=momentum, eps=eps)
    dx, dscale, dshift = gradients(y, 3, a, scale, shift)
    d2x, d2scale = gradients(dx, 4, a, scale)
    return {"op": "BatchNorm", "name": name, "x": x, "eps": eps, "momentum": momentum, "y": numbers(y), "dx": numbers(dx),
            "dscale": numbers(dscale), "dshift": numbers(dshift), "running": numbers(torch.stack([mean, var])),
            "d2x": numbers(d2x), "d2scale": numbers(d2scale)}


def inference(name, x, eps):
    c = x[-1]
    a = first(operand(0, *x)).requires_grad_(True)
    scale, shift = operand(1, c).requires_grad_(True), operand(2, c).requires_grad_(True)
    mean, var = operand(6, 2, c) + 2
    y = F.batch_norm(a, mean, var, scale, shift, training=False, eps=eps)
    dx, dscale, dshift = gradients(y, 3, a, scale, shift)
    return {"op": "BatchNormInference", "name": name, "x": x, "eps": eps, "y": numbers(y), "dx": numbers(dx),
            "dscale": numbers(dscale), "dshift": numbers(dshift)}


def pool(op, name, x, kernel, stride=None, pad=(0, 0), ceil=False, include=False):
    a = first(operand(0, *x)).requires_grad_(True)
    if op == "MaxPool":
        y = F.max_pool2d(a, kernel, stride or kernel, pad, ceil_mode=ceil)
    else:
        y = F.avg_pool2d(a, kernel, stride or kernel, pad, ceil_mode=ceil, count_include_pad=include)
    (dx,) = gradients(y, 1, a)
    return {"op": op, "name": name, "x": x, "kernel": kernel, "stride": stride or kernel,
            "pad": [pad[0], pad[1], pad[0], pad[1]], "ceil": ceil, "include": include, "y": numbers(y), "dx": numbers(dx)}


def globally(name, x):
    a = first(operand(0, *x)).requires_grad_(True)
    y = F.adaptive_avg_pool2d(a, 1).flatten(1)
    (dx,) = gradients(y, 1, a)
    return {"op": "GlobalAveragePool", "name": name, "x": x, "y": numbers(y), "dx": numbers(dx)}


CASES = [
    conv("3x3, same size", [2, 5, 4, 3], [4, 3, 3, 3], pad=(1, 1, 1, 1)),
    conv("3x3, stride 2, odd size", [1, 7, 5, 3], [5, 3, 3, 3], stride=(2, 2), pad=(1, 1, 1, 1)),
    conv("3x3, stride 2, even size", [1, 6, 6, 3], [2, 3, 3, 3], stride=(2, 2), pad=(1, 1, 1, 1)),
    conv("1x1", [2, 3, 3, 4], [5, 1, 1, 4]),
    conv("1x1, stride 2", [1, 5, 4, 4], [3, 1, 1, 4], stride=(2, 2)),
    conv("padding that differs on every side", [1, 4, 5, 2], [3, 3, 3, 2], pad=(2, 0, 1, 3)),
    conv("dilation 2", [1, 7, 7, 2], [3, 3, 3, 2], dilation=(2, 2), pad=(2, 2, 2, 2)),
    conv("dilation and stride", [1, 9, 8, 2], [3, 3, 2, 2], stride=(2, 3), dilation=(3, 2), pad=(3, 1, 3, 1)),
    conv("two groups", [1, 4, 4, 4], [6, 3, 3, 2], pad=(1, 1, 1, 1), groups=2),
    conv("depthwise", [2, 5, 5, 4], [4, 3, 3, 1], pad=(1, 1, 1, 1), groups=4),
    conv("depthwise, stride 2", [1, 6, 7, 3], [3, 3, 3, 1], stride=(2, 2), pad=(1, 1, 1, 1), groups=3),
    conv("depthwise with multiplier 2", [1, 4, 4, 2], [4, 3, 3, 1], pad=(1, 1, 1, 1), groups=2),
    conv("stride larger than the kernel", [1, 8, 7, 2], [3, 2, 2, 2], stride=(3, 4)),
    dense("small", 3, 5, 4),
    norm("images", [2, 3, 4, 3], 1e-5, 0.1),
    norm("rows", [6, 4], 1e-3, 0.25),
    inference("images", [2, 3, 2, 3], 1e-5),
    pool("MaxPool", "2x2", [2, 4, 6, 2], [2, 2]),
    pool("MaxPool", "3x3, stride 2, padded, odd size", [1, 7, 5, 3], [3, 3], [2, 2], (1, 1)),
    pool("MaxPool", "3x3, stride 2, padded, rounding up", [1, 6, 8, 2], [3, 3], [2, 2], (1, 1), ceil=True),
    pool("MaxPool", "2x2, rounding up where the last window would lie in the padding", [1, 4, 4, 1], [2, 2], [3, 3], (1, 1), ceil=True),
    pool("AveragePool", "2x2", [2, 4, 6, 2], [2, 2]),
    pool("AveragePool", "3x3, stride 2, padded", [1, 7, 5, 2], [3, 3], [2, 2], (1, 1)),
    pool("AveragePool", "3x3, stride 2, padded, counting padding", [1, 7, 5, 2], [3, 3], [2, 2], (1, 1), include=True),
    pool("AveragePool", "3x3, stride 2, padded, rounding up", [1, 6, 8, 2], [3, 3], [2, 2], (1, 1), ceil=True),
    pool("AveragePool", "3x3, stride 2, padded, rounding up and counting padding", [1, 6, 8, 2], [3, 3], [2, 2], (1, 1), ceil=True, include=True),
    globally("images", [2, 3, 4, 3]),
]

with open(OUT, "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in CASES) + "\n]\n")
print(len(CASES), "cases,", os.path.getsize(OUT), "bytes")
