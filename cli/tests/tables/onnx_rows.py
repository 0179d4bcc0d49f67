"""Compares an ONNX file on the raw columns of a CSV file with predictions of the program.

onnx.py MODEL.onnx ROWS.csv PREDICTIONS.jsonl; prints the largest difference relative to the larger of 1 and the prediction.
"""

import csv
import datetime
import json
import math
import sys

import numpy as np
import onnx
import onnxruntime

model, rows, expected = sys.argv[1:]
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(model)
with open(rows, newline="") as file:
    rows = list(csv.DictReader(file))
with open(expected) as file:
    expected = [json.loads(line) for line in file]
assert len(rows) == len(expected), (len(rows), len(expected))


def number(text):
    """A number, a truth value or a date, as the input's description says."""
    if text.strip() == "":
        return math.nan
    if text in ("yes", "no", "true", "false"):
        return float(text in ("yes", "true"))
    if text.count("-") == 2 and ":" in text:
        date = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)
        return date.timestamp()
    return float(text)


feed = {}
for declared in session.get_inputs():
    texts = [row[declared.name] for row in rows]
    values = texts if declared.type == "tensor(string)" else [number(text) for text in texts]
    dtype = object if declared.type == "tensor(string)" else np.float64
    feed[declared.name] = np.array(values, dtype=dtype).reshape(-1, 1)
outputs = session.run(None, feed)
metadata = session.get_modelmeta().custom_metadata_map
classes = json.loads(metadata.get("classes", "[]"))
worst = 0.0
compared = 0
for found in outputs:
    assert len(found) == len(rows)
    if found.ndim == 1:
        assert found.tolist() == [line["class"] for line in expected]
        continue
    for line, numbers in zip(expected, found.tolist()):
        answers = [line["probabilities"][name] for name in classes] if classes else line["output"]
        assert len(answers) == len(numbers), (answers, numbers)
        for answer, x in zip(answers, numbers):
            assert math.isfinite(x)
            worst = max(worst, abs(x - answer) / max(1.0, abs(answer)))
            compared += 1
assert compared >= len(rows)
print(worst)
