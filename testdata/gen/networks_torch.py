"""Writes testdata/networks: whole networks, as torch.onnx.export writes torchvision's classes.

    python3 testdata/gen/networks_torch.py            # all
    python3 testdata/gen/networks_torch.py vit_17     # some

Depth, structure and operators are torchvision's own; only the widths are small,
so that a file stays below 300 kB: `narrow` divides the channel counts of every
layer while a class builds itself. Weights are random and well scaled; the
running statistics of batch normalisation come from passes in training mode.

golden.json has the logits of PyTorch, in evaluation, for SAMPLES images that are
a formula (`pictures`), so that the images need not be stored, and some of the
gradient by them of the cross-entropy.
"""
import contextlib
import json
import os
import sys
import warnings
import zlib

import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.models as tv
from onnx import TensorProto, helper, numpy_helper
from torch.onnx import TrainingMode
from torchvision.models.convnext import CNBlockConfig

SEED = 4040
CLASSES, SAMPLES = 10, 3
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "networks")


def hashed(i):
    """[0, 1) in steps of 2^-16 for each integer: the finaliser of MurmurHash3."""
    h = i.astype(np.uint64) & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = ((h ^ (h >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(16)
    return (h >> np.uint64(16)).astype(np.float64) / 65536


def pictures(first, n, h, w):
    """[n, 3, h, w]: a colour, blocks of 8x8 and grain. Every value is a float32 exactly."""
    s = np.arange(first, first + n).reshape(-1, 1, 1, 1)
    c = np.arange(3).reshape(1, -1, 1, 1)
    y = np.arange(h).reshape(1, 1, -1, 1)
    x = np.arange(w).reshape(1, 1, 1, -1)
    plane = s * 3 + c
    colour = hashed(plane)
    blocks = hashed((1 << 24) + (plane * 64 + y // 8) * 64 + x // 8)
    grain = hashed((1 << 28) + (plane * 256 + y) * 256 + x)
    return torch.from_numpy((2 * colour + 2 * blocks + grain - 2.5).astype(np.float32))


@contextlib.contextmanager
def narrow(f):
    """Maps the channel counts of layers made meanwhile through f. Concatenations
    need an f that keeps sums."""
    classes = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    made = [c.__init__ for c in classes]
    own = ["__init__" in c.__dict__ for c in classes]

    def conv(self, i, o, *a, groups=1, **kw):
        made[0](self, f(i), f(o), *a, groups=groups if groups == 1 else f(groups), **kw)

    def norm(self, channels, *a, **kw):
        made[1](self, f(channels), *a, **kw)

    def linear(self, i, o, *a, **kw):
        made[2](self, f(i), f(o), *a, **kw)

    for c, init in zip(classes, (conv, norm, linear)):
        c.__init__ = init
    try:
        yield
    finally:
        for c, init, had in zip(classes, made, own):
            if had:
                c.__init__ = init
            else:
                del c.__init__


def divided(k, least=1, **exact):
    """Divides by k, rounded; leaves the colours and the classes alone."""
    exact = {int(c[1:]): v for c, v in exact.items()}
    return lambda c: exact.get(c, c if c in (3, CLASSES) else max(least, round(c / k)))


def narrowed(f, make):
    def build():
        with narrow(f):
            return make()
    return build


class SamePad(nn.Module):
    """TensorFlow's SAME padding of a 3x3 convolution of stride 2 on an even size."""

    def forward(self, x):
        return F.pad(x, (0, 1, 0, 1))


def keras_mobilenet():
    def conv(i, o, k, stride=1, groups=1):
        pad = [SamePad()] if stride == 2 else []
        layer = nn.Conv2d(i, o, k, stride, 0 if stride == 2 else k // 2, groups=groups)
        return pad + [layer, nn.ReLU6()]

    layers = conv(3, 8, 3, 2)
    for i, o, stride in ((8, 12, 1), (12, 16, 2), (16, 16, 1), (16, 24, 2)):
        layers += conv(i, i, 3, stride, groups=i) + conv(i, o, 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, CLASSES))


# name: (builder, opset, mode, height, width). The modes are those of `export`.
# Heights differ from widths so that a swap of the two shows.
NETWORKS = {
    "resnet18": (narrowed(divided(16), lambda: tv.resnet18(num_classes=CLASSES)), 11, "eval", 64, 48),
    "resnet18_unfolded": (narrowed(divided(20), lambda: tv.resnet18(num_classes=CLASSES)), 13, "preserve", 64, 48),
    "resnet50": (narrowed(divided(24), lambda: tv.resnet50(num_classes=CLASSES)), 17, "eval", 64, 48),
    "mobilenetv2": (narrowed(divided(8), lambda: tv.mobilenet_v2(num_classes=CLASSES)), 13, "eval", 64, 48),
    "mobilenetv2_training": (narrowed(divided(10, 2), lambda: tv.mobilenet_v2(num_classes=CLASSES)), 17, "training", 64, 48),
    # As files were years ago: bounds of Clip as attributes, weights listed as inputs, a batch of 1.
    "mobilenetv2_9": (narrowed(divided(12, 2), lambda: tv.mobilenet_v2(num_classes=CLASSES)), 9, "old", 64, 48),
    "mobilenetv3_small": (narrowed(divided(12, 2), lambda: tv.mobilenet_v3_small(num_classes=CLASSES)), 17, "eval", 64, 48),
    "squeezenet1_1": (narrowed(divided(8), lambda: tv.squeezenet1_1(num_classes=CLASSES)), 11, "dropout", 64, 48),
    "shufflenetv2": (lambda: tv.ShuffleNetV2([4, 8, 4], [8, 16, 32, 64, 96], num_classes=CLASSES), 13, "eval", 64, 48),
    "densenet121": (lambda: tv.DenseNet(growth_rate=2, num_init_features=4, bn_size=4, num_classes=CLASSES), 17, "eval", 96, 64),
    "efficientnet_b0": (narrowed(divided(12, 2), lambda: tv.efficientnet_b0(num_classes=CLASSES)), 13, "eval", 64, 48),
    # Its pool of 7x7 wants the size it was made for.
    "vgg11_bn": (narrowed(divided(32, c25088=16 * 49, c4096=16), lambda: tv.vgg11_bn(num_classes=CLASSES)), 17, "preserve", 224, 224),
    # 60x52 is odd after two poolings, where the rounding up of ceil_mode counts.
    "googlenet": (narrowed(divided(16), lambda: tv.GoogLeNet(num_classes=CLASSES, aux_logits=False, transform_input=True, init_weights=False)), 13, "eval", 60, 52),
    "convnext_tiny": (lambda: tv.ConvNeXt([CNBlockConfig(6, 10, 3), CNBlockConfig(10, 14, 3), CNBlockConfig(14, 20, 9), CNBlockConfig(20, None, 3)],
                                          num_classes=CLASSES), 13, "eval", 64, 96),
    "convnext_tiny_17": (lambda: tv.ConvNeXt([CNBlockConfig(4, 8, 3), CNBlockConfig(8, 12, 3), CNBlockConfig(12, 16, 9), CNBlockConfig(16, None, 3)],
                                             num_classes=CLASSES), 17, "eval", 64, 96),
    # An odd number of heads keeps PyTorch 1.13 off its fused attention, which has no export.
    "vit": (lambda: tv.VisionTransformer(image_size=32, patch_size=8, num_layers=4, num_heads=3, hidden_dim=24, mlp_dim=48, num_classes=CLASSES), 13, "eval", 32, 32),
    "vit_17": (lambda: tv.VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=24, mlp_dim=48, num_classes=CLASSES), 17, "preserve", 32, 32),
    "swin": (lambda: tv.SwinTransformer(patch_size=[4, 4], embed_dim=12, depths=[2, 1], num_heads=[2, 4], window_size=[4, 4], mlp_ratio=2, num_classes=CLASSES), 17, "eval", 64, 96),
    "mobilenetv1_keras": (keras_mobilenet, 13, "keras", 32, 48),
}


def prepare(net, h, w):
    """Gives a fresh network weights and statistics as training might."""
    for m in net.modules():
        if isinstance(m, (nn.BatchNorm2d, nn.LayerNorm)):
            nn.init.uniform_(m.weight, 0.6, 1.4)
            # Rather up than down: rectifiers of random layers that pass half of
            # what they get make a deep network multiply rounding a thousandfold,
            # as no trained one does.
            nn.init.uniform_(m.bias, 0, 1)
    for name, p in net.named_parameters():
        if "layer_scale" in name:  # 1e-6 would hide the block
            nn.init.uniform_(p, 0.3, 1)
        if "class_token" in name:
            nn.init.normal_(p, 0, 0.5)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:  # nothing else keeps the size of activations
        for m in net.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight)
    last = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))][-1]
    nn.init.normal_(last.weight, 0, last.weight[0].numel() ** -0.5)
    momentum = [m.momentum for m in norms]
    for m in norms:
        m.momentum = None  # the mean over all passes
    net.train()
    with torch.no_grad():
        for i in range(6):
            net(pictures(100 + 16 * i, 16, h, w))
        net.eval()
        # Logits that differ from image to image, as a trained network's do.
        last.weight.mul_(2 / net(pictures(50, 16, h, w)).std(0).mean())
        if isinstance(last, nn.Linear):
            last.bias.sub_(net(pictures(50, 16, h, w)).mean(0))
    for m, was in zip(norms, momentum):
        m.momentum = was


