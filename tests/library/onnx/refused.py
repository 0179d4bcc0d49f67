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

# Files that break the specification, which ONNX Runtime refuses too.
breaks = len(cases)
gemm = node("Gemm", ["x", "w", "b"], ["h"])
add("int_alpha", [node("Gemm", ["x", "w"], ["y"], alpha=3)], [w], ["(Gemm)", "'alpha' of type FLOAT", "found INT"])
add("float_flag", [node("Gemm", ["x", "w"], ["y"], transB=1.0)], [w], ["(Gemm)", "'transB' of type INT", "found FLOAT"])
add("int_slope", [gemm, node("LeakyRelu", ["h"], ["y"], alpha=2)], [w, b], ["(LeakyRelu)", "'alpha'", "FLOAT"])
add("int_epsilon", [node("LayerNormalization", ["x", "b"], ["y"], epsilon=1)], [b], ["(LayerNormalization)", "'epsilon'"])
add("misspelled", [gemm, node("LeakyRelu", ["h"], ["y"], Alpha=0.5)], [w, b], ["(LeakyRelu)", "no attribute but alpha", "'Alpha'"])
add("no_attributes", [node("Relu", ["x"], ["y"], foo=3)], [], ["(Relu)", "no attribute", "'foo'"])
add("old_bounds", [gemm, node("Clip", ["h"], ["y"], min=0.0, max=1.0)], [w, b], ["(Clip)", "no attribute", "'m"])
for op in ("Add", "Sub", "Mul", "Div", "Pow"):
    add(f"one_input_{op}", [node(op, ["x"], ["y"])], [], [f"({op})", "2 inputs", "found 1"])
add("gap", [node("Sub", ["", "b"], ["y"])], [b], ["(Sub)", "2 inputs", "found 1"])
add("two_for_relu", [node("Relu", ["x", "w"], ["y"])], [w], ["(Relu)", "1 input", "found 2"])
add("three_for_matmul", [node("MatMul", ["x", "w", "b"], ["y"])], [w, b], ["(MatMul)", "2 inputs", "found 3"])
add("four_for_layer_norm", [node("LayerNormalization", ["x", "b", "b", "b"], ["y"])], [b], ["2 to 3 inputs", "found 4"])
add("three_for_prelu", [node("PRelu", ["x", "b", "b"], ["y"])], [b], ["(PRelu)", "2 inputs"])
add("two_for_flatten", [node("Flatten", ["x", "b"], ["y"])], [b], ["(Flatten)", "1 input"])
add("two_for_cast", [node("Cast", ["x", "b"], ["y"], to=1)], [b], ["(Cast)", "1 input"])
add("cast_to_nothing", [node("Cast", ["x"], ["y"])], [], ["(Cast)", "the attribute 'to'", "none"])
add("no_axes", [node("Unsqueeze", ["x"], ["y"])], [], ["(Unsqueeze)", "2 inputs"])
add("no_parts", [node("Concat", [], ["y"], axis=1)], [], ["node 0 (Concat)", "1 input or more", "found 0"])
add("no_axis", [node("Concat", ["x"], ["y"])], [], ["(Concat)", "the attribute 'axis'"])
add("whole_weights", [node("Gemm", ["x", "k"], ["y"])], [numpy_helper.from_array(np.eye(3, dtype=np.int64), "k")],
    ["(Gemm)", "inputs of one type", "FLOAT and INT64"])
add("doubles", [node("Mul", ["x", "d"], ["y"])], [numpy_helper.from_array(np.ones(3), "d")], ["(Mul)", "FLOAT and DOUBLE"])
add("too_new", [node("Gelu", ["x"], ["y"])], [], ["(Gelu)", "opset 20 or later", "17"])
twice = node("LeakyRelu", ["x"], ["y"], alpha=0.5)
twice.attribute.append(helper.make_attribute("alpha", 0.25))
add("twice", [twice], [], ["(LeakyRelu)", "once", "twice"])
broken = [name for name, _ in cases[breaks:]]

# Valid, and more than this library computes.
for kind in ("FLOAT16", "BFLOAT16", "INT64"):
    add(f"cast_{kind}", [node("Cast", ["x"], ["h"], to=getattr(TensorProto, kind)), node("Cast", ["h"], ["k"], to=1),
                         node("Gemm", ["k", "w"], ["y"])], [w], ["node 0 (Cast)", "keeps all numbers", f"from FLOAT to {kind}"])
add("slow", [node("Swish", ["x"], ["y"], alpha=0.5)], [], ["(Swish)", "alpha 1", "0.5"], opset=24)
learning = {"domain": "ai.onnx.ml"}
add("zeros", [node("Imputer", ["x"], ["s"], imputed_value_floats=[1.0, 2.0, 3.0], replaced_value_float=0.0, **learning)], [],
    ["(Imputer)", "NaN as replaced_value_float", "found 0"], outputs=("s",))
add("post", [node("LinearRegressor", ["x"], ["y"], coefficients=[1.0] * 6, targets=2, post_transform="SOFTMAX", **learning)], [],
    ["(LinearRegressor)", "post_transform NONE", "SOFTMAX"])
add("coefficients", [node("LinearRegressor", ["x"], ["y"], coefficients=[1.0] * 5, targets=2, **learning)], [],
    ["(LinearRegressor)", "3 coefficients for each", "5 for 2 targets"])

try:
    import onnxruntime
except ImportError:
    onnxruntime = None
for name in broken if onnxruntime else []:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
    except Exception:
        continue
    # Of two attributes of a name ONNX Runtime takes one.
    assert name == "twice.onnx", f"ONNX Runtime reads {name}"
(folder / "cases.json").write_text(json.dumps(cases))
