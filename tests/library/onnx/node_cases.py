"""Writes the backend node cases of the package onnx whose operators occur in chains of layers, as files that this library reads.

Its cases give all inputs at run time. Here the first is the samples, and the others are constants. cases.json in the folder lists
name, rows and expected outputs, as numbers of all samples one behind the other.
"""

import json
import pathlib
import re
import sys

import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases

folder = pathlib.Path(sys.argv[1])
OPERATORS = (
    "add argmax batchnorm cast_FLOAT_to_DOUBLE cast_DOUBLE_to_FLOAT celu clip div dropout elu flatten gelu gemm identity "
    "layer_normalization leakyrelu logsoftmax matmul_2d max min mish mul neg prelu relu reshape selu sigmoid softmax softplus "
    "squeeze sub swish tanh transpose unsqueeze array_feature_extractor binarizer"
).split()
# Whose operands may be as large as the samples: all of them together are one sample then.
ELEMENTWISE = re.compile("^test_(add|div|max|min|mul|prelu|sub)(_|$)")
pattern = re.compile(rf"^test_({'|'.join(OPERATORS)})(_|$)")
cases = []
for case in collect_testcases(None):
    model = case.model
    if not pattern.match(case.name) or model is None or len(model.graph.node) > 1 or len(case.data_sets) != 1:
        continue
    inputs, outputs = case.data_sets[0]
    names = [value.name for value in model.graph.input]
    data = np.asarray(inputs[0])
    if data.dtype.kind != "f" or data.ndim == 0 or data.size == 0 or np.asarray(outputs[0]).dtype.kind not in "fiu":
        continue
    # Masks, means and deviations beside the result are left out.
    del model.graph.output[1:]
    rows = data.reshape(data.shape[0], -1)
    if ELEMENTWISE.match(case.name):
        shape = model.graph.input[0].type.tensor_type.shape
        dims = [dim.dim_value for dim in shape.dim]
        del shape.dim[:]
        for rows_of in [1, *dims]:
            shape.dim.add().dim_value = rows_of
        rows = data.reshape(1, -1)
    for name, value in list(zip(names, inputs))[1:]:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    (folder / f"{case.name}.onnx").write_bytes(model.SerializeToString())
    cases.append({
        "name": case.name,
        "rows": rows.astype(float).tolist(),
        "outputs": np.asarray(outputs[0]).astype(float).ravel().tolist(),
        "tolerance": case.rtol,
    })
(folder / "cases.json").write_text(json.dumps(cases))
