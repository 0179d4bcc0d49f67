"""Parameters that change between calls, weights that are assigned, and numbers that are too large."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from travertine import MLPClassifier, MLPRegressor, Model, TabularClassifier, TabularRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fitted(rows, **given):
    X, y = rows
    return MLPClassifier((8,), max_iter=3, random_state=1, **given).fit(X, y > 0)


@pytest.mark.parametrize("value", [1e300, 3.5e38, -1e40])
def test_numbers_beyond_float32_are_refused(rows, value):
    X, y = rows
    classifier = fitted(rows)
    large = X.copy()
    large[5, 2] = value
    for form in [large, large[5:6], large.tolist(), csr_matrix(large), np.asfortranarray(large)]:
        with pytest.raises(ValueError, match=r"Input X contains infinity or a value too large for dtype\('float32'\).*row [05], column 2"):
            classifier.predict(form)
    with pytest.raises(ValueError, match="precision='float64'"):
        MLPClassifier().fit(large, y > 0)
    MLPClassifier(precision="float64", max_iter=1).fit(X, y > 0).predict(large if abs(value) < 1e100 else X)


def test_outputs_that_are_not_finite_are_an_error(rows):
    X, y = rows
    regressor = MLPRegressor((8,), max_iter=3, random_state=1).fit(X, y)
    large = X.copy()
    large[7] = 3e38
    with pytest.raises(ValueError, match="row 7 are not finite"):
        regressor.predict(large)


def test_weights_are_read_only_and_can_be_assigned(rows):
    X, y = rows
    classifier = fitted(rows, normalization="batch")
    other = fitted(rows, alpha=1.0, normalization="batch").partial_fit(X, y > 0)
    for copy in [classifier, pickle.loads(pickle.dumps(classifier))]:
        with pytest.raises(ValueError, match="read-only"):
            copy.coefs_[0][0, 0] = 3.0
        with pytest.raises(TypeError):
            copy.coefs_[0] = other.coefs_[0]
    zeros = [np.zeros_like(values) for values in classifier.coefs_]
    classifier.coefs_ = zeros
    classifier.intercepts_ = [np.zeros(8), np.array([2.0])]
    np.testing.assert_allclose(classifier.predict_proba(X)[:, 1], 1 / (1 + np.exp(-2.0)), rtol=1e-6)
    classifier.partial_fit(X, y > 0)
    for wrong, message in [(zeros[:1], "shapes"), ([zeros[1], zeros[0]], "shapes"), ([values + np.inf for values in zeros], "finite")]:
        with pytest.raises(ValueError, match=message):
            classifier.coefs_ = wrong
    assert not hasattr(MLPClassifier(), "coefs_")


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "tanh"},
        {"normalization": "layer"},
        {"hidden_layer_sizes": (9,)},
        {"device": "cuda:0"},
        {"precision": "float64"},
    ],
)
def test_a_network_keeps_its_shape(rows, change):
    X, y = rows
    classifier = fitted(rows, warm_start=True).set_params(**change)
    for train in [classifier.fit, classifier.partial_fit]:
        with pytest.raises(ValueError, match=f"cannot change: {next(iter(change))} was"):
            train(X, y > 0)
    if "device" not in change:
        classifier.set_params(warm_start=False).fit(X, y > 0).partial_fit(X, y > 0)


@pytest.mark.parametrize("sizes", [(3.7,), ["4"], (True,), True, [[3]], (None,)])
def test_layers_have_whole_numbers_of_units(rows, sizes):
    with pytest.raises((TypeError, ValueError), match="hidden_layer_sizes"):
        MLPClassifier(sizes).fit(*[rows[0], rows[1] > 0])


def test_partial_fit_takes_another_rate(rows):
    X, y = rows
    for solver in ["sgd", "adam"]:
        one, two = (MLPRegressor((8,), solver=solver, random_state=1, precision="float64").partial_fit(X, y) for _ in range(2))
        before = one.coefs_[0]
        one.set_params(learning_rate_init=1e-12).partial_fit(X, y)
        np.testing.assert_allclose(one.coefs_[0], before, atol=1e-8)
        two.partial_fit(X, y)
        assert np.abs(two.coefs_[0] - before).max() > 1e-5


@pytest.mark.parametrize("change", [{"batch_size": 20}, {"dropout": 0.5}, {"solver": "sgd"}, {"alpha": 1.0}, {"beta_1": 0.5}])
def test_partial_fit_keeps_its_optimizer(rows, change):
    X, y = rows
    regressor = MLPRegressor((8,), random_state=1).partial_fit(X, y)
    state = regressor.predict(X)
    with pytest.raises(ValueError, match=f"optimizer of its first call, which cannot change: {next(iter(change))} was"):
        regressor.set_params(**change).partial_fit(X, y)
    assert (regressor.predict(X) == state).all()
    regressor.fit(X, y).partial_fit(X, y)


def test_partial_fit_goes_on_from_a_warm_fit(rows):
    X, y = rows
    regressor = MLPRegressor((8,), random_state=1, warm_start=True, max_iter=200, learning_rate_init=0.01).partial_fit(X, y)
    loss = regressor.fit(X, y).loss_
    assert regressor.partial_fit(X, y).loss_ < 2 * loss


def test_what_partial_fit_does_not_do(rows):
    X, y = rows
    with pytest.raises(ValueError, match="schedule='cosine'"):
        MLPRegressor(schedule="cosine").partial_fit(X, y)
    with pytest.raises(ValueError, match="class_weight 'balanced' is not supported for partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y > 0, classes=[False, True])


def test_early_stopping_may_be_switched_on_and_off(rows):
    X, y = rows
    for first in [True, False]:
        regressor = MLPRegressor((8,), warm_start=True, early_stopping=first, max_iter=3, random_state=1).fit(X, y)
        regressor.set_params(early_stopping=not first).fit(X, y)
        assert (regressor.validation_scores_ is None) == first and (regressor.best_loss_ is None) == (not first)


def test_early_stopping_needs_weights_on_both_sides(rows):
    X, y = rows
    weights = np.zeros(len(y))
    weights[3] = 1.0
    for estimator, target in [(MLPRegressor, y), (MLPClassifier, y > 0)]:
        with pytest.raises(ValueError, match="at least one non-zero number"):
            estimator(early_stopping=True, max_iter=2, random_state=1).fit(X, target, sample_weight=weights)


def test_large_parameters_are_taken_or_named(rows, monkeypatch, tmp_path):
    X, y = rows
    MLPRegressor((4,), max_iter=10**20, tol=10.0, n_iter_no_change=1).fit(X, y)
    MLPRegressor((4,), solver="lbfgs", max_fun=10**20, max_iter=10**20, tol=10.0).fit(X, y)
    for given, name in [({"n_jobs": 10**20}, "n_jobs"), ({"hidden_layer_sizes": (10**20,)}, "hidden_layer_sizes")]:
        with pytest.raises(ValueError, match=name):
            MLPRegressor(**given).fit(X, y)
    with pytest.raises(ValueError, match="'class_weight' parameter"):
        MLPClassifier(class_weight="bal").fit(X, y > 0)
    monkeypatch.setenv("OMP_NUM_THREADS", "99999")
    with pytest.raises(ValueError, match="OMP_NUM_THREADS=99999"):
        MLPRegressor().fit(X, y)
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError, match="none"):
        Model.load(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        fitted(rows).save(tmp_path / "none" / "m.safetensors")


def test_errors_have_the_words_of_python(rows):
    X, y = rows
    regressor = TabularRegressor(max_iter=1).fit(X, y)
    for wrong in [
        lambda: regressor.model_.predict(X + np.inf),
        lambda: regressor.predict((X + np.inf).astype(object)),
        lambda: TabularRegressor(quantiles=[2.0]).fit(X, y),
        lambda: TabularRegressor(quality="best", quantiles=[0.1], calibrate=True).fit(X[:3], y[:3]),
        lambda: TabularClassifier().fit(X[:2], ["a", "b"]),
        lambda: TabularRegressor().fit(np.where(X > -9, np.inf, X).astype(object), y),
        lambda: TabularClassifier().fit(X, np.zeros(300, dtype=int)),
    ]:
        with pytest.raises(ValueError) as error:
            wrong()
        assert not any(word in str(error.value) for word in ["--", "::", "np.", "Usage"]), str(error.value)


def test_a_model_file_needs_two_classes(rows):
    X, y = rows
    one = MLPClassifier((4,), max_iter=2).fit(X, np.zeros(len(y)))
    with pytest.raises(ValueError, match="1 class"):
        one.to_model()


INTERRUPTED = """
import os, signal, threading, warnings
import numpy as np
from travertine import MLPClassifier
signal.signal(signal.SIGINT, signal.default_int_handler)
X = np.random.default_rng(0).normal(size=(200_000, 50))
classifier = MLPClassifier((400, 400), batch_size=100)
timer = threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT))
"""


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of Unix")
def test_an_interrupt_in_the_first_epoch_says_that_no_loss_is_known():
    done = run(
        INTERRUPTED + "timer.start(); classifier.fit(X, X[:, 0] > 0)\n"
        "print(classifier.n_iter_, classifier.loss_, classifier.best_loss_, len(classifier.predict(X[:5])))"
    )
    assert done.stdout == "0 nan nan 5\n", done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of Unix")
def test_an_interrupt_ends_a_prediction():
    done = run(
        INTERRUPTED + "classifier.set_params(max_iter=1).fit(X[:500], X[:500, 0] > 0)\n"
        "X = np.tile(X, (10, 1)); timer.start()\n"
        "try:\n    [classifier.predict(X) for _ in range(20)]\nexcept KeyboardInterrupt: print('interrupted')"
    )
    assert done.stdout == "interrupted\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_does_not_wait_for_a_thread_of_its_parent():
    program = """
import os, sys, threading, time, warnings
import numpy as np
from travertine import MLPClassifier
warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(100_000, 50))
classifier = MLPClassifier((300,), max_iter=1).fit(X[:500], X[:500, 0] > 0)
thread = threading.Thread(target=lambda: [classifier.predict(X) for _ in range(8)])
thread.start()
time.sleep(0.3)
answers = set()
for _ in range(8):
    child = os.fork()
    if child == 0:
        try:
            answer = len(classifier.predict(X[:3]))
        except RuntimeError as error:
            answer = 100 if "forked" in str(error) else 101
        own = MLPClassifier((20,), max_iter=1).fit(X[:500], X[:500, 0] > 0)
        os._exit(answer)
    answers.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    time.sleep(0.05)
thread.join()
print(answers <= {3, 100}, len(classifier.predict(X[:3])))
"""
    done = run(program)
    assert done.stdout == "True 3\n", done.stderr
