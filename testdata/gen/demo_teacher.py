#!/usr/bin/python3
"""Trains the demo's teacher, a WRN-16-2, and exports it as ONNX.

    go run ./testdata/gen/demo_draw -seed 20240 -n 24000 -out train.bin
    go run ./testdata/gen/demo_draw -seed 3 -n 4000 -out test.bin
    testdata/gen/demo_teacher.py train.bin test.bin pipeline/digits/teacher.onnx

Wide ResNet (Zagoruyko & Komodakis 2016), pre-activation blocks, widths 16, 32,
64, 128. SGD with Nesterov momentum, one-cycle learning rate, random crops after
padding by 2, no flips since a mirrored digit is not a digit. The preprocessing
is written into the file's metadata: the graph takes float32 NCHW pixels / 255,
less the mean, divided by the standard deviation.

Written for Debian's python3-torch 1.13.1 and python3-onnx 1.12.
"""

import argparse
import json
import os
import random
import time

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = None
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        a = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(a))))
        return y + (x if self.shortcut is None else self.shortcut(a))


class WideResNet(nn.Module):
    def __init__(self, depth, width, classes):
        super().__init__()
        n = (depth - 4) // 6
        widths = [16, int(16 * width), int(32 * width), int(64 * width)]
        self.conv0 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        for g in range(3):
            stride = 1 if g == 0 else 2
            blocks = [
                Block(widths[g] if b == 0 else widths[g + 1], widths[g + 1], stride if b == 0 else 1)
                for b in range(n)
            ]
            setattr(self, f"group{g}", nn.Sequential(*blocks))
        self.bn = nn.BatchNorm2d(widths[3])
        self.fc = nn.Linear(widths[3], classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        y = self.group2(self.group1(self.group0(self.conv0(x))))
        return self.fc(F.relu(self.bn(y)).mean((2, 3)))


def read(path):
    """Records of demo_draw: label, then 32x32x3 pixels."""
    records = np.fromfile(path, np.uint8).reshape(-1, 1 + 32 * 32 * 3)
    images = records[:, 1:].reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(records[:, 0].astype(np.int64))


def accuracy(net, images, labels):
    net.eval()
    right = 0
    with torch.no_grad():
        for i in range(0, len(images), 500):
            right += (net(images[i : i + 500]).argmax(1) == labels[i : i + 500]).sum().item()
    return right / len(images)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("train")
    p.add_argument("test")
    p.add_argument("out")
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=0.15)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()

    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)

    train, labels = read(args.train)
    test, test_labels = read(args.test)
    mean = (train.float().mean((0, 2, 3)) / 255).tolist()
    std = (train.float().div(255).transpose(0, 1).reshape(3, -1).std(1)).tolist()
    mean, std = [round(v, 4) for v in mean], [round(v, 4) for v in std]

    def prepare(images):
        m = torch.tensor(mean).reshape(1, 3, 1, 1)
        s = torch.tensor(std).reshape(1, 3, 1, 1)
        return ((images.float() / 255 - m) / s).contiguous(memory_format=torch.channels_last)

    test = prepare(test)
    net = WideResNet(16, 2, 10).to(memory_format=torch.channels_last)
    steps = len(train) // args.batch
    optimiser = torch.optim.SGD(net.parameters(), args.lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, args.lr, total_steps=steps * args.epochs, pct_start=0.2, cycle_momentum=False)
    start = time.time()
    for epoch in range(args.epochs):
        net.train()
        order = torch.randperm(len(train))
        total = 0.0
        for step in range(steps):
            index = order[step * args.batch : (step + 1) * args.batch]
            x = F.pad(prepare(train[index]), (2, 2, 2, 2), mode="reflect")
            dy, dx = random.randrange(5), random.randrange(5)
            x = x[:, :, dy : dy + 32, dx : dx + 32].contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(net(x), labels[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / steps:.4f}, test accuracy {accuracy(net, test, test_labels):.4f},"
              f" {time.time() - start:.0f} s", flush=True)

    net.eval().to(memory_format=torch.contiguous_format)
    torch.onnx.export(
        net, torch.zeros(1, 3, 32, 32), args.out, opset_version=13, input_names=["image"], output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}})
    model = onnx.load(args.out)
    top1 = accuracy(net, test, test_labels)
    onnx.helper.set_model_props(model, metadata(mean, std, top1))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, args.out)
    print(f"{args.out}: {os.path.getsize(args.out)} bytes, test accuracy {top1:.4f}, mean {mean}, std {std}")


def metadata(mean, std, top1):
    """The keys of package onnx/preprocess, and those of an exported student."""
    return {
        "architecture": "WRN-16-2",
        "classes": json.dumps([str(k) for k in range(10)]),
        "input.scale": "1/255",
        "input.mean": ",".join(map(str, mean)),
        "input.std": ",".join(map(str, std)),
        "input.order": "rgb",
        "test.top1": f"{top1:.4f}",
    }


if __name__ == "__main__":
    main()
