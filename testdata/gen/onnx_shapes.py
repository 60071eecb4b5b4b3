#!/usr/bin/env python3
"""Writes testdata/golden/onnx_shapes.json: one-operator models and the types
and shapes that the onnx package infers for their outputs.

Run with Debian's python3 (onnx 1.12.0, NumPy 1.24) from the repository's root:

    /usr/bin/python3 testdata/gen/onnx_shapes.py
"""

import base64
import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper

OUT = pathlib.Path(__file__).resolve().parent.parent / "golden" / "onnx_shapes.json"
cases = []


def case(name, op, inputs, consts=None, outputs=1, opset=17, nodes=None, **attrs):
    """inputs: name -> shape or (type, shape); consts: name -> array, in operand order after the inputs ("" leaves one out)"""
    operands, declared, inits = [], [], []
    for n, s in inputs.items():
        t, s = s if isinstance(s, tuple) and isinstance(s[0], int) and isinstance(s[1], (list, tuple)) else (T.FLOAT, s)
        declared.append(h.make_tensor_value_info(n, t, s))
        operands.append(n)
    for n, a in (consts or {}).items():
        if a is None:
            operands.append("")
            continue
        inits.append(numpy_helper.from_array(np.asarray(a), n))
        operands.append(n)
    outs = ["y%d" % i for i in range(outputs)]
    nodes = nodes or [h.make_node(op, operands, outs, **attrs)]
    g = h.make_graph(nodes, "g", declared, [onnx.ValueInfoProto(name=o) for o in outs], initializer=inits)
    m = h.make_model(g, opset_imports=[h.make_opsetid("", opset)])
    m.ir_version = 8
    inferred = onnx.shape_inference.infer_shapes(m, strict_mode=True, data_prop=True)
    want = {}
    for v in inferred.graph.output:
        t = v.type.tensor_type
        shape = None
        if t.HasField("shape"):
            shape = [d.dim_value if d.HasField("dim_value") else d.dim_param if d.HasField("dim_param") else None for d in t.shape.dim]
        want[v.name] = {"type": t.elem_type, "shape": shape}
    for v in m.graph.output:  # the answer must not be in the question
        assert not v.HasField("type")
    cases.append({"name": name, "model": base64.b64encode(m.SerializeToString(deterministic=True)).decode(), "want": want})


X = [2, 6, 9, 8]
B = ["batch", 6, 9, 8]
f = lambda *s: np.zeros(s, np.float32)
i64 = lambda *v: np.array(v, np.int64)

