#!/usr/bin/env python3
"""Writes tests/library/metrics.json: cases and the numbers that scikit-learn, SciPy and NumPy give for them.

    pip install scikit-learn && scripts/make-metric-cases.py > tests/library/metrics.json
"""

import json
import warnings

import numpy as np
import sklearn
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn import metrics

warnings.simplefilter("ignore")  # undefined scores are part of the cases
random = np.random.default_rng(1)
QUANTILES = [0.05, 0.25, 0.5, 0.95, 1.0]


def number(x):
    return None if np.isnan(x) else float(x)


def average_precision(truth, scores):
    # scikit-learn has 0 for a class that does not occur.
    return float(metrics.average_precision_score(truth, scores)) if truth.any() else None


def calibration(truth, probabilities, bins):
    """By a loop over the bins (b / bins, (b + 1) / bins], as Guo et al. have them."""
    predicted, p = probabilities.argmax(1), probabilities.max(1)
    found, error = [], 0.0
    for b in range(bins):
        inside = (p > b / bins) & (p <= (b + 1) / bins)
        if not inside.any():
            found.append([0, 0.0, 0.0])
            continue
        hits, mean = float((predicted == truth)[inside].mean()), float(p[inside].mean())
        found.append([int(inside.sum()), mean, hits])
        error += inside.mean() * abs(hits - mean)
    return {"bins": found, "error": float(error)}


def temperature(name, truth, logits):
    truth, logits = np.asarray(truth), np.asarray(logits, float)
    # The cross-entropy is convex in the inverse of the temperature.
    loss = lambda inverse: -log_softmax(inverse * logits, axis=1)[np.arange(len(truth)), truth].mean()
    found = minimize_scalar(loss, bounds=(1 / 20, 20), method="bounded", options={"xatol": 1e-12})
    return {
        "name": name, "classes": logits.shape[1], "truth": truth.tolist(), "logits": logits.ravel().tolist(),
        "temperature": float(1 / found.x), "loss": float(found.fun),
    }


def classes(name, truth, scores):
    truth, scores = np.asarray(truth), np.asarray(scores, float)
    count = scores.shape[1]
    predicted = scores.argmax(1)
    labels = range(count)
    scores_of = metrics.precision_recall_fscore_support
    precision, recall, f1, support = scores_of(truth, predicted, labels=labels, zero_division=0)
    averages = scores_of(truth, predicted, average="macro", zero_division=0)[:3]
    tied = any(len(set(row)) < count for row in scores)
    top_k = None
    if count > 2 and not tied:  # scikit-learn breaks ties the other way round
        top_k = [metrics.top_k_accuracy_score(truth, scores, k=k, labels=labels) for k in range(1, count + 1)]
    aucs = [number(metrics.roc_auc_score(truth == c, scores[:, c])) for c in labels]
    if len(set(truth)) < count:
        ovr = None  # undefined for a class that does not occur
    elif count == 2:
        ovr = metrics.roc_auc_score(truth, scores[:, 1])
    else:
        ovr = metrics.roc_auc_score(truth, scores, multi_class="ovr", labels=labels)
    return {
        "name": name, "classes": count, "truth": truth.tolist(), "scores": scores.ravel().tolist(),
        "accuracy": metrics.accuracy_score(truth, predicted),
        "confusion": metrics.confusion_matrix(truth, predicted, labels=labels).ravel().tolist(),
        "precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist(), "support": support.tolist(),
        "macro": [float(x) for x in averages], "top_k": top_k, "roc_auc": aucs, "roc_auc_ovr": ovr,
        "log_loss": float(metrics.log_loss(truth, scores, labels=labels)),
        "average_precision": [average_precision(truth == c, scores[:, c]) for c in labels],
        "calibration": calibration(truth, scores, 7),
    }


def softmax(z):
    z = np.exp(z - z.max(1, keepdims=True))
    return z / z.sum(1, keepdims=True)


def shares(scores):
    return scores / scores.sum(1, keepdims=True)


def values(name, truth, predicted):
    truth, predicted = np.asarray(truth, float), np.asarray(predicted, float)
    outputs = truth.shape[1]
    return {
        "name": name, "outputs": outputs, "truth": truth.ravel().tolist(), "predicted": predicted.ravel().tolist(),
        # All values in one pool.
        "rmse": metrics.root_mean_squared_error(truth.ravel(), predicted.ravel()),
        "mae": metrics.mean_absolute_error(truth, predicted),
        "r2": number(metrics.r2_score(truth, predicted, multioutput="variance_weighted", force_finite=False)),
        "pinball": [metrics.mean_pinball_loss(truth.ravel(), predicted.ravel(), alpha=q) for q in QUANTILES],
        "quantiles": np.quantile((predicted - truth).ravel(), QUANTILES).tolist(),
    }


truth = random.integers(0, 4, 60)
noisy = softmax(random.normal(size=(60, 4)) + 2 * np.eye(4)[truth])
seven = random.integers(0, 7, 100)
coarse = shares(np.round(softmax(random.normal(size=(60, 4)) + np.eye(4)[truth]), 1) + 1e-3)
yes = random.random(50)
binary = (random.random(50) < yes).astype(int)
y = random.normal(size=(40, 3)) * [1, 10, 100] + [0, 5, -3]
other = np.random.default_rng(2)  # what came before keeps its numbers
logits = 2 * other.normal(size=(200, 4))
sampled = np.array([other.choice(4, p=p) for p in softmax(logits)])
cases = {
    "source": f"scikit-learn {sklearn.__version__}, scripts/make-metric-cases.py",
    "classes": [
        classes("four classes", truth, noisy),
        classes("seven classes, guessed", seven, softmax(random.normal(size=(100, 7)))),
        classes("equal scores", truth, coarse),
        classes("two classes", binary, np.stack([1 - yes, yes], 1)),
        classes("two classes, equal scores", binary, np.round(np.stack([1 - yes, yes], 1), 1)),
        classes("a class that does not occur", truth % 3, noisy),
        classes("a class that is never predicted", truth, shares(noisy * [1, 1, 1, 0] + [0, 0, 0, 1e-6])),
        classes("neither occurs nor is predicted", truth % 3, shares(noisy * [1, 1, 1, 0])),
        classes("one class only", [1, 1, 1], [[0.2, 0.8], [0.6, 0.4], [0.1, 0.9]]),
        classes("one sample", [0], [[0.1, 0.5, 0.4]]),
    ],
    "values": [
        values("one output", y[:, :1], y[:, :1] + random.normal(size=(40, 1))),
        values("three outputs", y, y + random.normal(size=(40, 3))),
        values("worse than the mean", y[:, :1], -3 * y[:, :1]),
        values("exact", y[:, 1:2], y[:, 1:2]),
    ],
    "temperatures": [
        temperature("too certain", sampled, 3 * logits),
        temperature("not certain enough", sampled, logits / 4),
        temperature("a constant added to a sample", sampled, logits + 1e3 * np.arange(200)[:, None]),
        temperature("two classes", sampled % 2, logits[:, :2]),
        temperature("log-probabilities", truth, np.log(noisy)),
        temperature("separable", logits.argmax(1), logits),
        temperature("the opposite", logits.argmin(1), logits),
    ],
    "quantiles": QUANTILES,
}
print(json.dumps(cases))
