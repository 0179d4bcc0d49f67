"""What scikit-learn's own tests of its multilayer perceptrons ask for, and what ours add."""

import io
import pickle
import re
from contextlib import redirect_stdout

import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_matrix
from sklearn.datasets import load_digits, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.preprocessing import StandardScaler

from travertine import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
EXACT = {"precision": "float64", "random_state": 1}


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu", "selu", "mish", "gelu"])
def test_digits_are_learned_with_every_activation(digits, activation):
    X, y = digits
    classifier = MLPClassifier((50,), activation, max_iter=80, random_state=1, learning_rate_init=0.01).fit(X[:1000], y[:1000])
    assert classifier.score(X[1000:], y[1000:]) > 0.9
    assert classifier.predict_proba(X[1000:]).shape == (797, 10)
    np.testing.assert_allclose(classifier.predict_proba(X).sum(axis=1), 1.0)


def test_one_step_is_the_formula():
    """A step of gradient descent on one batch, by the formulas of scikit-learn's documentation."""
    random = np.random.default_rng(3)
    X, y = random.normal(size=(7, 3)), np.array([0, 1, 2, 0, 1, 2, 1])
    weights = random.uniform(0.5, 2.0, size=7)
    alpha, rate = 0.3, 0.1
    given = {"solver": "sgd", "momentum": 0.0, "alpha": alpha, "learning_rate_init": rate, "shuffle": False, **EXACT}
    # No step changes the weights it starts from: a rate that is nearly none.
    start = MLPClassifier((4,), "tanh", **{**given, "learning_rate_init": 1e-300}, max_iter=1).fit(X, y)
    after = MLPClassifier((4,), "tanh", **given, max_iter=1).fit(X, y, sample_weight=weights)
    (W1, W2), (b1, b2) = start.coefs_, start.intercepts_
    hidden = np.tanh(X @ W1 + b1)
    logits = hidden @ W2 + b2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    t = np.eye(3)[y]
    loss = -(weights * (t * np.log(p)).sum(axis=1)).sum() / weights.sum()
    delta2 = weights[:, None] * (p - t)
    delta1 = delta2 @ W2.T * (1 - hidden**2)
    gradients = [(X.T @ delta1 + alpha * W1), (hidden.T @ delta2 + alpha * W2)]
    for coefs, W, gradient in zip(after.coefs_, (W1, W2), gradients, strict=True):
        np.testing.assert_allclose(coefs, W - rate * gradient / weights.sum(), rtol=1e-10, atol=1e-12)
    for intercepts, b, delta in zip(after.intercepts_, (b1, b2), (delta1, delta2), strict=True):
        np.testing.assert_allclose(intercepts, b - rate * delta.sum(axis=0) / weights.sum(), rtol=1e-10, atol=1e-12)
    penalty = 0.5 * alpha * sum((W**2).sum() for W in after.coefs_) / weights.sum()
    np.testing.assert_allclose(after.loss_curve_[0], loss + penalty, rtol=1e-10)


def test_a_network_without_hidden_layers_is_a_logistic_regression(iris):
    X, y = StandardScaler().fit_transform(iris[0]), iris[1]
    ours = MLPClassifier((), alpha=1.0, solver="sgd", learning_rate_init=0.5, batch_size=150, max_iter=5000, tol=0, n_iter_no_change=5000, **EXACT)
    theirs = LogisticRegression(C=1.0, tol=1e-10).fit(X, y)
    ours.fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=0.02)


def test_lbfgs_finds_the_minimum_of_scikit_learn(iris):
    X, y = StandardScaler().fit_transform(iris[0]), iris[1]
    weights = np.linspace(0.5, 2.0, len(y))
    ours = MLPClassifier((), solver="lbfgs", alpha=1.0, tol=1e-8, max_iter=1000, **EXACT).fit(X, y, sample_weight=weights)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    assert ours.loss_curve_ == sorted(ours.loss_curve_, reverse=True) and ours.n_iter_ == len(ours.loss_curve_)
    single = MLPClassifier((), solver="lbfgs", alpha=1.0, random_state=1).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(single.predict_proba(X), theirs.predict_proba(X), atol=0.01)


def test_lbfgs_trains_networks(iris, rows):
    X, y = iris
    for activation in ["tanh", "relu", "logistic"]:
        assert MLPClassifier((20,), activation, solver="lbfgs", max_iter=500, random_state=1).fit(X, y).score(X, y) > 0.95
    X, y = rows
    regressor = MLPRegressor((20,), solver="lbfgs", max_iter=500, random_state=1).fit(X, y)
    assert regressor.score(X, y) > 0.99
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        MLPRegressor((20,), solver="lbfgs", max_iter=2, precision="float64").fit(X, y)
    with pytest.raises(ValueError, match="dropout"):
        MLPRegressor((20,), solver="lbfgs", dropout=0.1).fit(X, y)


