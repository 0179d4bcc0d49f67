"""The peer with FastAPI and scikit-learn, as their documentation shows it: `uvicorn fastapi_app:app`."""

import os
import pathlib

import joblib
import numpy as np
import pandas as pd
from fastapi import Body, FastAPI

folder = pathlib.Path(os.environ["LOAD_CHECK_FOLDER"])
app = FastAPI()
digits = joblib.load(folder / "digits.joblib")
table = joblib.load(folder / "table.joblib")


def answers(model, rows):
    shares = model.predict_proba(rows)
    names = [str(name) for name in model.classes_]
    return [
        {"class": names[best], "probability": row[best], "probabilities": dict(zip(names, row))}
        for row, best in zip(shares.tolist(), shares.argmax(axis=1).tolist())
    ]


@app.post("/digits")
def predict_digits(rows: list[list[float]] = Body()):
    return {"predictions": answers(digits, np.array(rows))}


@app.post("/table")
def predict_table(rows: list[dict] = Body()):
    return {"predictions": answers(table, pd.DataFrame(rows))}
