"""Writes networks and pipelines of scikit-learn as ONNX files into a folder, with samples and what scikit-learn predicts.

cases.json lists the files: `rows` or `records` as inputs, `outputs` and, for classifiers, `labels`.
"""

import json
import pathlib
import sys
import warnings

import numpy as np
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

warnings.simplefilter("ignore")
folder = pathlib.Path(sys.argv[1])
random = np.random.default_rng(7)
x = random.normal(size=(80, 4)).astype(np.float32) * [1, 10, 0.1, 3] + [0, 5, 1, 0]
x = x.astype(np.float32)
two = (x[:, 0] + x[:, 3] > 0).astype(int)
three = np.array(["low", "middle", "high"])[random.integers(0, 3, 80)]
gaps = x.copy()
gaps[random.random(x.shape) < 0.1] = np.nan
settings = {"hidden_layer_sizes": (5, 4), "max_iter": 30, "random_state": 1}
cases = []


def add(name, model, inputs, converted, records=None):
    (folder / f"{name}.onnx").write_bytes(converted.SerializeToString())
    case = {"file": f"{name}.onnx"}
    if records is None:
        case["rows"] = [[None if np.isnan(v) else float(v) for v in row] for row in inputs]
    else:
        case["records"] = records
    if hasattr(model, "predict_proba"):
        case["outputs"] = model.predict_proba(inputs).tolist()
        case["labels"] = [str(label) for label in model.predict(inputs)]
    else:
        case["outputs"] = np.asarray(model.predict(inputs)).reshape(len(case.get("rows", inputs)), -1).tolist()
    cases.append(case)


def plain(name, model, inputs, targets, **options):
    model.fit(inputs, targets)
    options = {"options": {"zipmap": False}} if options.get("zipmap") is False else {}
    add(name, model, inputs, to_onnx(model, inputs, **options))


plain("two_classes", MLPClassifier(activation="relu", **settings), x, two)
plain("two_classes_array", MLPClassifier(activation="identity", **settings), x, two, zipmap=False)
plain("three_classes", MLPClassifier(activation="tanh", **settings), x, three)
plain("three_classes_array", MLPClassifier(activation="logistic", **settings), x, three, zipmap=False)
# A regressor of several values is written with a Reshape that mixes the values of samples.
plain("regressor", MLPRegressor(activation="logistic", **settings), x, x[:, 2])
plain("one_value", MLPRegressor(**settings), x, x[:, 0])
plain("pipeline", make_pipeline(StandardScaler(), MLPClassifier(**settings)), x, three, zipmap=False)
plain("double", make_pipeline(StandardScaler(), MLPClassifier(**settings)), x.astype(np.float64), two, zipmap=False)
plain("scalers", make_pipeline(MinMaxScaler(), MaxAbsScaler(), RobustScaler(), MLPRegressor(**settings)), x, x[:, 0])
plain("imputer", make_pipeline(SimpleImputer(), StandardScaler(), MLPClassifier(**settings)), gaps, two, zipmap=False)
plain("medians", make_pipeline(SimpleImputer(strategy="median"), MLPRegressor(**settings)), gaps, x[:, 1])

# Columns of numbers and texts, by name.
import pandas

table = pandas.DataFrame(
    {"size": gaps[:, 0], "weight": gaps[:, 1], "color": np.array(["red", "green", "blue"])[random.integers(0, 3, 80)],
     "shape": np.array(["round", "flat"])[random.integers(0, 2, 80)]}
)
columns = ColumnTransformer(
    [
        ("texts", OneHotEncoder(handle_unknown="ignore"), ["color", "shape"]),
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["weight", "size"]),
    ]
)
model = make_pipeline(columns, MLPClassifier(**settings)).fit(table, three)
types = [
    ("size", FloatTensorType([None, 1])), ("weight", FloatTensorType([None, 1])),
    ("color", StringTensorType([None, 1])), ("shape", StringTensorType([None, 1])),
]
records = json.loads(table.to_json(orient="records", double_precision=15))
add("table", model, table, convert_sklearn(model, initial_types=types), records)

# A column of whole numbers that are categories.
whole = pandas.DataFrame({"size": x[:, 0], "rooms": random.integers(1, 5, 80)})
columns = ColumnTransformer([("rooms", OneHotEncoder(handle_unknown="ignore"), ["rooms"]), ("size", MinMaxScaler(), ["size"])])
model = make_pipeline(columns, MLPRegressor(**settings)).fit(whole, x[:, 1])
types = [("size", FloatTensorType([None, 1])), ("rooms", Int64TensorType([None, 1]))]
records = json.loads(whole.to_json(orient="records", double_precision=15))
add("whole_numbers", model, whole, convert_sklearn(model, initial_types=types), records)
(folder / "cases.json").write_text(json.dumps(cases))