case("conv with padding and stride", "Conv", {"x": B}, {"w": f(4, 6, 3, 3), "b": f(4)}, pads=[1, 0, 1, 2], strides=[2, 1])
case("conv without attributes", "Conv", {"x": X}, {"w": f(4, 6, 3, 2)})
case("dilated depthwise conv", "Conv", {"x": B}, {"w": f(6, 1, 3, 3)}, group=6, dilations=[2, 3])
case("conv same upper", "Conv", {"x": X}, {"w": f(4, 6, 3, 3)}, auto_pad="SAME_UPPER", strides=[2, 2])
case("conv valid", "Conv", {"x": X}, {"w": f(4, 6, 3, 3)}, auto_pad="VALID", strides=[2, 3])
case("conv in one dimension", "Conv", {"x": ["batch", 6, 20]}, {"w": f(4, 6, 5)}, strides=[3])
case("conv of an unknown size", "Conv", {"x": ["batch", 6, "h", "w"]}, {"w": f(4, 6, 3, 3)})
case("transposed conv", "ConvTranspose", {"x": X}, {"w": f(6, 5, 3, 3)}, strides=[2, 2], output_padding=[1, 0], pads=[1, 1, 0, 1])
case("grouped transposed conv", "ConvTranspose", {"x": X}, {"w": f(6, 2, 3, 3)}, group=3, dilations=[2, 1])
case("transposed conv of given size", "ConvTranspose", {"x": X}, {"w": f(6, 2, 3, 3)}, output_shape=[20, 18], strides=[2, 2])
case("max pool", "MaxPool", {"x": B}, outputs=2, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
case("max pool rounded up", "MaxPool", {"x": X}, kernel_shape=[2, 3], strides=[2, 3], ceil_mode=1)
case("max pool rounded up into the padding", "MaxPool", {"x": [1, 1, 5, 6]}, kernel_shape=[2, 2], strides=[3, 3], pads=[1, 1, 1, 1], ceil_mode=1)
case("average pool", "AveragePool", {"x": X}, kernel_shape=[3, 3], strides=[3, 3], auto_pad="SAME_LOWER")
case("global pools", "GlobalAveragePool", {"x": B})
case("gemm", "Gemm", {"x": ["batch", 6]}, {"w": f(6, 5), "b": f(5)})
case("gemm transposed", "Gemm", {"x": [6, 3]}, {"w": f(5, 6)}, transA=1, transB=1)
case("matmul", "MatMul", {"x": ["batch", 6]}, {"w": f(6, 5)})
case("stacked matmul", "MatMul", {"x": ["batch", 4, 3, 6]}, {"w": f(4, 6, 5)})
case("matmul with a list on the left", "MatMul", {"x": [6]}, {"w": f(2, 6, 5)})
case("matmul with a list on the right", "MatMul", {"x": [2, 5, 6]}, {"w": f(6)})
case("add stretches", "Add", {"x": ["batch", 1, 9, 8]}, {"w": f(6, 1, 8)})
case("add of two symbols", "Add", {"x": ["batch", 6], "z": ["batch", 6]})
case("max of three", "Max", {"x": [2, 1], "z": [1, 3]}, {"w": f(4, 1, 1)})
case("comparison", "Greater", {"x": X}, {"w": f(8)})
case("where", "Where", {"c": (T.BOOL, [2, 1]), "x": [1, 3], "z": [4, 1, 1]})
case("relu", "Relu", {"x": B})
case("clip", "Clip", {"x": B}, {"lo": np.float32(0)})
case("prelu", "PRelu", {"x": B}, {"s": f(6, 1, 1)})
case("softmax", "Softmax", {"x": B}, axis=1)
case("is nan", "IsNaN", {"x": X})
case("batch normalization", "BatchNormalization", {"x": B}, {"s": f(6), "b": f(6), "m": f(6), "v": f(6)})
case("layer normalization", "LayerNormalization", {"x": B}, {"s": f(8)})
case("dropout with mask", "Dropout", {"x": B}, outputs=2)
case("cast", "Cast", {"x": B}, to=T.INT32)
case("quantize", "QuantizeLinear", {"x": X}, {"s": np.float32(1), "z": np.int8(0)})
case("quantize without zero point", "QuantizeLinear", {"x": X}, {"s": np.float32(1)})
case("dequantize", "DequantizeLinear", {"x": (T.UINT8, X)}, {"s": np.float32(1), "z": np.uint8(0)})
case("transpose", "Transpose", {"x": B}, perm=[0, 2, 3, 1])
case("transpose reversed", "Transpose", {"x": X})
case("reshape", "Reshape", {"x": X}, {"s": i64(4, 3, -1)})
case("reshape copies and fills", "Reshape", {"x": B}, {"s": i64(0, -1)})
case("reshape to given lengths", "Reshape", {"x": X}, {"s": i64(12, 72)})
case("reshape allows zero", "Reshape", {"x": [0, 4]}, {"s": i64(4, 0)}, allowzero=1)
case("flatten", "Flatten", {"x": X})
case("flatten all but the batch", "Flatten", {"x": B}, axis=1)
case("flatten from the end", "Flatten", {"x": X}, axis=-1)
case("flatten at zero", "Flatten", {"x": X}, axis=0)
case("squeeze", "Squeeze", {"x": [2, 1, 3, 1]}, {"a": i64(-1)})
case("squeeze all", "Squeeze", {"x": [2, 1, 3, 1]})
case("squeeze by attribute", "Squeeze", {"x": ["batch", 1, 3, 1]}, opset=11, axes=[1, 3])
case("unsqueeze", "Unsqueeze", {"x": ["batch", 3]}, {"a": i64(0, -1)})
case("unsqueeze by attribute", "Unsqueeze", {"x": [2, 3]}, opset=11, axes=[1, 2])
case("concat", "Concat", {"x": ["batch", 2, 4], "z": ["batch", 5, 4]}, {"w": f(3, 1, 4)}, axis=-2)
case("split evenly", "Split", {"x": [2, 6]}, outputs=3, axis=1)
case("split as told", "Split", {"x": ["batch", 6]}, {"s": i64(1, 5)}, outputs=2, axis=-1)
case("split by attribute", "Split", {"x": [6, 2]}, outputs=2, opset=11, split=[4, 2])
case("slice", "Slice", {"x": X}, {"s": i64(1, -5), "e": i64(5, 100), "a": i64(1, -1), "t": i64(2, 1)})
case("slice backwards", "Slice", {"x": X}, {"s": i64(-1), "e": i64(-(2**63) + 1), "a": i64(2), "t": i64(-2)})
case("slice without axes", "Slice", {"x": X}, {"s": i64(0, 2), "e": i64(1, 2**63 - 1)})
case("slice to nothing", "Slice", {"x": X}, {"s": i64(5), "e": i64(3), "a": i64(1)})
case("slice by attribute", "Slice", {"x": X}, opset=9, starts=[1], ends=[-1], axes=[2])
case("gather", "Gather", {"x": B}, {"i": np.zeros((3, 2), np.int64)}, axis=1)
case("gather one", "Gather", {"x": B}, {"i": np.int64(0)}, axis=-1)
case("embedding", "Gather", {"i": (T.INT64, ["batch", 7])}, nodes=[h.make_node("Gather", ["w", "i"], ["y0"])], consts={"w": f(11, 5)})
case("pad", "Pad", {"x": B}, {"p": i64(0, 0, 1, -2, 0, 0, 3, 4)})
case("pad by attribute", "Pad", {"x": X}, opset=9, pads=[0, 0, 1, 2, 0, 0, 3, 4])
case("expand", "Expand", {"x": ["batch", 1, 3]}, {"s": i64(1, 4, 1)})
case("tile", "Tile", {"x": X}, {"r": i64(1, 2, 1, 3)})
case("resize to sizes", "Resize", {"x": B}, {"r": None, "s": None, "z": i64(2, 6, 18, 4)})
case("depth to space", "DepthToSpace", {"x": ["batch", 8, 3, 5]}, blocksize=2)
case("space to depth", "SpaceToDepth", {"x": ["batch", 3, 4, 6]}, blocksize=2)
case("shape", "Shape", {"x": B})
case("part of a shape", "Shape", {"x": B}, start=1, end=-1)
case("size", "Size", {"x": X})
case("constant", "Constant", {"x": X}, nodes=[h.make_node("Constant", [], ["y0"], value_ints=[1, 2, 3])])
case("constant of shape", "ConstantOfShape", {}, {"s": i64(2, 3)}, value=h.make_tensor("v", T.INT64, [1], [7]))
case("reduce mean", "ReduceMean", {"x": B}, axes=[2, 3], keepdims=0)
case("reduce all", "ReduceMax", {"x": X})
case("reduce sum", "ReduceSum", {"x": B}, {"a": i64(-1)})
case("reduce nothing", "ReduceSum", {"x": B}, noop_with_empty_axes=1)
case("arg max", "ArgMax", {"x": B}, axis=1, keepdims=0)
case("top k", "TopK", {"x": B}, {"k": i64(3)}, outputs=2, axis=1)
case("computed target", "", {"x": B}, {"z": i64(0), "m": i64(-1)}, nodes=[
    h.make_node("Shape", ["x"], ["s"]), h.make_node("Gather", ["s", "z"], ["n"]),
    h.make_node("Concat", ["n", "m"], ["t"], axis=0), h.make_node("Reshape", ["x", "t"], ["y0"]),
])


def main():
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
