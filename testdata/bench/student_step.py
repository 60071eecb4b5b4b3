#!/usr/bin/python3
"""Times a distillation step of a Wide ResNet in PyTorch: forward, CE + KD + AT,
backward and SGD, beside the teacher's forward pass, which is timed apart.

    /usr/bin/python3 testdata/bench/student_step.py --student 16 1 --teacher 16 2

Prints one JSON object with the median milliseconds in both memory formats and
the better of each as "best".
"""

import argparse

import torch

from networks import WideResNet, clock, distillation, in_both_formats, optimizer, report

p = argparse.ArgumentParser()
p.add_argument("--threads", type=int, default=torch.get_num_threads())
p.add_argument("--batch", type=int, default=128)
p.add_argument("--steps", type=int, default=12)
p.add_argument("--student", type=int, nargs=2, default=(16, 1))
p.add_argument("--teacher", type=int, nargs=2, default=(16, 2))
a = p.parse_args()
torch.set_num_threads(a.threads)


def measure(form):
    torch.manual_seed(1)
    student = WideResNet(*a.student).to(memory_format=form)
    teacher = WideResNet(*a.teacher).to(memory_format=form).eval()
    images = torch.randn(a.batch, 3, 32, 32).to(memory_format=form)
    labels = torch.randint(0, 10, (a.batch,))
    sgd = optimizer(student)
    times = {"student_step_ms": [], "teacher_forward_ms": []}
    for step in range(a.steps + 2):  # two to warm up
        start = clock()
        with torch.no_grad():
            shown = teacher(images)
        between = clock()
        sgd.zero_grad()
        distillation(student(images), shown, labels).backward()
        sgd.step()
        end = clock()
        if step >= 2:
            times["teacher_forward_ms"].append(between - start)
            times["student_step_ms"].append(end - between)
    return times


report(student=a.student, teacher=a.teacher, batch=a.batch, **in_both_formats(measure))
