"""Writes graphs that are no chains of layers into a folder, and cases.json: each file with words that its refusal must have."""

import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

folder = pathlib.Path(sys.argv[1])
cases = []


def constant(name, *shape):
    return numpy_helper.from_array(np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape), name)


def add(name, nodes, constants, words, shape=("N", 3), outputs=("y",), inputs=("x",), opset=17):
    values = [helper.make_tensor_value_info(one, TensorProto.FLOAT, shape) for one in inputs]
    results = [helper.make_tensor_value_info(one, TensorProto.FLOAT, None) for one in outputs]
    graph = helper.make_graph(nodes, "g", values, results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    cases.append((f"{name}.onnx", words))


node = helper.make_node
w, b = constant("w", 3, 3), constant("b", 3)
add("operator", [node("Conv", ["x", "w"], ["y"], name="conv1")], [w], ["'conv1' (Conv)", "dense layers"])
add("unnamed", [node("Relu", ["x"], ["r"]), node("Sin", ["r"], ["y"])], [], ["node 1 (Sin)", "the operator Sin"])
add("branch", [node("Relu", ["x"], ["r"]), node("Add", ["x", "r"], ["y"], name="skip")], [],
    ["'skip' (Add)", "two values that depend on the samples"])
add("transposed", [node("Gemm", ["x", "w", "b"], ["y"], transA=1)], [w, b], ["(Gemm)", "transA"])
add("width", [node("MatMul", ["x", "w"], ["y"])], [constant("w", 4, 3)], ["(MatMul)", "3 numbers", "[4, 3]"])
add("of_samples", [node("Add", ["x", "w"], ["y"])], [w], ["(Add)", "the same for all samples", "[3, 3]"])
add("hidden_softmax", [node("Softmax", ["x"], ["s"]), node("MatMul", ["s", "w"], ["y"])], [w], ["softmax", "last"])
add("bounds", [node("MatMul", ["x", "w"], ["m"]), node("Clip", ["m", "low", "high"], ["c"]), node("MatMul", ["c", "w"], ["y"])],
    [w, numpy_helper.from_array(np.float32(-1), "low"), numpy_helper.from_array(np.float32(1), "high")], ["bounds"])
add("approximate", [node("Gelu", ["x"], ["y"], approximate="tanh")], [], ["(Gelu)", "none", "tanh"], opset=20)
add("unknown_input", [node("Relu", ["z"], ["y"])], [], ["(Relu)", "'z'"])
add("cycle", [node("Add", ["x", "q"], ["p"]), node("Relu", ["p"], ["q"]), node("Identity", ["q"], ["y"])], [], ["(Add)", "'q'"])
add("two_outputs", [node("Relu", ["x"], ["y"]), node("Tanh", ["x"], ["z"])], [], ["'z'", "one output"], outputs=("y", "z"))
add("two_inputs", [node("Add", ["x", "z"], ["y"])], [], ["(Add)", "constant"], inputs=("x", "z"))
add("samples_mixed", [node("Reshape", ["x", "s"], ["y"])], [numpy_helper.from_array(np.array([3, -1]), "s")],
    ["(Reshape)", "keeps the samples"])
add("unknown_width", [node("Relu", ["x"], ["y"])], [], ["input 'x'", "known dimensions"], shape=("N", "K"))
add("huge_width", [node("Relu", ["x"], ["y"])], [], ["input 'x'", "features"], shape=("N", 2**40))
add("old", [node("Relu", ["x"], ["y"])], [], ["opset", "7 to"], opset=6)
add("training", [node("BatchNormalization", ["x", "b", "b", "b", "b"], ["y"], training_mode=1)], [b], ["training_mode"])
add("softmax_axis", [node("Softmax", ["x"], ["y"], axis=1)], [], ["(Softmax)", "axis 1"], shape=("N", 3, 2))
add("partial", [node("Erf", ["x"], ["y"])], [], ["part of a formula"])
add("nothing", [], [], ["output 'y'", "none"])
(folder / "cases.json").write_text(json.dumps(cases))