def test_alpha_shrinks_weights(iris):
    norms = [
        sum(np.abs(coefs).sum() for coefs in MLPClassifier((10,), alpha=alpha, max_iter=300, random_state=1).fit(*iris).coefs_)
        for alpha in [1e-6, 1.0, 100.0]
    ]
    assert norms == sorted(norms, reverse=True)


def test_regression_and_several_outputs(rows):
    X, y = rows
    one = MLPRegressor((30,), max_iter=500, random_state=1, learning_rate_init=0.01).fit(X, y)
    assert one.score(X, y) > 0.95 and one.predict(X).shape == (300,)
    X, Y = make_regression(200, 5, n_targets=3, random_state=0)
    Y /= Y.std(axis=0)
    several = MLPRegressor((30,), max_iter=500, random_state=1, learning_rate_init=0.01).fit(X, Y)
    assert several.score(X, Y) > 0.95 and several.predict(X).shape == (200, 3)
    np.testing.assert_allclose(several.loss_, ((several.predict(X) - Y) ** 2).mean() / 2, rtol=0.5)


def test_multilabel():
    X, Y = make_multilabel_classification(300, 10, n_classes=4, random_state=0, return_indicator=True)
    given = {"hidden_layer_sizes": (50,), "max_iter": 300, "random_state": 1, "learning_rate_init": 0.01}
    classifier = MLPClassifier(**given).fit(X, Y)
    assert classifier.score(X, Y) > TheirClassifier(**given).fit(X, Y).score(X, Y) - 0.05
    probabilities = classifier.predict_proba(X)
    assert probabilities.shape == Y.shape and ((probabilities > 0.5) == classifier.predict(X)).all()
    by_parts = MLPClassifier((50,), random_state=1).partial_fit(X, Y, classes=np.arange(4))
    assert by_parts.predict(X).shape == Y.shape


def test_two_classes_as_booleans_and_texts(rows):
    X, y = rows
    for labels in [y > 0, np.where(y > 0, "up", "down"), (y > 0).astype(int)]:
        classifier = MLPClassifier((20,), max_iter=100, random_state=1).fit(X, labels)
        assert set(classifier.predict(X)) <= set(labels) and classifier.classes_.dtype == np.asarray(labels).dtype
        assert roc_auc_score(labels == classifier.classes_[1], classifier.predict_proba(X)[:, 1]) > 0.95
        np.testing.assert_allclose(np.exp(classifier.predict_log_proba(X)), classifier.predict_proba(X))


def test_sparse_is_dense(digits):
    X, y = digits[0][:300], digits[1][:300]
    ours = MLPClassifier((20,), max_iter=10, random_state=1).fit(X, y)
    for kind in [csr_matrix, csc_matrix]:
        sparse = MLPClassifier((20,), max_iter=10, random_state=1).fit(kind(X), y)
        assert (sparse.predict_proba(kind(X)) == ours.predict_proba(X)).all()


def test_partial_fit_is_fit_without_shuffling(digits):
    X, y = digits[0][:400], digits[1][:400]
    for solver in ["sgd", "adam"]:
        given = {"solver": solver, "shuffle": False, "alpha": 1e-5, "learning_rate_init": 0.01, **EXACT}
        whole = MLPClassifier((10,), max_iter=20, tol=0.0, n_iter_no_change=100, batch_size=200, **given).fit(X, y)
        parts = MLPClassifier((10,), **given)
        for _ in range(20):
            parts.partial_fit(X, y, classes=np.unique(y))
        np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), rtol=1e-9, atol=1e-12)
        assert len(parts.loss_curve_) == 20


@pytest.mark.parametrize("options", [{}, {"solver": "sgd", "momentum": 0.9}, {"normalization": "batch", "precision": "float64"}])
def test_a_pickle_goes_on_with_the_state_of_the_optimizer(digits, options):
    X, y = digits
    first = MLPClassifier((20,), random_state=1, **options)
    for _ in range(3):
        first.partial_fit(X[:400], y[:400], classes=np.unique(y))
    copy = pickle.loads(pickle.dumps(first))
    weights = MLPClassifier((20,), random_state=1, **options)
    for estimator in [first, copy]:
        estimator.partial_fit(X[400:800], y[400:800])
    for own, theirs in zip(first.coefs_, copy.coefs_, strict=True):
        assert (own == theirs).all()
    # The state matters: from the same weights without it, the next steps are others.
    state = copy.__getstate__()
    state["_network"] = (state["_network"][0], None)
    weights.__setstate__(state)
    for estimator in [copy, weights]:
        estimator.partial_fit(X[:400], y[:400])
    assert not (copy.coefs_[0] == weights.coefs_[0]).all()


