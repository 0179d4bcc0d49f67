"""Tables as people have them."""

import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from travertine import Model, TabularClassifier, TabularRegressor

pd = pytest.importorskip("pandas")
pytestmark = pytest.mark.filterwarnings("ignore:on the samples held out")


def test_a_table_is_learned_as_it_is(frame):
    X, price = frame
    regressor = TabularRegressor(max_iter=60, random_state=1).fit(X[:200], price[:200])
    assert regressor.score(X[200:], price[200:]) > 0.9
    assert regressor.model_.columns == [
        ("size", "number"),
        ("town", "texts"),
        ("sold", "date"),
        ("new", "number"),
        ("kind", "texts"),
        ("rooms", "number"),
    ]
    assert any("--preset auto" in note for note in regressor.notes_)
    held_out = regressor.held_out_
    assert held_out["metric"] == "rmse" and held_out["value"] < 0.5 * held_out["constant"]
    labels = np.where(price > 0, "dear", "cheap")
    classifier = TabularClassifier(max_iter=60, random_state=1).fit(X[:200], labels[:200])
    assert classifier.score(X[200:], labels[200:]) > 0.8
    np.testing.assert_allclose(classifier.predict_proba(X).sum(axis=1), 1.0)


def test_the_same_bits_as_the_command_line(frame, tmp_path):
    """What the command line trains on a file of these columns, from the same options."""
    X, price = frame
    X = X[["size", "town", "new"]].assign(size=X["size"].fillna(0.5), town=X["town"].fillna("Bern"), new=X["new"].astype(int))
    regressor = TabularRegressor(max_iter=15, random_state=4, n_jobs=1).fit(X, price)
    X.assign(price=price).to_csv(tmp_path / "t.csv", index=False)
    words = ["train", "t.csv", "--task", "values", "--seed", "4", "--epochs", "15", "--out", "t.safetensors"]
    run = subprocess.run([sys.executable, "-m", "travertine", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    theirs = Model.load(tmp_path / "t.safetensors").predict(X)
    assert (theirs == regressor.predict(X)).all()


def test_files_and_pickles_keep_the_answers(frame, tmp_path):
    X, price = frame
    regressor = TabularRegressor(max_iter=10, random_state=1).fit(X, price)
    regressor.save(tmp_path / "m.safetensors")
    model = Model.load(tmp_path / "m.safetensors")
    expected = regressor.predict(X)
    assert (model.predict(X) == expected).all()
    # Columns are found by name, and others are not looked at.
    assert (model.predict(X[X.columns[::-1]].assign(more=1)) == expected).all()
    for copy in [pickle.loads(pickle.dumps(regressor)), pickle.loads(pickle.dumps(model))]:
        assert (copy.predict(X) == expected).all()


def test_polars_and_arrays_are_tables_too(frame):
    polars = pytest.importorskip("polars")
    X, price = frame
    X = X[["size", "town", "new", "sold"]]
    ours = TabularRegressor(max_iter=10, random_state=1).fit(X, price)
    listed = {name: [None if pd.isna(value) else value for value in X[name]] for name in ["size", "town", "new"]}
    other = polars.DataFrame(listed | {"sold": list(X["sold"].dt.to_pydatetime())})
    assert (TabularRegressor(max_iter=10, random_state=1).fit(other, price).predict(other) == ours.predict(X)).all()
    array = np.column_stack([X["size"].to_numpy(dtype=object), X["town"].to_numpy(dtype=object)])
    from_array = TabularRegressor(max_iter=10, random_state=1).fit(array, price)
    assert from_array.model_.columns == [("x0", "number"), ("x1", "texts")]


def test_objects_are_what_they_hold(frame):
    X, price = frame
    from datetime import date
    from decimal import Decimal

    objects = pd.DataFrame(
        {
            "decimal": [Decimal(str(value)) for value in price.round(3)],
            "day": [date(2024, 1, 1 + i % 28) for i in range(len(X))],
        },
        dtype=object,
    )
    regressor = TabularRegressor(max_iter=40, random_state=1).fit(objects, price)
    assert regressor.model_.columns == [("decimal", "number"), ("day", "date")] and regressor.score(objects, price) > 0.9
    with pytest.warns(UserWarning, match="column 'name' has 240 different texts in 240 rows"):
        TabularRegressor(max_iter=2).fit(X.assign(name=[f"row {i}" for i in range(len(X))]), price)
    for wrong in [[[1, 2]] * len(X), [pd.Timedelta(days=1)] * len(X)]:
        with pytest.raises(ValueError, match="column 'odd' has values of (list|Timedelta)"):
            TabularRegressor().fit(X.assign(odd=wrong), price)


def test_quantiles_and_calibration(frame):
    X, price = frame
    regressor = TabularRegressor(quantiles=[0.1, 0.5, 0.9], calibrate=True, max_iter=60, random_state=1).fit(X, price)
    low, middle, high = regressor.predict(X).T
    assert (low <= middle).mean() > 0.9 and (middle <= high).mean() > 0.9
    assert 0.6 < ((low <= price) & (price <= high)).mean() <= 1.0
    labels = (price > 0).astype(int)
    # Without wrong answers there is no temperature.
    labels[::5] ^= 1
    plain, honest = (
        TabularClassifier(max_iter=30, calibrate=calibrate, random_state=1).fit(X, labels).predict_proba(X) for calibrate in [False, True]
    )
    assert (plain.argmax(axis=1) == honest.argmax(axis=1)).all() and not np.allclose(plain, honest)


def test_quality_best_and_several_values(frame):
    X, price = frame
    best = TabularRegressor(quality="best", max_iter=10, random_state=1).fit(X, price)
    assert best.model_.networks == 5
    two = TabularRegressor(max_iter=30, random_state=1).fit(X, np.column_stack([price, -price]))
    values = two.predict(X)
    assert values.shape == (len(X), 2) and np.corrcoef(values.T)[0, 1] < -0.9


def test_what_is_wrong_is_said(frame):
    X, price = frame
    for y, message in [
        (np.where(price > 0, np.nan, price), "NaN"),
        (np.full(len(X), np.inf), "infinity"),
        (price[:-1], "inconsistent numbers of samples"),
    ]:
        with pytest.raises(ValueError, match=message):
            TabularRegressor().fit(X, y)
    with pytest.raises(ValueError, match="1 class"):
        TabularClassifier().fit(X, ["a"] * len(X))
    with pytest.raises(ValueError, match="Found array with 0"):
        TabularClassifier().fit(X[:0], [])
    with pytest.raises(ValueError, match="several columns are named"):
        TabularRegressor().fit(pd.concat([X, X[["size"]]], axis=1), price)
    with pytest.raises(ValueError, match="preset"):
        TabularRegressor(preset="ghost").fit(X, price)
    with pytest.raises(ValueError, match="cuda"):
        TabularRegressor(device="cuda:99").fit(X, price)
    with pytest.raises(ValueError, match="quantile"):
        TabularRegressor(quantiles=[0.9, 0.1]).fit(X, price)
    regressor = TabularRegressor(max_iter=5, random_state=1).fit(X, price)
    with pytest.raises(ValueError, match="feature names"):
        regressor.predict(X.rename(columns={"size": "width"}))
    with pytest.raises(ValueError, match="column 'size' is a number"):
        regressor.predict(X.assign(size="large"))
    with pytest.raises(ValueError, match="town"):
        regressor.model_.predict(X.drop(columns="town"))
    # A text that the training did not have is none of its categories.
    assert np.isfinite(regressor.predict(X.assign(town="Atlantis"))).all()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of Unix")
def test_an_interrupt_ends_the_training(tmp_path):
    program = (
        # A shell starts background jobs with this signal ignored.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import numpy as np; from travertine import TabularRegressor; X = np.random.rand(20000, 20); print('on', flush=True)\n"
        "try: TabularRegressor(max_iter=10000).fit(X, X[:, 0])\nexcept KeyboardInterrupt: print('interrupted')"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "on\n"
    time.sleep(1.5)
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=60)[0] == "interrupted\n"
    assert child.returncode == 0


def test_weights_decide_between_samples_that_disagree():
    random = np.random.default_rng(0)
    X = pd.DataFrame({"town": random.choice(["Rome", "Oslo"], 600), "size": random.normal(size=600)})
    heavy = random.random(600) < 0.5
    y = np.where(heavy, 1.0, 0.0)
    weights = np.where(heavy, 9.0, 1.0)
    options = {"max_iter": 40, "random_state": 1}
    assert abs(TabularRegressor(**options).fit(X, y).predict(X).mean() - 0.5) < 0.1
    assert abs(TabularRegressor(**options).fit(X, y, sample_weight=weights).predict(X).mean() - 0.9) < 0.05
    classifier = TabularClassifier(**options).fit(X, y, sample_weight=list(weights))
    # The recipe smooths labels, which draws probabilities towards a half.
    assert abs(classifier.predict_proba(X)[:, 1].mean() - 0.9) < 0.08
    # Five networks, each with the weights of its own samples.
    best = TabularRegressor(quality="best", max_iter=15, random_state=1).fit(X, y, sample_weight=weights)
    assert abs(best.predict(X).mean() - 0.9) < 0.06


def test_samples_of_weight_0_teach_nothing():
    random = np.random.default_rng(0)
    X = random.normal(size=(600, 2))
    truth = np.where(X[:, 0] > 0, "b", "a")
    spoiled = np.arange(600) % 2 == 0
    y = np.where(spoiled, np.where(X[:, 0] > 0, "a", "b"), truth)
    classifier = TabularClassifier(max_iter=40, random_state=1).fit(X, y, sample_weight=(~spoiled).astype(float))
    assert classifier.score(X, truth) > 0.95


def test_class_weight_balances_classes(frame):
    random = np.random.default_rng(0)
    X = random.normal(size=(800, 2))
    y = (X[:, 0] + random.normal(size=800) > 2.0).astype(int)
    options = {"max_iter": 40, "random_state": 1}
    plain = TabularClassifier(**options).fit(X, y).predict(X)
    balanced = TabularClassifier(class_weight="balanced", **options).fit(X, y).predict(X)
    by_hand = TabularClassifier(**options).fit(X, y, sample_weight=len(y) / (2 * np.bincount(y))[y]).predict(X)
    assert balanced[y == 1].mean() > plain[y == 1].mean() + 0.2
    assert (balanced == by_hand).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(5), "sample_weight.shape"),
        (np.zeros(240), "at least one non-zero number"),
        (np.full(240, -1.0), "[Nn]egative"),
        (np.full(240, np.nan), "NaN"),
        (np.full(240, 1e308), "infinite"),
    ],
)
def test_weights_that_are_none_are_refused(frame, weights, message):
    X, price = frame
    with pytest.raises(ValueError, match=message):
        TabularRegressor(max_iter=2).fit(X, price, sample_weight=weights)


def test_calibration_takes_no_weights(frame):
    X, price = frame
    with pytest.raises(ValueError, match="without weights"):
        TabularClassifier(calibrate=True, max_iter=2).fit(X, price > 0, sample_weight=np.ones(len(price)))
