"""Arrays of every kind, processes, threads, interruptions, memory."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from travertine import MLPClassifier, MLPRegressor, Model

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def trained(X, y, **given):
    return MLPClassifier((20,), max_iter=15, random_state=1, **given).fit(X, y)


def views(X, folder):
    """The same numbers in every order and alignment that NumPy has."""
    n, m = X.shape
    wide = np.zeros((2 * n, 3 * m), dtype=X.dtype)
    wide[::2, 1::3] = X
    mapped = np.memmap(folder / "x.bin", dtype=X.dtype, mode="w+", shape=X.shape)
    mapped[:] = X
    bytes_ = np.zeros(X.nbytes + 1, dtype=np.uint8)
    misaligned = np.frombuffer(bytes_.data, dtype=X.dtype, count=X.size, offset=1).reshape(X.shape)
    bytes_[1:] = np.frombuffer(np.ascontiguousarray(X).tobytes(), dtype=np.uint8)
    frozen = X.copy()
    frozen.setflags(write=False)
    return {
        "Fortran order": np.asfortranarray(X),
        "columns chosen": X[:, ::-1][:, list(range(m - 1, -1, -1))],
        "negative steps": X[::-1, ::-1].copy()[::-1, ::-1],
        "steps": wide[::2, 1::3],
        "memory map": mapped,
        "misaligned": misaligned,
        "read only": frozen,
        "other byte order": X.astype(X.dtype.newbyteorder()),
        "list": X.tolist(),
        "object": X.astype(object),
    }


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_array_has_the_same_answer(iris, tmp_path, dtype):
    X, y = iris[0].astype(dtype), iris[1]
    classifier = trained(X, y)
    expected = classifier.predict_proba(X)
    for name, view in views(X, tmp_path).items():
        assert (classifier.predict_proba(view) == expected).all(), name
        assert (trained(view, y).predict_proba(X) == expected).all(), name
    swapped = trained(X[:, [1, 0, 2, 3]], y)
    assert (swapped.predict(X[:, [1, 0, 2, 3]]) == swapped.predict(np.asfortranarray(X[:, [1, 0, 2, 3]]))).all()


def test_any_number_of_threads_has_the_same_bits(digits):
    X, y = digits
    for given in [{}, {"dropout": 0.2, "normalization": "batch"}, {"precision": "float64", "solver": "sgd"}]:
        one, two = (
            MLPClassifier((100, 50), max_iter=5, batch_size=256, random_state=3, n_jobs=n, **given).fit(X, y) for n in [1, 2]
        )
        assert one.loss_curve_ == two.loss_curve_
        assert all((a == b).all() for a, b in zip(one.coefs_, two.coefs_, strict=True))
        assert (one.predict_proba(X) == two.predict_proba(X)).all()


def test_copies_are_the_same(iris):
    X, y = iris
    classifier = trained(X, y, normalization="batch")
    for copy in [pickle.loads(pickle.dumps(classifier)), __import__("copy").deepcopy(classifier)]:
        assert (copy.predict_proba(X) == classifier.predict_proba(X)).all()
        copy.partial_fit(X, y)
        assert not (copy.predict_proba(X) == classifier.predict_proba(X)).all()
    assert not hasattr(clone(classifier), "coefs_")


def test_pickles_are_read_by_another_process(iris, tmp_path):
    X, y = iris
    classifier = trained(X, y)
    joblib.dump(classifier, tmp_path / "c.joblib")
    np.save(tmp_path / "x.npy", X)
    program = (
        "import joblib, numpy, sys; c = joblib.load(sys.argv[1]); "
        "numpy.save(sys.argv[3], c.predict_proba(numpy.load(sys.argv[2])))"
    )
    files = [str(tmp_path / name) for name in ["c.joblib", "x.npy", "p.npy"]]
    subprocess.run([sys.executable, "-c", program, *files], check=True)
    assert (np.load(tmp_path / "p.npy") == classifier.predict_proba(X)).all()


def in_child(queue, classifier, X, y):
    own = MLPClassifier((200,), max_iter=3, batch_size=600, random_state=1).fit(X, y)
    queue.put((classifier.predict_proba(X), own.predict_proba(X)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_trains_and_predicts(digits):
    """The threads of the parent are not there: the child has its own, and ends."""
    X, y = digits
    classifier = MLPClassifier((200,), max_iter=3, batch_size=600, random_state=1).fit(X, y)
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        queue = context.Queue()
        child = context.Process(target=in_child, args=(queue, classifier, X, y))
        child.start()
        predicted, own = queue.get(timeout=60)
        child.join(timeout=60)
        assert child.exitcode == 0
        assert (predicted == classifier.predict_proba(X)).all() and (own == predicted).all()
    assert (classifier.predict_proba(X) == predicted).all()


def test_tools_of_scikit_learn(iris):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((20,), max_iter=60, random_state=1, learning_rate_init=0.01))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.9
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1e-1], "mlpclassifier__dropout": [0, 0.1]}, n_jobs=2, cv=3)
    assert search.fit(X, y).best_score_ > 0.9
    calibrated = CalibratedClassifierCV(MLPClassifier((10,), max_iter=100, random_state=1), cv=3).fit(X, y)
    assert calibrated.score(X, y) > 0.9
    importance = permutation_importance(search.best_estimator_, X, y, n_repeats=3, random_state=1).importances_mean
    assert importance[2:].max() > importance[:2].max()


def test_other_threads_run_meanwhile(digits):
    """The interpreter lock is free while a network trains and predicts."""
    X, y = (np.tile(a, (8, 1) if a.ndim == 2 else 8) for a in digits)
    counted = []
    done = threading.Event()

    def count():
        while not done.is_set():
            counted.append(time.perf_counter())

    counter = threading.Thread(target=count)
    counter.start()
    begin = time.perf_counter()
    MLPClassifier((300, 300), max_iter=2, batch_size=2000, random_state=1, n_jobs=1).fit(X, y)
    end = time.perf_counter()
    done.set()
    counter.join()
    during = [begin < moment < end for moment in counted]
    # With the lock held there would be none but at the two epochs' ends.
    assert sum(during) > 1000


def test_threads_share_an_estimator(digits):
    X, y = digits
    classifier = trained(X, y)
    expected = classifier.predict_proba(X)
    wrong = []

    def predict():
        for _ in range(20):
            if not (classifier.predict_proba(X) == expected).all():
                wrong.append(True)

    threads = [threading.Thread(target=predict) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of Unix")
def test_an_interrupted_training_leaves_a_model(digits):
    X, y = digits
    classifier = MLPClassifier((500, 500), max_iter=100_000, tol=0, n_iter_no_change=100_000, random_state=1)
    # A shell starts background jobs with this signal ignored, and then Python has no handler for it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.warns(UserWarning, match="interrupted by user"):
        classifier.fit(X, y)
    assert classifier.n_iter_ < 100_000 and classifier.score(X, y) > 0.5


def test_a_thousand_trainings_leave_no_memory(iris):
    resource = pytest.importorskip("resource")
    X, y = iris

    def run(count):
        for _ in range(count):
            MLPRegressor((50,), max_iter=2, random_state=1, n_jobs=1).fit(X, y).predict(X)

    run(200)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(1000)
    # In KiB: a network of this size that stays would take 1 MiB in 700 trainings.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 3000


def test_files_are_those_of_the_command_line(iris, tmp_path):
    """The same bits in both directions."""
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])
    rows = "\n".join(",".join(map(repr, row)) for row in X.tolist())
    (tmp_path / "x.csv").write_text(f"a,b,c,d\n{rows}\n")
    (tmp_path / "train.csv").write_text(
        "a,b,c,d,y\n" + "\n".join(f"{row},{names[label]}" for row, label in zip(rows.split("\n"), y, strict=True))
    )

    def command(*words):
        run = subprocess.run(
            [sys.executable, "-m", "travertine", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    import json

    for precision in ["float32", "float64"]:
        classifier = trained(X, names[y], precision=precision, normalization="batch")
        classifier.save(tmp_path / "ours.safetensors")
        lines = command("predict", "ours.safetensors", "x.csv", "--json", "--probabilities").splitlines()
        theirs = [json.loads(line) for line in lines]
        assert [line["class"] for line in theirs] == classifier.predict(X).tolist()
        model = Model.load(tmp_path / "ours.safetensors")
        assert model.classes == names.tolist() and (model.predict(X) == classifier.predict(X)).all()
        dtype = np.dtype(precision)
        # JSON has the shortest digits that stand for a number of this precision.
        shown = np.array([[line["probabilities"][name] for name in names] for line in theirs], dtype=dtype)
        assert (shown == model.predict_proba(X).astype(dtype)).all()
        np.testing.assert_allclose(model.predict_proba(X), classifier.predict_proba(X), rtol=1e-6, atol=1e-7)

    command("train", "train.csv", "--epochs", "20", "--out", "cli.safetensors")
    theirs = [json.loads(line)["class"] for line in command("predict", "cli.safetensors", "x.csv", "--json").splitlines()]
    model = Model.load(tmp_path / "cli.safetensors")
    assert model.predict(X).tolist() == theirs
    for options in ({}, {"opset": 21, "numbers_only": True}):
        model.to_onnx(tmp_path / "cli.onnx", **options)
        same = Model.load(tmp_path / "cli.onnx")
        assert same.columns == model.columns and same.predict(X).tolist() == theirs
    with pytest.raises(ValueError, match="13 to 23"):
        model.to_onnx(tmp_path / "cli.onnx", opset=12)
    (tmp_path / "broken.safetensors").write_bytes((tmp_path / "cli.safetensors").read_bytes()[:1000])
    with pytest.raises(ValueError, match="broken.safetensors"):
        Model.load(tmp_path / "broken.safetensors")
    with pytest.raises(OSError, match="none.safetensors"):
        Model.load(tmp_path / "none.safetensors")