def test_partial_fit_says_what_is_wrong(iris):
    X, y = iris
    with pytest.raises(ValueError, match="classes must be passed"):
        MLPClassifier().partial_fit(X, y)
    classifier = MLPClassifier(random_state=1).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="not the same as on last call"):
        classifier.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="has classes not in"):
        classifier.partial_fit(X, y + 5)
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="does not support early_stopping"):
        MLPClassifier(early_stopping=True).partial_fit(X, y, classes=[0, 1, 2])
    # Batches of any size go on with one optimizer.
    for end in [150, 40, 7, 150]:
        classifier.partial_fit(X[:end], y[:end])


def test_warm_start_goes_on(iris):
    X, y = iris
    classifier = MLPClassifier((10,), warm_start=True, max_iter=20, random_state=1).fit(X, y)
    before = classifier.loss_
    classifier.fit(X, y)
    assert classifier.loss_ < before and classifier.n_iter_ == 20 and len(classifier.loss_curve_) == 40
    with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same classes"):
        classifier.fit(X, np.where(y == 2, 7, y))


def test_early_stopping_keeps_the_best(digits):
    X, y = digits
    classifier = MLPClassifier((50,), early_stopping=True, max_iter=200, random_state=1, n_iter_no_change=5).fit(X, y)
    assert classifier.n_iter_ < 200
    assert len(classifier.validation_scores_) == classifier.n_iter_
    assert classifier.best_validation_score_ == max(classifier.validation_scores_) and classifier.best_loss_ is None
    regressor = MLPRegressor((20,), early_stopping=True, max_iter=500, random_state=1).fit(X, y / 3.0)
    assert regressor.best_validation_score_ == max(regressor.validation_scores_)
    without = MLPClassifier(max_iter=2, random_state=1).fit(X, y)
    assert without.validation_scores_ is None and without.best_validation_score_ is None
    with pytest.raises(ValueError, match="validation set is too small"):
        MLPRegressor(early_stopping=True).fit(X[:10], np.arange(10))


def test_training_stops_by_tol(rows):
    X, y = rows
    for solver in ["sgd", "adam"]:
        regressor = MLPRegressor((10,), solver=solver, tol=0.5, n_iter_no_change=3, max_iter=500, random_state=1).fit(X, y)
        assert 4 < regressor.n_iter_ < 100
    endless = MLPRegressor((10,), tol=0.5, n_iter_no_change=np.inf, max_iter=30, random_state=1).fit(X, y)
    assert endless.n_iter_ == 30
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        MLPRegressor((10,), max_iter=2).fit(X, y)


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
def test_learning_rates(iris, learning_rate):
    X, y = iris
    out = io.StringIO()
    with redirect_stdout(out):
        classifier = MLPClassifier(
            (10,), solver="sgd", learning_rate=learning_rate, tol=1e-3, max_iter=2000, random_state=1, verbose=True, learning_rate_init=0.05
        ).fit(X, y)
    assert classifier.score(X, y) > (0.5 if learning_rate == "invscaling" else 0.9)
    assert re.search(r"Iteration 1, loss = \d\.\d{8}", out.getvalue())
    assert ("Setting learning rate to 0.01" in out.getvalue()) == (learning_rate == "adaptive")
    assert "Training loss did not improve more than tol=0.001" in out.getvalue() and "Stopping." in out.getvalue()


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "coslog", "flat_cosine"])
def test_schedules_dropout_normalization(digits, schedule):
    X, y = digits
    for normalization in ["batch", "layer", None]:
        classifier = MLPClassifier(
            (60, 40), schedule=schedule, dropout=0.1, normalization=normalization, max_iter=25, random_state=1, learning_rate_init=0.005
        ).fit(X[:1000], y[:1000])
        assert classifier.score(X[1000:], y[1000:]) > 0.9, (schedule, normalization)
        assert [coefs.shape for coefs in classifier.coefs_] == [(64, 60), (60, 40), (40, 10)]


def test_class_weights(rows):
    X, y = rows
    labels = (y > 2.5).astype(int)
    shares = []
    for class_weight in [None, "balanced", {0: 1, 1: 50}]:
        classifier = MLPClassifier((5,), class_weight=class_weight, max_iter=30, random_state=1).fit(X, labels)
        shares.append(classifier.predict_proba(X)[:, 1].mean())
    assert shares[0] < shares[1] < shares[2]
    weighted = MLPClassifier((5,), max_iter=30, random_state=1, **{"precision": "float64"})
    by_class = MLPClassifier((5,), class_weight={0: 1, 1: 50}, max_iter=30, random_state=1, precision="float64")
    own = weighted.fit(X, labels, sample_weight=np.where(labels == 1, 50.0, 1.0)).predict_proba(X)
    np.testing.assert_allclose(own, by_class.fit(X, labels).predict_proba(X), rtol=1e-12)


