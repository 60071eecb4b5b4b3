#!/usr/bin/python3
"""Times a training step of three MobileNetV2 blocks in PyTorch: forward, cross
entropy, backward and SGD.

    /usr/bin/python3 testdata/bench/mobile_step.py

Prints one JSON object with the median milliseconds in both memory formats and
the better one as "best".
"""

import argparse

import torch
import torch.nn.functional as F

from networks import Mobile, clock, in_both_formats, optimizer, report

p = argparse.ArgumentParser()
p.add_argument("--threads", type=int, default=torch.get_num_threads())
p.add_argument("--batch", type=int, default=128)
p.add_argument("--steps", type=int, default=12)
a = p.parse_args()
torch.set_num_threads(a.threads)


def measure(form):
    torch.manual_seed(1)
    model = Mobile().to(memory_format=form)
    images = torch.randn(a.batch, 3, 32, 32).to(memory_format=form)
    labels = torch.randint(0, 10, (a.batch,))
    sgd = optimizer(model)
    times = []
    for step in range(a.steps + 2):  # two to warm up
        start = clock()
        sgd.zero_grad()
        F.cross_entropy(model(images)[0], labels).backward()
        sgd.step()
        if step >= 2:
            times.append(clock() - start)
    return {"step_ms": times}


report(batch=a.batch, **in_both_formats(measure))
