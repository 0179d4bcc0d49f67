"""What the columns of tables are taken for, in training and afterwards."""

import subprocess
import sys
import warnings
from datetime import datetime, timezone

import numpy as np
import pytest

from travertine import MLPClassifier, Model, TabularClassifier, TabularRegressor

pd = pytest.importorskip("pandas")
pytestmark = pytest.mark.filterwarnings("ignore:on the samples held out")
N = 120


def trained(X, y=None, **given):
    y = np.arange(len(X)) % 2.0 if y is None else y
    return TabularRegressor(max_iter=3, random_state=1, **given).fit(X, y)


@pytest.fixture
def texts():
    random = np.random.default_rng(0)
    return pd.DataFrame({"c": random.choice(["a", "b"], N), "n": random.normal(size=N)})


def command(folder, *words):
    run = subprocess.run([sys.executable, "-m", "travertine", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_column_that_is_there_twice_is_refused(texts):
    model = trained(texts).model_
    expected = model.predict(texts)
    with pytest.raises(ValueError, match=r"several columns are named \['c'\]"):
        model.predict(pd.concat([texts, texts[["c"]]], axis=1))
    # Others are not looked at.
    more = pd.concat([texts, texts[["n"]].set_axis(["m"], axis=1), texts[["n"]].set_axis(["m"], axis=1)], axis=1)
    assert (model.predict(more) == expected).all()


def test_frames_of_any_names_are_matched_by_them(texts):
    for names in [[7, 3], pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])]:
        X = texts.set_axis(names, axis=1)
        regressor = trained(X)
        regressor.predict(X)
        with pytest.raises(ValueError, match="feature names should match"):
            regressor.predict(X[X.columns[::-1]])
        assert (regressor.model_.predict(X[X.columns[::-1]]) == regressor.predict(X)).all()


def test_lists_keep_the_types_of_their_values():
    rows = [["a" if i % 2 else "b", float(i % 5) if i % 7 else None] for i in range(N)]
    regressor = trained(rows)
    assert regressor.model_.columns == [("x0", "texts"), ("x1", "number")]
    assert (regressor.predict(rows) == regressor.predict(np.array(rows, dtype=object))).all()
    gaps = [["a" if i % 2 else float("nan")] for i in range(N)]
    same = np.array([["a" if i % 2 else None] for i in range(N)], dtype=object)
    assert (trained(gaps).predict(gaps) == trained(same).predict(same)).all()


