"""What the tests share: data, and warnings that are none of theirs."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris


@pytest.fixture(scope="session")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="session")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16.0, y


@pytest.fixture(scope="session")
def rows():
    """Two informative columns of six, and a value."""
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 6))
    return X, X[:, 0] - 2 * X[:, 1] + 0.1 * random.normal(size=300)


@pytest.fixture
def frame():
    """A table as people have it: numbers with gaps, texts with gaps, dates, booleans, categories, nullable integers."""
    pd = pytest.importorskip("pandas")
    random = np.random.default_rng(1)
    n = 240
    town = np.array(["Rome", "Oslo", None, "Bern"], dtype=object)[random.integers(0, 4, n)]
    size = random.normal(size=n).round(3)
    X = pd.DataFrame(
        {
            "size": np.where(random.random(n) < 0.1, np.nan, size),
            "town": town,
            "sold": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 700, n), unit="D"),
            "new": random.random(n) < 0.5,
            "kind": pd.Categorical(random.choice(["a", "b"], n)),
            "rooms": pd.array([None if i % 17 == 0 else int(i % 5) for i in range(n)], dtype="Int64"),
        }
    )
    price = 3 * np.nan_to_num(X["size"]) + np.where(town == "Rome", 2.0, 0.0) + X["new"].to_numpy()
    return X, price
