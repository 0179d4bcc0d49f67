"""Columns of data frames and arrays: what their values are, and how the compiled module takes them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from datetime import date, datetime, timezone
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

Column = tuple[str, str, Any]

# Names of types, of pandas, polars, NumPy and pyarrow in pandas, in lower case.
_TEXTS = re.compile(r"(large_)?str(ing)?(\[.*\])?|category|categorical(\(.*\))?|enum(\(.*\))?|[<>=|]?u\d+|utf8", re.DOTALL)
_NUMBERS = re.compile(r"u?int\d+|float\d+|double|float|bool(ean)?|decimal(\d*[(\[].*)?|decimal", re.DOTALL)
_DATES = re.compile(r"datetime(64|\b).*|date|date32.*|timestamp\[.*", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def is_frame(X: Any) -> bool:
    return hasattr(X, "columns") and hasattr(X, "__getitem__") and hasattr(X, "shape")


def names_of(frame: Any) -> list[str]:
    """The names of a frame's columns as a model has them."""
    return [str(name) for name in frame.columns]


def check_distinct(names: list[str], wanted: Iterable[str]) -> None:
    """Raises where a column of ``wanted`` is there twice."""
    repeated = sorted({name for name in wanted if names.count(name) > 1})
    if repeated:
        raise ValueError(f"several columns are named {repeated}; a column is found by its name")


def each_column(X: Any) -> list[tuple[str, Any]]:
    """Name and values of each column of a frame or of a two-dimensional array."""
    if is_frame(X):
        return [(str(name), X[name]) for name in X.columns]
    return [(f"x{i}", X[:, i]) for i in range(X.shape[1])]


def is_missing(value: Any) -> bool:
    # pandas' own gaps refuse to be compared.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, Decimal, np.generic)) and bool(value != value)


def kind_of(title: str, values: Any) -> str:
    """'number', 'date' or 'texts', by the type of a column, or by all its values where the type says nothing."""
    name = str(values.dtype).lower()
    for kind, pattern in [("texts", _TEXTS), ("number", _NUMBERS), ("date", _DATES)]:
        if pattern.fullmatch(name.removesuffix("[pyarrow]")):
            return kind
    known = _types(listed(values))
    if known and all(issubclass(kind, (Real, Decimal, np.bool_)) for kind in known):
        return "number"
    if known and all(issubclass(kind, (date, np.datetime64)) for kind in known):
        return "date"
    other = sorted(kind.__name__ for kind in known if not issubclass(kind, (str, Real, Decimal, np.bool_)))
    if other:
        raise ValueError(
            f"column '{title}' has values of {', '.join(other)}; numbers, texts, booleans and dates are learned from: convert it, or "
            "leave it out"
        )
    return "texts"


def _types(values: list[Any]) -> set[type]:
    return {type(value) for value in values if not is_missing(value)}


def warn_of_identifiers(name: str, kind: str, values: Any, stacklevel: int) -> None:
    """Warns of texts that nearly all differ: the command line leaves such a column of a file out."""
    if kind != "texts":
        return
    known = [value for value in listed(values) if not is_missing(value)]
    distinct = len(set(map(str, known)))
    if distinct > 20 and 2 * distinct > len(known):
        warnings.warn(
            f"column '{name}' has {distinct} different texts in {len(known)} rows; nothing is learned from names of rows: leave it "
            "out, unless rows to come have the same texts",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def listed(column: Any) -> list[Any]:
    """The values of a column one by one."""
    if isinstance(column, np.ndarray):
        return list(column)
    if hasattr(column, "to_list"):
        return list(column.to_list())
    return list(column)


def values_of(kind: str, name: str, column: Any) -> Column:
    """A column as the compiled module takes it.

    Texts in a column of numbers or dates are read as the model's training read its own.
    """
    if kind == "number" and isinstance(column, np.ndarray) and column.dtype.kind in "fiub":
        return name, "numbers", np.ascontiguousarray(column, dtype=np.float64)
    values = listed(column)
    known = _types(values)
    if kind == "texts":
        return name, "texts", _texts(name, values)
    if known and all(issubclass(found, str) for found in known):
        return name, "texts", _texts(name, values)
    allowed: tuple[type, ...] = (Real, Decimal, np.bool_) if kind == "number" else (date, np.datetime64)
    other = sorted(found.__name__ for found in known if not issubclass(found, allowed))
    if other:
        raise ValueError(f"column '{name}' is a {kind} for the model; it has values of {', '.join(other)}")
    return (name, "numbers", _numbers(name, values)) if kind == "number" else (name, "dates", _dates(name, values))


def _numbers(name: str, values: list[Any]) -> np.ndarray:
    try:
        return np.array([np.nan if is_missing(value) else float(value) for value in values], dtype=np.float64)
    except OverflowError as error:
        raise ValueError(f"column '{name}' has a number that is too large: {error}") from None


def _texts(name: str, values: list[Any]) -> list[str | None]:
    texts = [None if is_missing(value) else str(value) for value in values]
    try:
        "".join(text for text in texts if text is not None).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"column '{name}' has a text that is no Unicode: {error.reason}") from None
    return texts


def _dates(name: str, values: list[Any]) -> np.ndarray:
    """Seconds since 1970 in UTC; a date without a zone counts as UTC."""
    try:
        return np.array([np.nan if is_missing(value) else _seconds(value) for value in values], dtype=np.float64)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"column '{name}' has a date that is out of range: {error}") from None


def _seconds(value: Any) -> float:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return (value.astimezone(timezone.utc) - _EPOCH).total_seconds()
    return float(np.datetime64(value, "us").astype("int64")) / 1e6
