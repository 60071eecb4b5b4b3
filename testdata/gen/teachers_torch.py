"""Writes testdata/teachers: one small residual network in several disguises.

    python3 testdata/gen/teachers_torch.py

PyTorch makes the network and the golden logits and attention maps; torch.onnx
exports it; the disguises (channels last, softmax, bytes in, half precision,
batch baked in) are edits of that export by the onnx package. All disguises
compute the same function of the same images, so they share golden.json.

Images are 8 high and 6 wide, so that a swap of height and width shows.
"""
import copy
import json
import os

import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SEED = 20170
H, W, CLASSES, SAMPLES = 8, 6, 5, 3
MEAN = np.array([125.3, 123.0, 113.9]) / 255
STD = np.array([63.0, 62.1, 66.7]) / 255
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "teachers")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.c1 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.c2 = nn.Conv2d(4, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.c3 = nn.Conv2d(6, 6, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(6, CLASSES)

    def features(self, x):
        x = F.relu(self.stem(x))
        a = x + self.c2(F.relu(self.bn(self.c1(x))))  # no ReLU: |A| matters
        b = self.down(a)
        b = F.relu(b + self.c3(F.relu(b)))
        return a, b

    def forward(self, x):
        _, b = self.features(x)
        return self.fc(torch.flatten(self.pool(b), 1))


def attention(a, kind, p):
    a = a.abs()
    q = {"sum": lambda: a.sum(1), "sum^p": lambda: a.pow(p).sum(1), "max^p": lambda: a.pow(p).amax(1)}[kind]()
    return F.normalize(q.flatten(1)).view_as(q)


def numbers(t):
    return [float(f"{v:.8g}") for v in np.asarray(t, dtype=np.float64).ravel()]


def rename(graph, mapping):
    for n in graph.node:
        n.input[:] = [mapping.get(v, v) for v in n.input]
        n.output[:] = [mapping.get(v, v) for v in n.output]
    for list_ in (graph.input, graph.output, graph.initializer):
        for v in list_:
            v.name = mapping.get(v.name, v.name)


def value(name, elem, dims):
    return helper.make_tensor_value_info(name, elem, dims)


def set_io(model, input_=None, output=None):
    if input_ is not None:
        del model.graph.input[:]
        model.graph.input.append(input_)
    if output is not None:
        del model.graph.output[:]
        model.graph.output.append(output)


def front(model, nodes):
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes + rest)


def const(model, name, array):
    model.graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def save(model, name):
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(OUT, name))


def channels_last(model, elem, batch):
    """Gives the model an NHWC input called image_nhwc."""
    front(model, [helper.make_node("Transpose", ["image_nhwc"], ["image"], "to_nchw", perm=[0, 3, 1, 2])])
    set_io(model, value("image_nhwc", elem, [batch, H, W, 3]))


