"""Writes the files that tests/library/data/parquet.rs reads: python columnar.py FOLDER

types.* have a column of each type, with a gap in each fourth row; long.* have many rows.
"""

import datetime
import decimal
import sys

import numpy
import pandas
import polars
import pyarrow
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet

ROWS = 12
folder = sys.argv[1]


def column(kind, value, rows=ROWS):
    return pyarrow.array([None if i % 4 == 3 else value(i) for i in range(rows)], kind)


def moment(i):
    return datetime.datetime(2026, 1, 1) + datetime.timedelta(days=i, milliseconds=500 * (i % 2))


integers = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
numbers = {name: column(getattr(pyarrow, name)(), lambda i: i * i) for name in integers}
numbers["float16"] = column(pyarrow.float16(), lambda i: numpy.float16(i / 2))
numbers["float32"] = column(pyarrow.float32(), lambda i: i / 2)
numbers["float64"] = column(pyarrow.float64(), lambda i: i / 2)
numbers["decimal"] = column(pyarrow.decimal128(10, 2), lambda i: decimal.Decimal(i) / 2)
numbers["bool"] = column(pyarrow.bool_(), lambda i: i % 3 == 0)
texts = {name: column(getattr(pyarrow, name)(), lambda i: "abc"[i % 3]) for name in ["string", "large_string", "string_view"]}
texts["dictionary"] = texts["string"].dictionary_encode()
texts["binary"] = texts["string"].cast(pyarrow.binary())
dates = {"date32": column(pyarrow.date32(), lambda i: moment(i).date()),
         "date64": column(pyarrow.date64(), lambda i: moment(i).date())}
for unit in ["ms", "us", "ns"]:
    dates["time_" + unit] = column(pyarrow.timestamp(unit), moment)
dates["time_s"] = column(pyarrow.timestamp("s"), lambda i: moment(i).replace(microsecond=0))
dates["time_zone"] = column(pyarrow.timestamp("us", "Europe/Berlin"), lambda i: moment(i).replace(tzinfo=datetime.timezone.utc))
unread = {"list": column(pyarrow.list_(pyarrow.int64()), lambda i: [i, 2]),
          "struct": column(pyarrow.struct([("a", pyarrow.int64()), ("b", pyarrow.string())]), lambda i: {"a": i, "b": "x"}),
          "clock": column(pyarrow.time64("us"), lambda i: moment(i).time()),
          "bytes": column(pyarrow.binary(), lambda i: b"\xff" + bytes([i]))}
label = {"label": pyarrow.array(["yes" if i % 2 else "no" for i in range(ROWS)])}
maps = {"map": column(pyarrow.map_(pyarrow.string(), pyarrow.int64()), lambda i: [("a", i)])}
flat = pyarrow.table({**numbers, **texts, **dates, **label})
table = pyarrow.table({**numbers, **texts, **dates, **unread, **maps, **label})


def parquet(name, table=table, **options):
    pyarrow.parquet.write_table(table, f"{folder}/{name}.parquet", **options)


for compression in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]:
    parquet(f"types-{compression}", compression=compression)
    parquet(f"types-{compression}-2", compression=compression, data_page_version="2.0", row_group_size=5)
parquet("types-plain", use_dictionary=False)
delta = dict.fromkeys(integers[2:4], "DELTA_BINARY_PACKED") | {"string": "DELTA_LENGTH_BYTE_ARRAY", "float64": "BYTE_STREAM_SPLIT"}
parquet("types-delta", use_dictionary=False, column_encoding=delta)
parquet("types-prefixes", use_dictionary=False, column_encoding={"string": "DELTA_BYTE_ARRAY"})

for compression in ["uncompressed", "lz4", "zstd"]:
    pyarrow.feather.write_feather(table, f"{folder}/types-{compression}.feather", compression)
with pyarrow.ipc.new_stream(f"{folder}/types-stream.arrow", table.schema) as writer:
    for batch in table.to_batches(max_chunksize=5):
        writer.write_batch(batch)

frame = flat.to_pandas(types_mapper=pandas.ArrowDtype)
frame.to_parquet(f"{folder}/types-pandas.parquet")
frame.to_feather(f"{folder}/types-pandas.feather")
frame = polars.from_arrow(table.drop(["map"]))
for compression in ["uncompressed", "snappy", "gzip", "zstd", "lz4", "brotli"]:
    frame.write_parquet(f"{folder}/types-polars-{compression}.parquet", compression=compression)
for compression in ["uncompressed", "lz4", "zstd"]:
    frame.write_ipc(f"{folder}/types-polars-{compression}.arrow", compression=compression)
frame.write_ipc_stream(f"{folder}/types-polars-stream.arrow")

# Values that take their length even where they are missing.
parquet("wide", pyarrow.table({"x": numbers["float64"], "wide": pyarrow.nulls(ROWS, pyarrow.binary(1 << 20)), **label}))

# Small files without repetition, to be damaged.
small = pyarrow.table({"n": numbers["int32"], "x": numbers["float64"], "b": numbers["bool"], "t": texts["string"],
                       "d": texts["dictionary"], "w": numbers["decimal"], "l": unread["list"], **label})
for name, options in [("snappy", {}), ("gzip", {"data_page_version": "2.0"}), ("zstd", {"row_group_size": 5}), ("lz4", {})]:
    parquet(f"small-{name}", small, compression=name, store_schema=False, **options)
parquet("small-delta", small, use_dictionary=False, compression="none", store_schema=False,
        column_encoding={"n": "DELTA_BINARY_PACKED", "t": "DELTA_LENGTH_BYTE_ARRAY", "x": "BYTE_STREAM_SPLIT"})
pyarrow.feather.write_feather(small, f"{folder}/small-lz4.feather", "lz4")
pyarrow.feather.write_feather(small, f"{folder}/small-none.feather", "uncompressed")
with pyarrow.ipc.new_stream(f"{folder}/small-stream.arrow", small.schema) as writer:
    writer.write_table(small)

# Row groups of several blocks, pages that end within them.
rows = numpy.arange(500_000)
long = pyarrow.table({"row": rows, "half": pyarrow.array(rows / 2, mask=rows % 7 == 0), "text": [f"t{i % 1000}" for i in rows],
                      "label": ["yes" if i % 2 else "no" for i in rows]})
parquet("long", long, row_group_size=400_000)
parquet("long-2", long, row_group_size=1_000_000, data_page_version="2.0", compression="zstd", use_dictionary=["label"])
polars.from_arrow(long).write_parquet(f"{folder}/long-polars.parquet")
pyarrow.feather.write_feather(long, f"{folder}/long.feather")