def export(net, mode, opset, h, w):
    """Exports net and returns the model.

    eval:     as torch.onnx.export does unless told; BatchNormalization that
              follows a convolution is folded into it
    preserve: nothing folded
    dropout:  the same, with Dropout left on; opset 11 writes it without a mode
              and every runtime skips it
    training: batch normalisation by the batch's statistics and dropout on, the
              form in which a network is handed on to be trained
    old:      weights are inputs with a default, and the batch is fixed
    keras:    an edit that writes the graph as tf2onnx writes a Keras model
    """
    path = os.path.join(OUT, "export.tmp")
    options = {}
    if mode in ("preserve", "dropout"):
        options = dict(training=TrainingMode.PRESERVE, do_constant_folding=False)
        for m in net.modules():
            if mode == "dropout" and isinstance(m, nn.Dropout):
                m.train()
    if mode == "training":
        options = dict(training=TrainingMode.TRAINING, do_constant_folding=False)
    example, axes = pictures(0, 2, h, w), {"image": {0: "batch"}, "logits": {0: "batch"}}
    if mode == "old":
        options, example, axes = dict(keep_initializers_as_inputs=True), example[:1], None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, example, path, opset_version=opset, input_names=["image"], output_names=["logits"], dynamic_axes=axes, **options)
    model = onnx.load(path)
    os.remove(path)
    net.eval()
    return as_keras(model, h, w) if mode == "keras" else model


