"""A training that fails leaves the last model, or an estimator that is not fitted."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from travertine import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor

pytestmark = pytest.mark.filterwarnings("ignore")
CLASSIFIERS = [MLPClassifier((8,), max_iter=4, random_state=1), TabularClassifier(max_iter=4, random_state=1)]


def failing(epoch):
    raise RuntimeError("of the callback")


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_failed_refit_keeps_labels_and_network_together(rows, classifier):
    X, y = rows
    old, new = np.where(y > 0, "p", "n"), np.where(y > 0, "AA", "ZZ")
    expected = classifier.fit(X, old).predict_proba(X)
    with pytest.raises(ValueError, match="[Nn]egative"):
        classifier.fit(X[:, :3], new, sample_weight=np.full(len(X), -1.0))
    assert classifier.classes_.tolist() == ["n", "p"] and classifier.n_features_in_ == X.shape[1]
    assert (classifier.predict_proba(X) == expected).all()


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("normalization", [None, "batch"])
def test_a_callback_that_raises_undoes_the_training(rows, warm_start, normalization):
    X, y = rows
    labels = (y > 0).astype(int)
    classifier = MLPClassifier((8,), max_iter=4, random_state=1, warm_start=warm_start, normalization=normalization).fit(X, labels)
    expected, history, coefs = classifier.predict_proba(X), list(classifier.loss_curve_), classifier.coefs_[0].copy()
    classifier.set_params(callbacks=[failing])
    for train in [classifier.fit, classifier.partial_fit]:
        with pytest.raises(RuntimeError, match="of the callback"):
            train(X, labels)
        assert (classifier.predict_proba(X) == expected).all() and (classifier.coefs_[0] == coefs).all()
        assert classifier.loss_curve_ == history and classifier.n_iter_ == 4


def test_a_failed_partial_fit_keeps_the_optimizer(rows):
    X, y = rows
    two = [MLPRegressor((8,), random_state=1).partial_fit(X, y) for _ in range(2)]
    two[0].set_params(callbacks=[failing])
    with pytest.raises(RuntimeError):
        two[0].partial_fit(X, y)
    two[0].set_params(callbacks=None)
    first, second = (regressor.partial_fit(X, y).predict(X) for regressor in two)
    assert (first == second).all()


@pytest.mark.parametrize(
    "estimator",
    [
        MLPClassifier((8,), solver="sgd", learning_rate_init=1e10, max_iter=50, random_state=1),
        MLPClassifier(device="cuda:99"),
        MLPClassifier(callbacks=[failing]),
        TabularClassifier(device="cuda:99"),
    ],
)
def test_a_failed_first_fit_is_none(rows, estimator):
    X, y = rows
    with pytest.raises((ValueError, RuntimeError)):
        estimator.fit(X * 1e6, np.where(y > 0, "p", "n"))
    with pytest.raises(NotFittedError):
        estimator.predict(X)


def test_a_failed_first_partial_fit_may_begin_with_other_classes(rows):
    X, y = rows
    classifier = MLPClassifier(callbacks=[failing])
    with pytest.raises(RuntimeError):
        classifier.partial_fit(X, y > 0, classes=[False, True])
    classifier.set_params(callbacks=None).partial_fit(X, (y > 0).astype(int), classes=[0, 1])
    assert classifier.classes_.tolist() == [0, 1]
    with pytest.raises(ValueError):
        TabularRegressor(max_iter=2).fit(X, y).fit(X, np.full(len(y), np.nan))
