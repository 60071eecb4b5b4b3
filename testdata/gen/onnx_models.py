#!/usr/bin/env python3
"""Writes testdata/onnx: small ONNX models, good and bad, and golden.json with
what the onnx package says of each: whether its checker takes the model, and
the elements of every tensor as little-endian bytes.

Each model shows one thing its name says. Good models use real operators so
that the checker's verdict is about structure alone.

Run with Debian's python3 (onnx 1.12.0, NumPy 1.24) from the repository's root:

    /usr/bin/python3 testdata/gen/onnx_models.py
"""

import json
import os
import pathlib
import shutil

import numpy as np
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper

OUT = pathlib.Path(__file__).resolve().parent.parent / "onnx"
models = {}


def add(name, model):
    assert name not in models, name
    models[name] = model


def info(name, shape=("batch", 4), t=T.FLOAT):
    return h.make_tensor_value_info(name, t, shape)


def model(nodes, inputs=None, outputs=None, opset=17, ir=8, graph="g", opsets=None, **kw):
    functions = kw.pop("functions", None)
    g = h.make_graph(nodes, graph, inputs or [info("x")], outputs or [info("y")], **kw)
    if opsets is None:
        opsets = [h.make_opsetid("", opset)]
    m = h.make_model(g, opset_imports=opsets, producer_name="generator")
    if functions:
        m.functions.extend(functions)
    m.ir_version = ir
    return m


def relu(i="x", o="y", name="relu"):
    return h.make_node("Relu", [i], [o], name=name)