def main():
    os.makedirs(OUT, exist_ok=True)
    torch.manual_seed(SEED)
    net = Net()
    net.bn.running_mean.normal_(0, 0.3)
    net.bn.running_var.uniform_(0.5, 2)
    net.bn.weight.data.uniform_(0.5, 1.5)
    net.bn.bias.data.normal_(0, 0.3)
    net.fc.weight.data.mul_(12)  # logits that differ from image to image
    net.eval()

    rng = np.random.default_rng(SEED)
    images = rng.integers(0, 256, (SAMPLES, H, W, 3), dtype=np.uint8)
    x = torch.tensor(((images / 255.0 - MEAN) / STD).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        a, b = net.features(x)
        logits = net(x)
    taps = {"stage1": a, "stage2": b}
    golden = {
        "height": H, "width": W, "classes": CLASSES, "preprocess": "cifar10",
        "images": images.ravel().tolist(),
        "logits": numbers(logits),
        "taps": {k: list(v.shape[1:]) for k, v in taps.items()},
        "maps": [{"kind": kind, "power": p, "tap": k, "data": numbers(attention(v, kind, p))}
                 for kind, p in (("sum", 1), ("sum^p", 2), ("sum^p", 4), ("sum^p", 1.5), ("max^p", 2)) for k, v in taps.items()],
        "raw": {k: numbers(v.permute(0, 2, 3, 1)) for k, v in taps.items()},
    }
    # Pillow's bilinear filter widens when it shrinks, as a teacher's training pipeline does.
    picture = Image.fromarray(images[0])
    golden["resized"] = [{"height": h, "width": w, "data": np.asarray(picture.resize((w, h), Image.BILINEAR)).ravel().tolist()}
                         for h, w in ((4, 3), (16, 12), (5, 9))]
    golden["grey"] = np.asarray(picture.convert("L")).ravel().tolist()
    with open(os.path.join(OUT, "golden.json"), "w") as f:
        json.dump(golden, f)
        f.write("\n")

    def export(opset, batch_axis=True):
        path = os.path.join(OUT, "export.tmp")
        torch.onnx.export(net, x[:1], path, opset_version=opset, input_names=["image"], output_names=["logits"],
                          dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}} if batch_axis else None)
        model = onnx.load(path)
        os.remove(path)
        adds = [n.output[0] for n in model.graph.node if n.op_type == "Add"]
        last = [n.output[0] for n in model.graph.node if n.op_type == "Relu"][-1]
        rename(model.graph, {adds[0]: "stage1", last: "stage2"})
        return model

    for opset in (11, 13, 17):
        save(export(opset), f"cnn_opset{opset}.onnx")

    base = export(13, batch_axis=False)

    # As tf2onnx writes a Keras model: channels last, batch of one, softmax at the end.
    m = copy.deepcopy(base)
    channels_last(m, TensorProto.FLOAT, 1)
    m.graph.node.append(helper.make_node("Softmax", ["logits"], ["softmax"], "softmax", axis=-1))
    m.graph.node.append(helper.make_node("Identity", ["softmax"], ["probabilities"], "identity"))
    set_io(m, output=value("probabilities", TensorProto.FLOAT, [1, CLASSES]))
    save(m, "nhwc_softmax.onnx")

    # A softmax written out, which only its values give away.
    m = copy.deepcopy(base)
    m.graph.node.extend([
        helper.make_node("Exp", ["logits"], ["exp"], "exp"),
        helper.make_node("ReduceSum", ["exp", const(m, "last_axis", np.array([1], np.int64))], ["sum"], "sum"),
        helper.make_node("Div", ["exp", "sum"], ["probabilities"], "div"),
    ])
    set_io(m, output=value("probabilities", TensorProto.FLOAT, [1, CLASSES]))
    save(m, "hidden_softmax.onnx")

    # Bytes in, normalised inside.
    m = copy.deepcopy(export(13))
    channels_last(m, TensorProto.UINT8, "batch")
    front(m, [
        helper.make_node("Cast", ["image_nhwc"], ["bytes"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["bytes", const(m, "scale", (1 / (255 * STD)).astype(np.float32))], ["scaled"], "scale_node"),
        helper.make_node("Sub", ["scaled", const(m, "shift", (MEAN / STD).astype(np.float32))], ["normal"], "shift_node"),
    ])
    for n in m.graph.node:
        if n.name == "to_nchw":
            n.input[0] = "normal"
    save(m, "uint8.onnx")

    # The batch of one is baked into a Reshape that merges it with the channels.
    m = copy.deepcopy(base)
    for n in m.graph.node:
        if n.op_type == "Flatten":
            source, target = n.input[0], n.output[0]
            m.graph.node.remove(n)
            break
    at = [i for i, n in enumerate(m.graph.node) if source in n.output][0] + 1
    for n in (helper.make_node("Reshape", ["merged", const(m, "row", np.array([1, 6], np.int64))], [target], "split"),
              helper.make_node("Reshape", [source, const(m, "flat", np.array([6], np.int64))], ["merged"], "merge")):
        m.graph.node.insert(at, n)
    save(m, "fixed_batch.onnx")

    # A fixed batch of two, the same way.
    m2 = copy.deepcopy(m)
    set_io(m2, value("image", TensorProto.FLOAT, [2, 3, H, W]), value("logits", TensorProto.FLOAT, [2, CLASSES]))
    for t in m2.graph.initializer:
        if t.name == "row":
            t.CopyFrom(numpy_helper.from_array(np.array([2, 6], np.int64), "row"))
        if t.name == "flat":
            t.CopyFrom(numpy_helper.from_array(np.array([12], np.int64), "flat"))
    save(m2, "fixed_batch2.onnx")

    # The taps lie channels last between two Transposes.
    m = copy.deepcopy(export(13))
    rename(m.graph, {"stage1": "stage1_nchw", "stage2": "stage2_nchw"})
    done = []
    for n in list(m.graph.node):
        done.append(n)
        for out in n.output:
            if out in ("stage1_nchw", "stage2_nchw"):
                k = out[:6]
                done.append(helper.make_node("Transpose", [out], [k], k + "/nhwc", perm=[0, 2, 3, 1]))
                done.append(helper.make_node("Transpose", [k], [k + "_back"], k + "/nchw", perm=[0, 3, 1, 2]))
    back = {"stage1_nchw": "stage1_back", "stage2_nchw": "stage2_back"}
    for n in done:
        if n.op_type != "Transpose":
            n.input[:] = [back.get(v, v) for v in n.input]
    del m.graph.node[:]
    m.graph.node.extend(done)
    save(m, "nhwc_inside.onnx")

    # Half precision throughout.
    m = copy.deepcopy(export(13))
    for t in m.graph.initializer:
        if t.data_type == TensorProto.FLOAT:
            t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype(np.float16), t.name))
    set_io(m, value("image", TensorProto.FLOAT16, ["batch", 3, H, W]), value("logits", TensorProto.FLOAT16, ["batch", CLASSES]))
    save(m, "float16.onnx")

    # Scores in a sequence, as scikit-learn's converters give them: no teacher.
    m = helper.make_model(helper.make_graph(
        [helper.make_node("GlobalMaxPool", ["image"], ["pooled"], "pool"),
         helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
         helper.make_node("SequenceConstruct", ["flat"], ["scores"], "sequence")],
        "sequence", [value("image", TensorProto.FLOAT, ["batch", 3, H, W])],
        [helper.make_tensor_sequence_value_info("scores", TensorProto.FLOAT, ["batch", 3])]),
        opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    save(m, "sequence.onnx")


if __name__ == "__main__":
    main()
