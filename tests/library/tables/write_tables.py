"""Writes random tables with pandas and polars: write_tables.py FOLDER COUNT SEED

Each table is FOLDER/N.csv; FOLDER/tables.json says what is in it, cell by cell, and in which form it was written.
"""

import csv
import datetime
import json
import random
import sys

import pandas as pd
import polars as pl

WORDS = [
    "red", "green", "blue", "New York", "São Paulo", "Zürich", "it's", 'say "hi"', "a,b", "x;y", "tab\there", "bar|bar",
    "first line\nsecond line", "ends, with, commas,", "Ærø", "5 apples", "B-52", "#hash", "no. 7", "1st", "50 % of it", "v1.2.3",
    "=SUM(A1)", "C:\\path\\", "'quoted'", "a  b", "\"", "\"\"", "quote\" inside", "12:30", "A/B", "e5", "1e", "--", "+", "..",
]
NAMES = [
    "size", "price", "color", "weight (kg)", "größe", "a,b", "x;y", 'the "best"', "two words", "line\nbreak", "2nd", "id", "A", "b|c",
    "temp °C", "naïve", "x_1", "class", "when", "is new",
]
START = datetime.datetime(1990, 1, 1)


class Column:
    """A column: what its cells mean, and the values that a writer gets."""

    def __init__(self, name, kind, meant, values):
        self.name, self.kind, self.meant, self.values = name, kind, meant, values


def with_gaps(random_, values, gaps):
    return [None if gaps and random_.random() < 0.15 else value for value in values]


def floats(random_, rows):
    scale = random_.choice([1.0, 1.0, 100.0, 1e6, 1e-4, 1e12])
    return [random_.gauss(0, 1) * scale for _ in range(rows)]


def column(random_, name, rows, gaps, words):
    kind = random_.choice(["float", "float", "rounded", "int", "int", "large", "text", "text", "unique", "truth", "date", "time"])
    if kind == "float":
        values = floats(random_, rows)
    elif kind == "rounded":
        values = [round(x, 2) for x in floats(random_, rows)]
    elif kind == "int":
        top = random_.choice([1, 5, 100, 10**6])
        values = [random_.randint(-top if top > 5 else 0, top) for _ in range(rows)]
    elif kind == "large":
        values = [random_.randint(2**53, 2**62) for _ in range(rows)]
    elif kind == "text":
        some = random_.sample(words, random_.randint(2, min(8, len(words))))
        values = [random_.choice(some) for _ in range(rows)]
    elif kind == "unique":
        values = [f"{random_.choice(words)} no {i}" for i in range(rows)]
    elif kind == "truth":
        values = [random_.random() < 0.5 for _ in range(rows)]
    elif kind == "date":
        values = [(START + datetime.timedelta(days=random_.randint(0, 12000))).date() for _ in range(rows)]
    else:
        values = [START + datetime.timedelta(seconds=random_.randint(0, 10**9)) for _ in range(rows)]
    kind = {"rounded": "float", "large": "int", "unique": "text"}.get(kind, kind)
    return Column(name, kind, None, with_gaps(random_, values, gaps))


def encodable(words, encoding, line_end):
    """The words that a file can hold. pandas does not quote a line feed where lines end otherwise."""
    words = [word for word in words if line_end != "\r" or "\n" not in word]
    return [word for word in words if word.encode(encoding, "ignore").decode(encoding) == word]


def seconds(value):
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    return (value - datetime.datetime(1970, 1, 1)).total_seconds()


def meaning(column, form):
    """What each cell means after it was written in a form."""
    def of(value):
        if value is None:
            return None
        if column.kind in ("date", "time"):
            only_day = column.kind == "date" or form.get("date_format") in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d")
            return seconds(value.date() if only_day and column.kind == "time" else value)
        if column.kind == "float" and form.get("float_format"):
            return float(form["float_format"] % value)
        if column.kind == "truth":
            return 1.0 if value else 0.0
        if column.kind == "text":
            return value
        return float(value)
    return [of(value) for value in column.values]


def ambiguities(columns, form, first_names):
    """Why a reader may refuse the table: two readings fit."""
    found = []
    for c in columns:
        present = [v for v in c.values if v is not None]
        if c.kind in ("date", "time") and form.get("date_format") in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y"):
            if all(v.day <= 12 for v in present) and present:
                found.append(f"every day of {c.name!r} may be a month")
        if c.kind == "float" and form.get("decimal") == ",":
            texts = [f"{abs(v):.3f}".split(".")[0] for v in present]
            if form.get("float_format") == "%.3f" and all(1 <= len(t) <= 3 and t[0] != "0" for t in texts):
                found.append(f"every comma of {c.name!r} may stand between thousands")
    if all(len({v for v in meaning(c, form) if v is not None}) < 2 for c in columns):
        found.append("there is nothing to learn from")
    if form["header"] and any(name.strip().isdigit() for name in first_names):
        found.append("names are numbers")
    return found