def weight(name, *shape):
    n = int(np.prod(shape))
    return numpy_helper.from_array((np.arange(n, dtype=np.float32) - n // 2).reshape(shape) / 8, name)


# --- good models -----------------------------------------------------------

add("relu", model([relu()]))

conv = model(
    [
        h.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        h.make_node("Relu", ["c"], ["r"], name="relu"),
        h.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        h.make_node("Flatten", ["p"], ["f"], name="flatten"),
        h.make_node("Gemm", ["f", "v", "d"], ["y"], name="dense", transB=1),
    ],
    [info("x", ("batch", 3, 8, 8))],
    [info("y", ("batch", 5))],
    initializer=[weight("w", 4, 3, 3, 3), weight("b", 4), weight("v", 5, 4), weight("d", 5)],
    value_info=[info("c", ("batch", 4, 8, 8))],
    doc_string="a small classifier",
)
conv.model_version = 3
conv.domain = "org.example"
conv.producer_version = "1.2"
conv.doc_string = "all the strings a model has"
h.set_model_props(conv, {"classes": "a,b,c,d,e", "mean": "0.5"})
add("conv_net", conv)


def typed(name, dtype, values, dims=None):
    return h.make_tensor(name, dtype, dims or [len(values)], values)


typed_tensors = [
    typed("float", T.FLOAT, [1.5, -2.25, float("inf")]),
    typed("double", T.DOUBLE, [1.1, -2.2]),
    typed("int8", T.INT8, [-128, 127, 0]),
    typed("uint8", T.UINT8, [0, 128, 255]),
    typed("int16", T.INT16, [-32768, 32767]),
    typed("uint16", T.UINT16, [0, 65535]),
    typed("int32", T.INT32, [-2147483648, 2147483647]),
    typed("uint32", T.UINT32, [0, 4294967295]),
    typed("int64", T.INT64, [-(2**63), 2**63 - 1]),
    typed("uint64", T.UINT64, [0, 2**64 - 1]),
    typed("bool", T.BOOL, [True, False, True]),
    typed("half", T.FLOAT16, [1.0, -2.5, 65504.0]),
    typed("complex64", T.COMPLEX64, [1 + 2j, -3.5j]),
    typed("complex128", T.COMPLEX128, [0.1 + 0.2j]),
    h.make_tensor("scalar", T.FLOAT, [], [7.0]),
    h.make_tensor("empty", T.FLOAT, [0, 3], []),
    h.make_tensor("matrix", T.INT64, [2, 2], [1, 2, 3, 4]),
]
bf16 = T(name="bfloat16", data_type=T.BFLOAT16, dims=[2])
bf16.int32_data.extend([0x3F80, 0xC000])
strings = T(name="string", data_type=T.STRING, dims=[3])
strings.string_data.extend([b"one", b"", b"\xff\xfe"])
add("typed_data", model([relu()], initializer=typed_tensors + [bf16, strings]))

add("raw_data", model([relu()], initializer=[
    numpy_helper.from_array(np.array(a), n)
    for n, a in [
        ("float", np.float32([1.5, -2])), ("int8", np.int8([-1, 1])), ("bool", np.array([True, False])),
        ("half", np.float16([1, 2])), ("int64", np.int64([[1, 2], [3, -4]])), ("scalar", np.float32(3)),
    ]
]))

attrs = h.make_node("Everything", ["x"], ["y"], domain="org.example")
attrs.attribute.extend([
    h.make_attribute("f", 1.5), h.make_attribute("i", 0), h.make_attribute("s", "text"), h.make_attribute("empty", ""),
    h.make_attribute("t", weight("t", 2)), h.make_attribute("floats", [1.0, 2.0]), h.make_attribute("ints", [1, -2]),
    h.make_attribute("strings", ["a", "b"]), h.make_attribute("tensors", [weight("t1", 1), weight("t2", 1)]),
    h.make_attribute("tp", h.make_tensor_type_proto(T.FLOAT, [1])),
    h.make_attribute("sparse", h.make_sparse_tensor(weight("v", 2), h.make_tensor("i", T.INT64, [2], [0, 3]), [5])),
])
attrs.attribute[0].doc_string = "a float"
add("attributes", model([attrs], opsets=[h.make_opsetid("", 17), h.make_opsetid("org.example", 1)]))

add("optional_names", model(
    [
        h.make_node("Clip", ["x", "", "hi"], ["c"], name="clip"),
        h.make_node("MaxPool", ["c"], ["y", ""], name="pool", kernel_shape=[1, 1]),
    ],
    [info("x", ("batch", 2, 4, 4))], [info("y", ("batch", 2, 4, 4))],
    initializer=[h.make_tensor("hi", T.FLOAT, [], [6.0])],
))


def branch(name, node):
    return h.make_graph([node], name, [], [info(name + "_out")])


cond = info("cond", (), T.BOOL)
add("if_captures", model(
    [
        relu("x", "r", "before"),
        h.make_node("If", ["cond"], ["y"], name="if",
                    then_branch=branch("then", h.make_node("Neg", ["r"], ["then_out"])),
                    else_branch=branch("else", h.make_node("Add", ["r", "x"], ["else_out"]))),
    ],
    [info("x"), cond],
))

inner = h.make_node("If", ["cond"], ["then_out"],
                    then_branch=branch("inner_then", h.make_node("Neg", ["x"], ["inner_then_out"])),
                    else_branch=branch("inner_else", h.make_node("Add", ["x", "w"], ["inner_else_out"])))
add("nested_if", model(
    [h.make_node("If", ["cond"], ["y"], name="if", then_branch=branch("then", inner),
                 else_branch=branch("else", relu("x", "else_out", "")))],
    [info("x"), cond], initializer=[weight("w", 4)],
))

body = h.make_graph(
    [
        h.make_node("Identity", ["go"], ["go_on"]),
        h.make_node("Add", ["acc", "x"], ["acc_out"]),
    ],
    "body",
    [info("i", (), T.INT64), info("go", (), T.BOOL), info("acc", None)],
    [info("go_on", (), T.BOOL), info("acc_out", None)],
)
add("loop", model(
    [h.make_node("Loop", ["n", "", "x"], ["y"], name="loop", body=body)],
    initializer=[h.make_tensor("n", T.INT64, [], [3])],
))

shadow = h.make_graph(
    [h.make_node("Identity", ["go"], ["go_on"]), h.make_node("Add", ["x", "x"], ["acc_out"])],
    "body",
    [info("i", (), T.INT64), info("go", (), T.BOOL), info("x", None)],
    [info("go_on", (), T.BOOL), info("acc_out", None)],
)
add("loop_input_hides_outer", model(
    [h.make_node("Loop", ["n", "", "x"], ["y"], name="loop", body=shadow)],
    initializer=[h.make_tensor("n", T.INT64, [], [3])],
))

twice = h.make_function(
    "org.example", "Scaled", ["a"], ["b"],
    [h.make_node("Constant", [], ["two"], value_float=2.0), h.make_node("Mul", ["a", "two"], ["m"]),
     h.make_node("LeakyRelu", ["m"], ["b"])],
    [h.make_opsetid("", 17)], ["slope"],
)
ref = twice.node[2].attribute.add()
ref.name, ref.ref_attr_name, ref.type = "alpha", "slope", onnx.AttributeProto.FLOAT
two_domains = [h.make_opsetid("", 17), h.make_opsetid("org.example", 1)]
add("function", model([h.make_node("Scaled", ["x"], ["y"], domain="org.example", slope=0.5)],
                      opsets=two_domains, functions=[twice]))

add("sequence", model(
    [h.make_node("SequenceConstruct", ["x", "x"], ["s"]), h.make_node("SequenceAt", ["s", "i"], ["y"])],
    outputs=[info("y"), h.make_tensor_sequence_value_info("s", T.FLOAT, None)],
    initializer=[h.make_tensor("i", T.INT64, [], [0])],
))

add("initializer_as_output", model([relu()], outputs=[info("y"), info("w", (4,))], initializer=[weight("w", 4)]))
add("input_as_output", model([relu()], outputs=[info("y"), info("x")]))
add("symbolic_and_unknown_axes", model([relu()], [info("x", ("batch", None, "h", 4))], [info("y", ("batch", None, "h", 4))]))
add("scalar_input", model([relu()], [info("x", ())], [info("y", ())]))
add("old_ir_with_default_input", model([h.make_node("Add", ["x", "w"], ["y"])], [info("x"), info("w", (4,))],
                                       initializer=[weight("w", 4)], opset=9, ir=3))
add("ai_onnx_domain", model([h.make_node("Relu", ["x"], ["y"], domain="ai.onnx")],
                            opsets=[h.make_opsetid("ai.onnx", 17)]))

carried = model([relu()])
note = carried.graph.quantization_annotation.add()
note.tensor_name = "y"
pair = note.quant_parameter_tensor_names.add()
pair.key, pair.value = "SCALE_TENSOR", "s"
train = carried.training_info.add()
train.algorithm.name = "step"
train.algorithm.node.add(op_type="Neg", input=["a"], output=["b"])
add("carried_parts", carried)

sparse = model([h.make_node("Add", ["x", "s"], ["y"])])
sparse.graph.sparse_initializer.add().CopyFrom(
    h.make_sparse_tensor(weight("s", 2), h.make_tensor("places", T.INT64, [2], [0, 3]), [4]))
add("sparse_initializer", sparse)

external = model([h.make_node("Add", ["x", "w"], ["y"])], initializer=[weight("w", 4)])
onnx.external_data_helper.set_external_data(external.graph.initializer[0], "external.data", offset=4096, length=16)
external.graph.initializer[0].ClearField("raw_data")
add("external", external)

# --- bad models ------------------------------------------------------------

add("bad_missing_value", model([relu("nothing", "y")]))
add("bad_cycle", model([relu("y", "a", "one"), relu("a", "y", "two")]))
add("bad_order", model([relu("a", "y", "second"), relu("x", "a", "first")]))
add("bad_two_producers", model([relu("x", "y", "one"), relu("x", "y", "two")]))
add("bad_producer_of_input", model([relu("x", "x", "one"), relu("x", "y", "two")]))
add("bad_producer_of_initializer", model([relu("x", "w"), relu("x", "y", "two")], initializer=[weight("w", 4)]))
add("bad_output_unmade", model([relu("x", "a")]))
add("bad_two_inputs", model([relu()], [info("x"), info("x")]))
add("bad_two_outputs", model([relu()], outputs=[info("y"), info("y")]))
add("bad_two_initializers", model([relu()], initializer=[weight("w", 4), weight("w", 4)]))
add("bad_initializer_not_input", model([h.make_node("Add", ["x", "w"], ["y"])], initializer=[weight("w", 4)], opset=9, ir=3))
add("bad_initializer_name", model([relu()], initializer=[weight("", 4)]))
add("bad_no_opset", model([relu()], opsets=[]))
add("bad_domain", model([h.make_node("Relu", ["x"], ["y"], domain="org.example")]))
add("bad_opset_zero", model([relu()], opset=0))
add("bad_opset_future", model([relu()], opset=1000))
add("bad_two_versions", model([relu()], opsets=[h.make_opsetid("", 17), h.make_opsetid("", 13)]))
add("bad_ir_zero", model([relu()], ir=0))
add("bad_ir_future", model([relu()], ir=1000))
add("bad_graph_name", model([relu()], graph=""))
add("bad_no_operator", model([h.make_node("", ["x"], ["y"])]))
add("bad_idle_node", model([relu(), h.make_node("Relu", [], [])]))
add("bad_input_name", model([relu()], [info("x"), info("")]))
untyped = model([relu()])
untyped.graph.input[0].ClearField("type")
add("bad_input_type", untyped)
unshaped = model([relu()], outputs=[info("y", None)])
add("output_of_unknown_rank", unshaped)
two_keys = model([relu()])
for v in "ab":
    two_keys.metadata_props.add(key="k", value=v)
add("bad_metadata", two_keys)


def with_attr(change):
    n = h.make_node("LeakyRelu", ["x"], ["y"], alpha=0.5)
    change(n.attribute[0])
    return model([n])


def set_fields(**kw):
    def change(a):
        for k, v in kw.items():
            setattr(a, k, v)
    return change


add("bad_attribute_name", with_attr(set_fields(name="")))
add("bad_attribute_type", with_attr(set_fields(type=onnx.AttributeProto.INT)))
add("bad_attribute_two_values", with_attr(lambda a: a.ints.extend([1, 2])))
add("bad_attribute_untyped", with_attr(lambda a: (a.ClearField("type"), a.ClearField("f"))))
add("bad_attribute_reference", with_attr(lambda a: (a.ClearField("f"), setattr(a, "ref_attr_name", "slope"))))
doubled = h.make_node("LeakyRelu", ["x"], ["y"], alpha=0.5)
doubled.attribute.append(doubled.attribute[0])
add("bad_attribute_twice", model([doubled]))


def with_tensor(**kw):
    t = T(name="w", data_type=T.FLOAT, dims=[2])
    for k, v in kw.items():
        if isinstance(v, list):
            t.ClearField(k)
            getattr(t, k).extend(v)
        else:
            setattr(t, k, v)
    return model([relu()], initializer=[t])


add("bad_tensor_field", with_tensor(int32_data=[1, 2]))
add("bad_tensor_two_fields", with_tensor(float_data=[1, 2], raw_data=bytes(8)))
add("bad_tensor_no_data", with_tensor())
add("bad_tensor_short", with_tensor(raw_data=bytes(4)))
add("bad_tensor_long", with_tensor(float_data=[1, 2, 3]))
add("bad_tensor_type", with_tensor(data_type=0, raw_data=bytes(8)))
add("bad_tensor_unknown_type", with_tensor(data_type=99, float_data=[1, 2]))
add("bad_tensor_raw_strings", with_tensor(data_type=T.STRING, raw_data=bytes(8)))
add("bad_tensor_negative_dim", with_tensor(dims=[-2], raw_data=bytes(8)))
add("bad_tensor_huge_dims", with_tensor(dims=[2**62, 2**62], raw_data=bytes(8)))
add("bad_tensor_empty_with_data", with_tensor(dims=[0], raw_data=bytes(8)))

add("bad_subgraph_missing_value", model(
    [h.make_node("If", ["cond"], ["y"], then_branch=branch("then", relu("nothing", "then_out", "")),
                 else_branch=branch("else", relu("x", "else_out", "")))],
    [info("x"), cond],
))
add("bad_subgraph_uses_own_result", model(
    [h.make_node("If", ["cond"], ["y"], then_branch=branch("then", relu("y", "then_out", "")),
                 else_branch=branch("else", relu("x", "else_out", "")))],
    [info("x"), cond],
))
hiding = h.make_graph([relu("x", "r", ""), relu("r", "then_out", "")], "then", [], [info("then_out")])
add("bad_subgraph_hides_outer", model(
    [relu("x", "r"), h.make_node("If", ["cond"], ["y"], then_branch=hiding,
                                 else_branch=branch("else", relu("x", "else_out", "")))],
    [info("x"), cond],
))


def with_function(change):
    f = onnx.FunctionProto()
    f.CopyFrom(twice)
    change(f)
    return model([h.make_node("Scaled", ["x"], ["y"], domain="org.example", slope=0.5)],
                 opsets=two_domains, functions=[f])


add("bad_function_inputs", with_function(lambda f: f.input.append("a")))
add("bad_function_value", with_function(lambda f: f.node[1].input.append("nothing")))
add("bad_function_opset", with_function(lambda f: f.ClearField("opset_import")))
add("bad_function_output", with_function(lambda f: f.output.append("nothing")))
calls_itself = h.make_node("Scaled", ["m"], ["again"], domain="org.example")
add("bad_function_recursion", with_function(
    lambda f: (f.node.append(calls_itself), f.opset_import.append(h.make_opsetid("org.example", 1)))))
add("bad_two_functions", model([h.make_node("Scaled", ["x"], ["y"], domain="org.example", slope=0.5)],
                               opsets=two_domains, functions=[twice, twice]))
short_sparse = onnx.ModelProto()
short_sparse.CopyFrom(sparse)
short_sparse.graph.sparse_initializer[0].indices.CopyFrom(h.make_tensor("places", T.INT64, [1], [0]))
add("bad_sparse_indices", short_sparse)

# --- write -----------------------------------------------------------------


def tensor_bytes(t):
    if t.data_type == T.STRING:
        return [s.hex() for s in t.string_data]
    if t.data_type == T.BFLOAT16:  # numpy has none
        return np.array(t.int32_data, dtype="<u2").tobytes().hex()
    if t.data_type == T.COMPLEX64:  # the helper of 1.12 cannot read these two
        return np.array(t.float_data, dtype="<f4").tobytes().hex()
    if t.data_type == T.COMPLEX128:
        return np.array(t.double_data, dtype="<f8").tobytes().hex()
    a = numpy_helper.to_array(t, str(OUT))
    return a.astype(a.dtype.newbyteorder("<")).tobytes().hex()


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    w = weight("w", 4)
    (OUT / "external.data").write_bytes(bytes(4096) + w.raw_data)
    os.chdir(OUT)  # the checker looks for external files here
    golden = {}
    for name, m in sorted(models.items()):
        (OUT / (name + ".onnx")).write_bytes(m.SerializeToString(deterministic=True))
        entry = {"checker": ""}
        try:
            onnx.checker.check_model(m)
        except Exception as e:  # the checker raises several kinds
            entry["checker"] = str(e).strip().splitlines()[0][:160]
        if not name.startswith("bad_"):
            entry["nodes"] = [n.op_type for n in m.graph.node]
            entry["tensors"] = {
                t.name: {"type": t.data_type, "dims": list(t.dims), "data": tensor_bytes(t)} for t in m.graph.initializer
            }
        golden[name] = entry
    (OUT / "golden.json").write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
