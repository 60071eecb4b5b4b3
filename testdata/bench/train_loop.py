#!/usr/bin/python3
"""Trains a WRN-16-1 in PyTorch on CIFAR-10 held decoded in memory, for its peak
memory: the loop one would write, of N steps.

    /usr/bin/python3 testdata/bench/train_loop.py --data cifar10.tar.gz --steps 30

The data is a .tar.gz of train/CLASS/*.jpg and test/CLASS/*.jpg. All images are
kept as bytes [N, H, W, 3], those of the test as well, as by any loop that tests
in the end; each batch is cropped after padding by reflection, flipped, normalised and
brought to NCHW; the teacher, a WRN-16-2 of random weights, runs on it; the
student takes a step of CE + KD + AT. Whoever runs it watches its memory.
"""

import argparse
import io
import tarfile

import numpy as np
import torch
from PIL import Image

from networks import WideResNet, distillation, optimizer, report

p = argparse.ArgumentParser()
p.add_argument("--threads", type=int, default=torch.get_num_threads())
p.add_argument("--batch", type=int, default=128)
p.add_argument("--steps", type=int, default=30)
p.add_argument("--format", choices=["contiguous", "channels_last"], default="channels_last")
p.add_argument("--data", required=True)
a = p.parse_args()
torch.set_num_threads(a.threads)
form = torch.channels_last if a.format == "channels_last" else torch.contiguous_format

# The archive is read once, image by image, into arrays made for CIFAR-10.
parts = {name: (np.empty((n, 32, 32, 3), np.uint8), []) for name, n in [("train", 50000), ("test", 10000)]}
classes = []
with tarfile.open(a.data) as archive:
    for member in archive:
        *_, part, label, file = ["", "", *member.name.split("/")]
        if part not in parts or not file.endswith(".jpg"):
            continue
        if label not in classes:
            classes.append(label)
        pixels, known = parts[part]
        pixels[len(known)] = np.asarray(Image.open(io.BytesIO(archive.extractfile(member).read())))
        known.append(classes.index(label))
images, labels = parts["train"][0], torch.tensor(parts["train"][1])

mean = torch.tensor([125.3, 123.0, 113.9]).view(1, 3, 1, 1)
std = torch.tensor([63.0, 62.1, 66.7]).view(1, 3, 1, 1)
random = np.random.default_rng(1)
torch.manual_seed(1)


def batch(chosen):
    out = np.empty((len(chosen), 32, 32, 3), np.uint8)
    for i, j in enumerate(chosen):
        wide = np.pad(images[j], ((4, 4), (4, 4), (0, 0)), "reflect")
        y, x = random.integers(0, 9, 2)
        crop = wide[y : y + 32, x : x + 32]
        out[i] = crop[:, ::-1] if random.integers(2) else crop
    x = torch.from_numpy(out).permute(0, 3, 1, 2).float()
    return ((x - mean) / std).contiguous(memory_format=form), labels[chosen]


student = WideResNet(16, 1).to(memory_format=form)
teacher = WideResNet(16, 2).to(memory_format=form).eval()
sgd = optimizer(student)
order = random.permutation(len(images))
for step in range(a.steps):
    x, y = batch(order[np.arange(step * a.batch, (step + 1) * a.batch) % len(order)])
    with torch.no_grad():
        shown = teacher(x)
    sgd.zero_grad()
    distillation(student(x), shown, y).backward()
    sgd.step()

report(images=sum(len(known) for _, known in parts.values()), classes=len(classes), steps=a.steps, format=a.format)
