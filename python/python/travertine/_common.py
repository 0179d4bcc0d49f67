"""What all classes share: threads, seeds, and checks of arrays."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite, check_random_state

from ._columns import is_missing

MOST_THREADS = 1024
# More epochs, units of a layer and samples of a step than there are, and not too many for the compiled module.
MOST = 2**31


def threads_of(n_jobs: int | None) -> int | None:
    """The threads that ``n_jobs`` means; ``None`` for all cores.

    Without ``n_jobs``, ``OMP_NUM_THREADS`` counts: joblib sets it in its processes, so that they share the cores.
    """
    if n_jobs is None:
        limit = re.match(r"\s*([0-9]+)\s*(,|$)", os.environ.get("OMP_NUM_THREADS", ""))
        if limit is None or int(limit[1]) == 0:
            return None
        return _checked_threads(int(limit[1]), f"OMP_NUM_THREADS={limit[1]}")
    if n_jobs == -1:
        return None
    if n_jobs < 0:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores + 1 + n_jobs)
    return _checked_threads(n_jobs, f"n_jobs={n_jobs}")


def _checked_threads(threads: int, name: str) -> int:
    if not 0 < threads <= MOST_THREADS:
        raise ValueError(f"{name}: the number of threads must be between 1 and {MOST_THREADS}, or -1 for all cores")
    return int(threads)


def seed_of(random_state: Any) -> int:
    """A seed from what scikit-learn takes as ``random_state``."""
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool) and random_state >= 0:
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def dense(X: Any, dtype: np.dtype[Any], first: int = 0) -> np.ndarray:
    """The finite matrix as an aligned array in C order, without a copy where it is one; ``first``: the number of its first row."""
    if hasattr(X, "toarray"):
        X = X.toarray()
    with np.errstate(over="ignore"):
        cast: np.ndarray = X.astype(dtype, order="C", copy=not X.flags.aligned)
    if not np.isfinite(cast).all():
        _refuse(X, cast, first)
    return cast


def floats(X: Any, dtype: np.dtype[Any]) -> np.ndarray:
    """The finite matrix in C order, as it is where that is float32 or float64 and ``dtype`` can hold its numbers: the network casts
    them into memory of its own. A cast by NumPy would take new memory first, which costs more time than the numbers."""
    is_plain = isinstance(X, np.ndarray) and X.dtype in (np.float32, np.float64) and X.flags.c_contiguous and X.flags.aligned
    if is_plain and X.dtype != dtype and X.size:
        with np.errstate(over="ignore"):
            # NaN is the largest and the smallest of numbers that have one.
            ends = np.array([X.min(), X.max()]).astype(dtype)
        if np.isfinite(ends).all():
            return X
    return dense(X, dtype)


def _refuse(X: np.ndarray, cast: np.ndarray, first: int) -> None:
    assert_all_finite(X, input_name="X")
    row, column = np.argwhere(~np.isfinite(cast))[0]
    raise ValueError(
        f"Input X contains infinity or a value too large for {cast.dtype!r}: {X[row, column]:.6g} in row {first + row}, column {column}. "
        "Scale it, or use precision='float64'."
    )


def check_answers(outputs: np.ndarray, rows: int) -> None:
    """Raises where the outputs for ``rows`` samples are not finite, or are those of other samples."""
    if len(outputs) != rows:
        raise RuntimeError(f"there are {len(outputs)} answers for {rows} rows, which is a defect of travertine")
    if not np.isfinite(outputs).all():
        row = int(np.argmin(np.isfinite(outputs).all(axis=1)))
        raise ValueError(f"the network's outputs for row {row} are not finite: its values are too large")


def with_types(values: Any) -> Any:
    """A list whose values have several types keeps them: NumPy makes texts of all, and "nan" of a gap."""
    if hasattr(values, "dtype") or hasattr(values, "columns") or np.asarray(values).dtype.kind not in "USO":
        return values
    return np.array(values, dtype=object)


def check_labels(y: Any) -> None:
    """Raises where a list of labels has gaps, or texts beside other values."""
    values = with_types(y) if isinstance(y, (list, tuple)) else y
    if getattr(values, "dtype", None) != object or not isinstance(values, np.ndarray):
        return
    if any(is_missing(value) for value in values.flat):
        raise ValueError("Input y contains NaN.")
    if len({isinstance(value, str) for value in values.flat}) > 1:
        raise ValueError("Mix of label input types (string and number)")