def test_callbacks_end_the_training(iris):
    seen = []

    def stop(epoch):
        seen.append(epoch)
        return epoch["epoch"] == 3

    classifier = MLPClassifier(max_iter=50, callbacks=[stop], random_state=1).fit(*iris)
    assert classifier.n_iter_ == 3 and [epoch["epoch"] for epoch in seen] == [1, 2, 3]
    assert [epoch["loss"] for epoch in seen] == classifier.loss_curve_

    asking = MLPClassifier(max_iter=5, random_state=1)
    asking.callbacks = [lambda epoch: asking._network.parameters()]
    with pytest.raises(RuntimeError, match="is being trained"):
        asking.fit(*iris)

    def fail(epoch):
        raise RuntimeError("of the callback")

    with pytest.raises(RuntimeError, match="of the callback"):
        MLPClassifier(callbacks=[fail]).fit(*iris)


def test_scores_are_those_of_scikit_learn(digits):
    """The same network, trained by either, is as good."""
    X, y = digits
    given = {"hidden_layer_sizes": (40,), "max_iter": 40, "random_state": 0}
    ours = MLPClassifier(**given).fit(X[:1200], y[:1200])
    theirs = TheirClassifier(**given).fit(X[:1200], y[:1200])
    assert abs(ours.score(X[1200:], y[1200:]) - theirs.score(X[1200:], y[1200:])) < 0.03
    assert abs(ours.loss_ - theirs.loss_) < 0.3 * theirs.loss_


def test_what_is_wrong_is_said(iris):
    X, y = iris
    with pytest.raises(NotFittedError):
        MLPClassifier().predict(X)
    for parameters in [
        {"hidden_layer_sizes": (0,)},
        {"activation": "ghost"},
        {"solver": "ghost"},
        {"alpha": -1},
        {"learning_rate_init": 0},
        {"dropout": 1.0},
        {"momentum": 2},
        {"schedule": "ghost"},
        {"normalization": "ghost"},
        {"precision": "float16"},
        {"max_iter": 0},
        {"validation_fraction": -1},
    ]:
        with pytest.raises(ValueError, match=next(iter(parameters))):
            MLPClassifier(**parameters).fit(X, y)
    with pytest.raises(RuntimeError, match="not available"):
        MLPClassifier(device="cuda:99").fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        MLPClassifier().fit(np.where(X > 7, np.nan, X), y)
    with pytest.raises(ValueError, match="[Ii]nfinity"):
        MLPRegressor(max_iter=2).fit(X, y).predict(np.full((2, 4), np.inf))
    with pytest.raises(ValueError, match="too large"):
        MLPRegressor().fit(X, y * 1e300)
    with pytest.raises(ValueError, match="[Nn]egative"):
        MLPClassifier().fit(X, y, sample_weight=np.full(150, -1.0))
    with pytest.raises(ValueError, match="non-zero"):
        MLPClassifier().fit(X, y, sample_weight=np.zeros(150))
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        MLPRegressor(solver="sgd", learning_rate_init=1e10, max_iter=50).fit(X * 1e6, y * 1e3)
    classifier = MLPClassifier(max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match="3 features, but MLPClassifier is expecting 4"):
        classifier.predict(X[:, :3])


def test_arrays_of_another_precision_train_the_same_bits():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    single = X.astype(np.float32)
    for precision in ("float32", "float64"):
        for solver in ("adam", "lbfgs"):
            given = {"max_iter": 3, "random_state": 1, "precision": precision, "solver": solver}
            made = [MLPClassifier(**given).fit(data, y) for data in (single, single.astype(np.float64), np.asfortranarray(single))]
            for one in made[1:]:
                for mine, other in zip(one.coefs_ + one.intercepts_, made[0].coefs_ + made[0].intercepts_, strict=True):
                    assert mine.dtype == precision
                    np.testing.assert_array_equal(mine, other)
    # The cast rounds as NumPy's does.
    own, cast = (MLPClassifier(max_iter=3, random_state=1).fit(data, y) for data in (X / 3, (X / 3).astype(np.float32)))
    np.testing.assert_array_equal(own.coefs_[0], cast.coefs_[0])


def test_parts_of_a_prediction_answer_as_each_row_does():
    source = np.random.default_rng(1)
    X, y = source.normal(size=(2500, 1000)), source.integers(0, 3, 2500)
    model = MLPClassifier((8,), max_iter=1).fit(X, y)
    whole = model.predict_proba(X)
    for row in (0, 1023, 1024, 1047, 1048, 1049, 2499):
        np.testing.assert_array_equal(model.predict_proba(X[row : row + 1])[0], whole[row])
    X[2100, 7] = 1e39
    with pytest.raises(ValueError, match="in row 2100, column 7"):
        model.predict(X)