def as_keras(model, h, w):
    """Channels last at the border, the first padding before the Transpose, SAME
    by name, Squeeze and MatMul for the classifier and a Softmax at the end."""
    g = model.graph
    weight = {t.name: t for t in g.initializer}
    nodes, padded = [], {}

    def constant(name, array):
        g.initializer.append(numpy_helper.from_array(array, name))
        return name

    nodes.append(helper.make_node("Pad", ["input_1", constant("conv1_pad", np.array([0, 0, 0, 0, 0, 1, 1, 0], np.int64))], ["conv1_pad:0"], "model/conv1_pad/Pad", mode="constant"))
    nodes.append(helper.make_node("Transpose", ["conv1_pad:0"], ["conv1__1:0"], "conv1__1", perm=[0, 3, 1, 2]))
    first = True
    for n in g.node:
        if n.op_type in ("Constant", "ConstantOfShape", "Concat", "Reshape", "Slice", "Transpose", "Cast"):
            continue  # how torch works out the operand of Pad
        if n.op_type == "Pad":
            padded[n.output[0]] = n.input[0]
            continue
        if n.op_type == "Conv" and n.input[0] in padded:
            source = padded[n.input[0]]
            if first:
                source = "conv1__1:0"
            else:
                for a in list(n.attribute):
                    if a.name == "pads":
                        n.attribute.remove(a)
                n.attribute.append(helper.make_attribute("auto_pad", "SAME_UPPER"))
            n.input[0] = source
            first = False
        if n.op_type == "Clip":
            n.input[1:] = ["relu6/min", "relu6/max"]
        if n.op_type == "Flatten":
            nodes.append(helper.make_node("Squeeze", [n.input[0], constant("squeeze_axes", np.array([2, 3], np.int64))], [n.output[0]], "model/global_average_pooling2d/Mean_Squeeze"))
            continue
        if n.op_type == "Gemm":
            kernel = numpy_helper.to_array(weight[n.input[1]]).T.copy()
            nodes.append(helper.make_node("MatMul", [n.input[0], constant("model/dense/MatMul/ReadVariableOp:0", kernel)], ["model/dense/MatMul:0"], "model/dense/MatMul"))
            nodes.append(helper.make_node("Add", ["model/dense/MatMul:0", n.input[2]], ["model/dense/BiasAdd:0"], "model/dense/BiasAdd"))
            g.initializer.remove(weight[n.input[1]])
            continue
        nodes.append(n)
    constant("relu6/min", np.array(0, np.float32))
    constant("relu6/max", np.array(6, np.float32))
    nodes.append(helper.make_node("Softmax", ["model/dense/BiasAdd:0"], ["dense"], "model/dense/Softmax", axis=-1))
    used = {i for n in nodes for i in n.input}
    graph = helper.make_graph(
        nodes, "tf2onnx",
        [helper.make_tensor_value_info("input_1", TensorProto.FLOAT, ["unk__1", h, w, 3])],
        [helper.make_tensor_value_info("dense", TensorProto.FLOAT, ["unk__2", CLASSES])],
        [t for t in g.initializer if t.name in used])
    return helper.make_model(graph, producer_name="tf2onnx", opset_imports=list(model.opset_import), ir_version=model.ir_version)