@pytest.mark.parametrize("classifier", [MLPClassifier(max_iter=2), TabularClassifier(max_iter=2)])
@pytest.mark.parametrize(("odd", "message"), [(float("nan"), "NaN"), (None, "NaN"), (3, "Mix of label")])
def test_lists_of_labels_have_no_gaps(classifier, odd, message):
    with pytest.raises(ValueError, match=message):
        classifier.fit(np.random.default_rng(0).normal(size=(N, 2)), ["a", odd] * (N // 2))


def test_texts_are_those_of_a_file(tmp_path):
    """Blanks around them, whole numbers with decimals, words for missing values: as the command line reads the file."""
    random = np.random.default_rng(0)
    names = ["a", " a", "b ", "1", "1.0", "?", "none", "1e+20"]
    X = pd.DataFrame({"c": random.choice(names, 400), "n": random.normal(size=400)})
    X.assign(y=(X["c"].str.strip() == "a") * 2.0 + X["n"]).to_csv(tmp_path / "t.csv", index=False)
    command(tmp_path, "train", "t.csv", "--epochs", "5", "--out", "t.safetensors", "--task", "values")
    theirs = [float(line) for line in command(tmp_path, "predict", "t.safetensors", "t.csv").splitlines()]
    table = pd.read_csv(tmp_path / "t.csv", keep_default_na=False)
    for frame in [X, table]:
        assert Model.load(tmp_path / "t.safetensors").predict(frame).tolist() == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    ours = TabularRegressor(max_iter=5, random_state=1).fit(X, X["n"])
    ours.save(tmp_path / "ours.safetensors")
    theirs = [float(line) for line in command(tmp_path, "predict", "ours.safetensors", "t.csv").splitlines()]
    assert ours.predict(X).tolist() == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    numbers = pd.DataFrame({"c": pd.Categorical(random.choice([1.0, 1e20], N)), "n": random.normal(size=N)})
    same = numbers.assign(c=np.where(numbers["c"] == 1.0, "1", "1e+20"))
    assert (trained(numbers).predict(numbers) == trained(same).predict(same)).all()


def test_dates_are_dates(texts):
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(N), unit="D")
    X = texts.assign(d=days)
    regressor = trained(X)
    expected = regressor.predict(X)
    for odd in [3, True, 1.5]:
        for ask in [regressor.predict, regressor.model_.predict]:
            with pytest.raises(ValueError, match="column 'd' is a date for the model; it has values of"):
                ask(X.assign(d=odd))
    for word in ["now", "today", "soon"]:
        with pytest.raises(ValueError, match=f"column 'd' is a date.*{word}"):
            regressor.predict(X.assign(d=word))
    assert (regressor.predict(X.assign(d=X["d"].dt.strftime("%Y-%m-%d"))) == expected).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zoned = X["d"].dt.tz_localize("Europe/Rome")
        in_utc = X["d"].dt.tz_localize("Europe/Rome").dt.tz_convert("UTC").dt.tz_localize(None)
        assert (regressor.predict(X.assign(d=zoned)) == regressor.predict(X.assign(d=in_utc))).all()
        python = pd.Series([datetime(2024, 1, 1, tzinfo=timezone.utc)] * N, dtype=object)
        assert (regressor.predict(X.assign(d=python)) == expected[0]).sum() <= N


def test_types_that_are_not_learned_from_are_refused_by_name(texts):
    polars = pytest.importorskip("polars")
    y = np.arange(N)
    for column in [
        polars.Series("odd", [{"a": i} for i in range(N)]),
        polars.Series("odd", [[i, i + 1] for i in range(N)]),
        polars.Series("odd", [b"x"] * N),
    ]:
        with pytest.raises(ValueError, match="column 'odd' has values of"):
            TabularRegressor(max_iter=2).fit(polars.DataFrame({"n": y}).with_columns(column), y)
    for odd in [pd.interval_range(0, N), pd.period_range("2024-01-01", periods=N), np.full(N, 1 + 2j), pd.to_timedelta(y, unit="s")]:
        with pytest.raises(ValueError, match="column 'odd' has values of"):
            TabularRegressor(max_iter=2).fit(texts.assign(odd=odd), y)


def test_arrays_for_a_model_are_numbers(rows, tmp_path):
    X, y = rows
    model = MLPClassifier(max_iter=2).fit(X, y > 0).to_model()
    for wrong in [X.astype(complex), X.astype("datetime64[s]"), X.astype("timedelta64[s]")]:
        with pytest.raises(ValueError, match="the model takes numbers"):
            model.predict(wrong)
    for wrong in [np.full((2, 6), 1e300), pd.DataFrame(np.full((2, 6), 1e300), columns=[name for name, _ in model.columns])]:
        with pytest.raises(ValueError):
            model.predict_proba(wrong)


def test_targets_of_three_dimensions_are_refused(rows):
    X, y = rows
    for wrong in [y.reshape(-1, 1, 1), y[0]]:
        with pytest.raises((ValueError, TypeError)):
            TabularRegressor(max_iter=2).fit(X, wrong)


def test_numbers_and_texts_that_cannot_be_had_are_named(texts):
    regressor = trained(texts)
    with pytest.raises(ValueError, match="column 'n' has a number that is too large"):
        regressor.predict(texts.assign(n=[10**400] * N))
    with pytest.raises(ValueError, match="column 'c' has a text that is no Unicode"):
        regressor.predict(texts.assign(c="\ud800"))
    with pytest.raises(ValueError, match="column 'n' is a number for the model; it has values of (Timestamp|datetime64)"):
        regressor.predict(texts.assign(n=pd.Timestamp("2024-01-01")))


WRITTEN = {
    "yes": lambda i: "yes" if i % 2 else "no",
    "gap": lambda i: "?" if i % 5 == 0 else str(i / 4),
    "comma": lambda i: f"{i},5",
    "thousands": lambda i: f"{i % 9 + 1},{i % 900 + 100}",
    "share": lambda i: f"{i % 100}%",
    "dollars": lambda i: f"${i}",
    "american": lambda i: f"{i % 12 + 1:02}/{i % 28 + 1:02}/2020",
    "german": lambda i: f"{i % 28 + 1:02}.{i % 12 + 1:02}.2020",
}


def test_texts_are_read_as_the_training_of_the_model_read_them(tmp_path):
    """A model of the command line answers for the same file, read by pandas."""
    table = pd.DataFrame({name: [write(i) for i in range(200)] for name, write in WRITTEN.items()}).assign(y=np.arange(200) % 7)
    table.to_csv(tmp_path / "t.csv", index=False)
    command(tmp_path, "train", "t.csv", "--epochs", "3", "--out", "t.safetensors", "--task", "values")
    theirs = [float(line) for line in command(tmp_path, "predict", "t.safetensors", "t.csv").splitlines()]
    model = Model.load(tmp_path / "t.safetensors")
    read = pd.read_csv(tmp_path / "t.csv")
    assert model.predict(read).tolist() == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    kinds = {"yes": "true or false", "comma": "a number", "american": "a date in the order M/D/Y"}
    for name, what in kinds.items():
        with pytest.raises(ValueError, match=f"column '{name}' is {what} for the model; row 0 has .oops"):
            model.predict(read.assign(**{name: "oops"}))
    with pytest.raises(ValueError, match="column 'share'.*0.9 alone"):
        model.predict(read.assign(share=0.5))
