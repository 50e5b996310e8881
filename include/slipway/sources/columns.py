"""Rows of Python values, as database drivers give them, made into Arrow record batches.

The type of a column is found for each batch from the values themselves, because a database may be dynamically typed
(SQLite) and a declared type says little about what the driver delivers.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from slipway.sources.plain import MAX_BYTES, MAX_ROWS, Array, text_of

Row = Sequence[Any]

_BYTES = (bytes, bytearray, memoryview)
_NATIVE: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    datetime.date: pa.date32(),
    datetime.time: pa.time64("us"),
}


def value_bytes(value: object) -> int:
    """About how many bytes a value takes in Arrow."""
    if isinstance(value, str):
        return len(value) if value.isascii() else 3 * len(value)
    if isinstance(value, _BYTES):
        return len(value)
    return 256 if isinstance(value, dict | list | tuple) else 8


def to_batches(rows: Iterable[Row], names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Record batches of the rows, at most `MAX_ROWS` rows and about `MAX_BYTES` bytes each; a larger row is alone."""
    last_types: list[pa.DataType] = [pa.string() for _ in names]
    waiting: list[Row] = []
    waiting_bytes = 0
    for row in rows:
        size = sum(map(value_bytes, row))
        if waiting and (len(waiting) >= MAX_ROWS or waiting_bytes + size > MAX_BYTES):
            yield _batch(waiting, names, last_types)
            waiting, waiting_bytes = [], 0
        waiting.append(row)
        waiting_bytes += size
    if waiting:
        yield _batch(waiting, names, last_types)


def _batch(rows: list[Row], names: Sequence[str], last_types: list[pa.DataType]) -> pa.RecordBatch:
    arrays = [to_array(values, like) for values, like in zip(zip(*rows, strict=True), last_types, strict=True)]
    last_types[:] = [array.type for array in arrays]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))


def to_array(values: Sequence[Any], like: pa.DataType | None = None) -> Array:
    """An Arrow array of the narrowest plain type that holds all values.

    Integers and reals together become double; text and bytes together, or anything with bytes, binary (text as
    UTF-8); any other mixture text. A column with no value at all keeps the type `like`.
    """
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.array(values, like or pa.string())
    try:
        return _natively(values, kinds)
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
        # an integer beyond 64 bits, a year beyond Arrow's range, a lone surrogate: kept as written
        return pa.array([None if value is None else _utf8(value) for value in values], pa.binary())


def _natively(values: Sequence[Any], kinds: set[type]) -> Array:
    if kinds == {datetime.time} and any(value is not None and value.tzinfo for value in values):
        return pa.array([None if value is None else value.isoformat() for value in values], pa.string())
    if len(kinds) == 1 and (native := _NATIVE.get(next(iter(kinds)))) is not None:
        return pa.array(values, native)
    if kinds == {int, float}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if kinds == {datetime.datetime}:
        return _timestamps(values)
    if any(issubclass(kind, _BYTES) for kind in kinds):
        return pa.array([None if value is None else _utf8(value) for value in values], pa.binary())
    return pa.array([None if value is None else text_of(value) for value in values], pa.string())


def _timestamps(values: Sequence[datetime.datetime | None]) -> Array:
    aware = {value.tzinfo is not None for value in values if value is not None}
    if len(aware) > 1:  # an instant and a wall-clock time cannot share a type
        return pa.array([None if value is None else value.isoformat() for value in values], pa.string())
    return pa.array(values, pa.timestamp("us", "UTC") if aware.pop() else pa.timestamp("us"))


def _utf8(value: object) -> bytes:
    return bytes(value) if isinstance(value, _BYTES) else text_of(value).encode("utf-8", "surrogatepass")
