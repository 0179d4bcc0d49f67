"""All checks of scikit-learn's check_estimator."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from travertine import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor

# The check compares with a tolerance of 1e-7, which is less than the distance of two neighbors in float32.
WEIGHTS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "compares more digits than float32 has"
    for kind in ["dense", "sparse"]
}


def expected(estimator):
    return WEIGHTS if getattr(estimator, "precision", "") == "float32" and hasattr(estimator, "solver") else {}


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