def gradient(net, images):
    """The gradient by the images of each one's cross-entropy, sample i labelled i, in float64: its
    length for each image, and 40 elements of it, NCHW, those of greatest size among many."""
    net = net.double()
    x = images.double().requires_grad_(True)
    (j,) = torch.autograd.grad(F.cross_entropy(net(x), torch.arange(len(images)), reduction="sum"), x)
    flat = j.reshape(-1)
    spread = torch.arange(0, len(flat), 7)
    places = spread[flat[spread].abs().argsort(descending=True)[:40]].tolist()
    short = lambda values: [float(f"{v:.8g}") for v in values]
    return short(j.reshape(len(images), -1).norm(dim=1).tolist()), places, short(flat[places].tolist())


def main(names):
    os.makedirs(OUT, exist_ok=True)
    golden_path = os.path.join(OUT, "golden.json")
    golden = {}
    if names and os.path.exists(golden_path):
        with open(golden_path) as f:
            golden = {g["name"]: g for g in json.load(f)}
    for name in names or NETWORKS:
        build, opset, mode, h, w = NETWORKS[name]
        torch.manual_seed(SEED + zlib.crc32(name.encode()))
        net = build()
        prepare(net, h, w)
        model = export(net, mode, opset, h, w)
        onnx.checker.check_model(model)
        path = os.path.join(OUT, name + ".onnx")
        onnx.save(model, path)
        # After the export: in training mode tracing moves the running statistics.
        with torch.no_grad():
            logits = net(pictures(0, SAMPLES, h, w)).double().numpy()
        assert np.isfinite(logits).all()
        lengths, places, values = gradient(net, pictures(0, SAMPLES, h, w))
        golden[name] = {
            "name": name, "opset": opset, "mode": mode, "height": h, "width": w,
            "parameters": sum(p.numel() for p in net.parameters()),
            "logits": [float(f"{v:.8g}") for v in logits.ravel()],
            "gradient": {"norms": lengths, "at": places, "values": values},
        }
        print(f"{name}: {os.path.getsize(path)} bytes, {len(model.graph.node)} nodes, {golden[name]['parameters']} parameters, "
              f"logits {logits.min():.2f} to {logits.max():.2f}, between images {logits.std(0).mean():.2f}, "
              f"{sorted({n.op_type for n in model.graph.node})}", flush=True)
    with open(golden_path, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(golden[name]) for name in NETWORKS if name in golden) + "\n]\n")


if __name__ == "__main__":
    main(sys.argv[1:])
