"""Trains the peers' models: scikit-learn's own for FastAPI, and the first one as ONNX for ONNX Runtime."""

import pathlib
import sys

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

folder = pathlib.Path(sys.argv[1])
digits = pd.read_csv(folder / "digits.csv")
network = MLPClassifier((300, 100), max_iter=1, random_state=1)
network.fit(digits.iloc[:, :-1].to_numpy(), digits.iloc[:, -1].astype(str))
joblib.dump(network, folder / "digits.joblib")

table = pd.read_csv(folder / "table.csv")
texts = ["city", "job"]
numbers = [name for name in table.columns[:-1] if name not in texts]
columns = make_column_transformer(
    (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
    (OneHotEncoder(handle_unknown="ignore"), texts),
)
pipeline = make_pipeline(columns, MLPClassifier((32, 16), max_iter=5, random_state=1))
joblib.dump(pipeline.fit(table.iloc[:, :-1], table.iloc[:, -1]), folder / "table.joblib")

from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType

options = {id(network): {"zipmap": False}}
types = [("input", FloatTensorType([None, 784]))]
model = convert_sklearn(network, initial_types=types, options=options, target_opset=17)
(folder / "digits.onnx").write_bytes(model.SerializeToString())
assert np.isfinite(network.predict_proba(digits.iloc[:2, :-1].to_numpy())).all()
