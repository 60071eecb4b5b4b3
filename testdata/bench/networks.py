"""The students, the objective and the clock of the PyTorch peers.

Written from the papers the Go code names (student/zoo, pipeline/loss), apart
from that code. Written for Debian's python3-torch 1.13.1.
"""

import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn


def conv(inputs, outputs, size, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)


class Wide(nn.Module):
    """A block of a Wide ResNet: twice BN-ReLU-conv beside a shortcut."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first, self.second = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.down, self.same = conv(inputs, outputs, 3, stride), conv(outputs, outputs, 3)
        self.shortcut = conv(inputs, outputs, 1, stride) if inputs != outputs else None

    def forward(self, x):
        y = F.relu(self.first(x), inplace=True)
        z = self.same(F.relu(self.second(self.down(y)), inplace=True))
        return z.add_(self.shortcut(y) if self.shortcut else x)


class WideResNet(nn.Module):
    """Returns logits and what the three groups return."""

    def __init__(self, depth, width, classes=10):
        super().__init__()
        self.stem, self.groups, inputs = conv(3, 16, 3), nn.ModuleList(), 16
        for group in range(3):
            outputs, blocks = 16 * width << group, []
            for i in range((depth - 4) // 6):
                blocks.append(Wide(inputs, outputs, 2 if group and not i else 1))
                inputs = outputs
            self.groups.append(nn.Sequential(*blocks))
        self.norm, self.classifier = nn.BatchNorm2d(inputs), nn.Linear(inputs, classes)

    def forward(self, x):
        x, taps = self.stem(x), []
        for group in self.groups:
            x = group(x)
            taps.append(x)
        return self.classifier(F.relu(self.norm(x)).mean((2, 3))), taps


class Inverted(nn.Module):
    """An inverted residual of MobileNetV2: widen, filter each channel, narrow."""

    def __init__(self, inputs, outputs, stride, expansion=6):
        super().__init__()
        wide = expansion * inputs
        self.layers = nn.Sequential(
            conv(inputs, wide, 1), nn.BatchNorm2d(wide), nn.ReLU(inplace=True),
            conv(wide, wide, 3, stride, wide), nn.BatchNorm2d(wide), nn.ReLU(inplace=True),
            conv(wide, outputs, 1), nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return self.layers(x) + x if self.residual else self.layers(x)


class Mobile(nn.Module):
    """Three blocks of MobileNetV2 between a stem and a classifier."""

    def __init__(self, classes=10):
        super().__init__()
        self.layers = nn.Sequential(
            conv(3, 24, 3), nn.BatchNorm2d(24), nn.ReLU(inplace=True),
            Inverted(24, 24, 1), Inverted(24, 32, 2), Inverted(32, 32, 1),
        )
        self.classifier = nn.Linear(32, classes)

    def forward(self, x):
        return self.classifier(self.layers(x).mean((2, 3))), []


def attention(x):
    """Attention maps [N, H·W] of x [N, C, H, W], each of length 1."""
    return F.normalize((x * x).mean(1).flatten(1))


def distillation(student, teacher, labels, alpha=0.9, temperature=4.0, beta=1000.0):
    """(1-α)·CE + α·KD + β·Σ AT of two pairs of logits and taps."""
    (logits, taps), (wanted, shown) = student, teacher
    soft = F.kl_div(F.log_softmax(logits / temperature, 1), F.softmax(wanted / temperature, 1), reduction="batchmean")
    maps = sum((attention(a) - attention(b)).square().mean() for a, b in zip(taps, shown))
    return (1 - alpha) * F.cross_entropy(logits, labels) + alpha * temperature**2 * soft + beta * maps


def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


def in_both_formats(measure):
    """Calls measure(memory_format) for each; returns its milliseconds by name
    and, as "best", the smaller of each pair."""
    both = {
        name: {k: 1e3 * statistics.median(v) for k, v in measure(form).items()}
        for name, form in [("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)]
    }
    best = {k: min(one[k] for one in both.values()) for k in both["contiguous"]}
    return {**both, "best": best}


def report(**figures):
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), **figures}))


clock = time.perf_counter
