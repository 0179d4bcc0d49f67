"""Runs the ONNX files of a folder through ONNX's checker and ONNX Runtime.

cases.json in the folder lists for each file its inputs by name, and the outputs that the library computes. Prints a JSON line a
file: the largest difference to them, relative to the larger of 1 and the number.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

folder = pathlib.Path(sys.argv[1])
types = {"tensor(double)": np.float64, "tensor(float)": np.float32, "tensor(string)": object}
for case in json.loads((folder / "cases.json").read_text()):
    path = folder / case["file"]
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path))
    feed = {}
    for declared in session.get_inputs():
        values = [[np.nan if x is None else x for x in row] for row in case["inputs"][declared.name]]
        feed[declared.name] = np.array(values, dtype=types[declared.type])
    assert set(feed) == set(case["inputs"]), (case["file"], sorted(feed))
    outputs = session.run(None, feed)
    worst = 0.0
    for declared, found in zip(session.get_outputs(), outputs):
        expected = np.array(case["outputs"][declared.name])
        assert found.shape == expected.shape, (case["file"], declared.name, found.shape, expected.shape)
        if declared.name in ("label", "class"):
            assert found.tolist() == expected.tolist(), (case["file"], found, expected)
        else:
            difference = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
            assert np.isfinite(found).all(), (case["file"], found)
            worst = max(worst, float(difference.max()))
    metadata = session.get_modelmeta().custom_metadata_map
    if case["classes"]:
        assert json.loads(metadata["classes"]) == case["classes"], metadata["classes"]
    if "features" in case:
        assert json.loads(metadata["features"]) == case["features"], metadata["features"]
    # Another program computes the same rows one at a time.
    first = session.run(None, {name: rows[:1] for name, rows in feed.items()})
    for one, all_rows in zip(first, outputs):
        if one.dtype.kind == "f":
            assert np.allclose(one, all_rows[:1], rtol=1e-5, atol=1e-6), (case["file"], one, all_rows[:1])
    print(json.dumps({"file": case["file"], "worst": worst}))