def table(random_, form):
    rows = random_.choice([3, 8, 20, 60, 200])
    words, names = [encodable(words, form["encoding"], form["line_end"]) for words in (WORDS, NAMES)]
    gaps = random_.random() < 0.5
    width = random_.randint(2, 7)
    chosen = random_.sample(names, width)
    if random_.random() < 0.1:
        chosen = [str(2015 + i) for i in range(width)]
    columns = [column(random_, name, rows, gaps, words) for name in chosen]
    # A column without gaps keeps every row, and one of numbers tells the header from the rows.
    columns[random_.randrange(width)] = Column(chosen[-1], "float", None, floats(random_, rows))
    for c, name in zip(columns, chosen):
        c.name = name
    return columns, rows


def form_of(random_, writer):
    form = {
        "writer": writer,
        "encoding": random_.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"]),
        "header": random_.random() < 0.8,
        "delimiter": random_.choice([",", ",", ";", "\t", "|"]),
        "line_end": random_.choice(["\n", "\n", "\r\n"]),
        "na": random_.choice(["", "", "NA", "nan", "NULL", "-", "?", "<NA>", "None"]),
    }
    if random_.random() < 0.4:
        form["float_format"] = random_.choice(["%.2f", "%.3f", "%.6e", "%.8f"])
    if random_.random() < 0.4:
        form["date_format"] = random_.choice(["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%S"])
    if form["delimiter"] != "," and random_.random() < 0.4:
        form["decimal"] = ","
    if writer == "pandas":
        form["quoting"] = random_.choice(["minimal", "minimal", "all", "nonnumeric"])
        form["index"] = random_.random() < 0.3
        if random_.random() < 0.1:
            form["line_end"] = "\r"
    else:
        form["quoting"] = random_.choice(["necessary", "necessary", "always", "non_numeric"])
        form["index"] = False
    return form


def write_pandas(path, columns, form):
    frame = pd.DataFrame({i: pd.Series(c.values, dtype=pandas_type(c)) for i, c in enumerate(columns)})
    frame.columns = [c.name for c in columns]
    quoting = {"minimal": csv.QUOTE_MINIMAL, "all": csv.QUOTE_ALL, "nonnumeric": csv.QUOTE_NONNUMERIC}[form["quoting"]]
    # pandas itself would write dates and truth values without quotes only where quoting says so.
    frame.to_csv(
        path, sep=form["delimiter"], header=form["header"], index=form["index"], na_rep=form["na"], quoting=quoting,
        float_format=form.get("float_format"), date_format=form.get("date_format"), decimal=form.get("decimal", "."),
        lineterminator=form["line_end"], encoding=form["encoding"],
    )


def pandas_type(c):
    if c.kind == "int":
        return "Int64"
    if c.kind == "float":
        return "float64"
    if c.kind in ("date", "time"):
        return "datetime64[ns]"
    return object


def write_polars(path, columns, form):
    types = {"int": pl.Int64, "float": pl.Float64, "text": pl.String, "truth": pl.Boolean, "date": pl.Date, "time": pl.Datetime}
    frame = pl.DataFrame([pl.Series(c.name, c.values, dtype=types[c.kind]) for c in columns])
    options = {}
    if "date_format" in form:
        options = {"datetime_format": form["date_format"], "date_format": form["date_format"].replace("T%H:%M:%S", "")}
    if form.get("float_format", "").endswith("f"):
        options["float_precision"] = int(form["float_format"][2])
    elif form.get("float_format", "").endswith("e"):
        options["float_precision"], options["float_scientific"] = 6, True
    text = frame.write_csv(
        separator=form["delimiter"], include_header=form["header"], line_terminator=form["line_end"], null_value=form["na"],
        quote_style=form["quoting"], decimal_comma=form.get("decimal") == ",", **options,
    )
    with open(path, "w", encoding=form["encoding"], newline="") as file:
        file.write(text)


def main(folder, count, seed):
    random_ = random.Random(seed)
    tables = []
    for number in range(count):
        writer = random_.choice(["pandas", "polars"])
        form = form_of(random_, writer)
        columns, rows = table(random_, form)
        path = f"{folder}/{number}.csv"
        (write_pandas if writer == "pandas" else write_polars)(path, columns, form)
        meant = [{"name": c.name, "kind": c.kind, "cells": meaning(c, form)} for c in columns]
        if form["index"]:
            meant.insert(0, {"name": "", "kind": "int", "cells": [float(i) for i in range(rows)]})
        tables.append({"form": form, "columns": meant, "ambiguous": ambiguities(columns, form, [c.name for c in columns])})
    with open(f"{folder}/tables.json", "w") as file:
        json.dump(tables, file)


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
