"""All checks of scikit-learn's check_estimator."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from travertine import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor

# The check compares with a tolerance of 1e-7, which is less than the distance of two neighbors in float32.
WEIGHTS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "compares more digits than float32 has"
    for kind in ["dense", "sparse"]
}


# A weight of 2 is one row: parts and batches are drawn by rows, and scales of columns count each row once. ``fit`` says so.
ROWS = {
    "check_sample_weight_equivalence_on_dense_data": "random parts and batches are drawn by rows, whatever their weights",
    # It has 8 samples held out and weights of 1000 and 0.0001: the first epoch in which the heavy ones are right is kept, whatever
    # becomes of the others. ``class_weight`` says so.
    "check_class_weight_classifiers": "the first epoch of the highest weighted accuracy on the samples held out is kept",
}


def expected(estimator):
    if not hasattr(estimator, "solver"):
        return ROWS
    return WEIGHTS if estimator.precision == "float32" else {}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        MLPClassifier(),
        MLPRegressor(),
        MLPClassifier(precision="float64"),
        MLPRegressor(precision="float64"),
        TabularClassifier(max_iter=20, n_jobs=1),
        TabularRegressor(max_iter=20, n_jobs=1),
    ],
    expected_failed_checks=expected,
)
def test_every_check_of_scikit_learn(estimator, check):
    check(estimator)
