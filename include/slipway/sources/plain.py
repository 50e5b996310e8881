"""Arrow as sources give it, made plain: types that Parquet and pandas keep, in batches of bounded size."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

Array: TypeAlias = Any  # a pyarrow.Array of any type; its stubs know neither storage nor casts by a variable type

MAX_ROWS = 8_192
MAX_BYTES = 16 << 20  # of Arrow memory; one row may be larger


def plain_batches(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows of `batch` in plain types, at most `MAX_ROWS` rows and about `MAX_BYTES` bytes at a time."""
    for piece in bounded(batch):
        arrays = [plain(array) for array in piece.columns]
        yield from bounded(pa.RecordBatch.from_arrays(arrays, names=piece.schema.names))


def bounded(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch whole, or in halves of halves until each fits the bounds or is a single row."""
    fits = batch.num_rows <= MAX_ROWS and batch.nbytes <= MAX_BYTES
    if fits or batch.num_rows <= 1:
        yield batch
        return
    middle = batch.num_rows // 2
    yield from bounded(batch.slice(0, middle))
    yield from bounded(batch.slice(middle))


def with_ids(batches: Iterable[pa.RecordBatch], column: str, ids: Sequence[object]) -> Iterator[pa.RecordBatch]:
    """Of plain batches, the rows whose value in `column` reads as one of the ids does; empty batches are left out."""
    wanted = {text_of(value) for value in ids}
    for batch in batches:
        mask = [value is not None and text_of(value) in wanted for value in batch.column(column).to_pylist()]
        chosen = batch.filter(pa.array(mask, pa.bool_()))
        if chosen.num_rows:
            yield chosen


def plain(array: Array) -> Array:
    """The array without extension, dictionary, view, decimal, interval and nested types.

    Numbers, booleans, dates, times and timestamps stay. Text stays text where it is valid UTF-8 and becomes binary
    where it is not. Decimals, intervals and UUIDs become text, lists and structs JSON text, all-null columns text.
    Dates with a value that no calendar has (PostgreSQL's infinity, a year past 9999) become text.
    """
    kind = array.type
    if isinstance(kind, pa.UuidType):
        return _as_text(array)
    if isinstance(kind, pa.BaseExtensionType):
        return plain(array.storage)
    if pa.types.is_dictionary(kind):
        return plain(array.dictionary_decode())
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.string())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _text_or_binary(array)
    if pa.types.is_float16(kind):
        return array.cast(pa.float32())
    if is_binary(kind):
        return array.cast(pa.binary())
    if (
        pa.types.is_nested(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_duration(kind)
        or pa.types.is_interval(kind)
    ):
        return _as_text(array)
    return _dates_that_exist(array) if pa.types.is_temporal(kind) else array


def is_binary(kind: pa.DataType) -> bool:
    """Whether the type holds bytes, in whichever of Arrow's layouts."""
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def text_of(value: object) -> str:
    """One value as text: ISO 8601 for dates and times, JSON for lists and mappings, digits for decimals."""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")  # never 1E+3
    if isinstance(value, dict | list | tuple) and not hasattr(value, "_fields"):
        return json.dumps(value, ensure_ascii=False, default=text_of)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    return str(value)


def _as_text(array: Array) -> Array:
    return pa.array([None if value is None else text_of(value) for value in array.to_pylist()], pa.string())


def _dates_that_exist(array: Array) -> Array:
    try:
        pc.min_max(array).as_py()
    except (ValueError, OverflowError):
        return pa.array([_date_text(scalar) for scalar in array], pa.string())
    return array


def _date_text(scalar: pa.Scalar[Any]) -> str | None:
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError):
        return "out of range"
    return None if value is None else text_of(value)


def _text_or_binary(array: Array) -> Array:
    try:
        array.validate(full=True)  # Parquet readers do not look at the bytes of text
    except pa.ArrowInvalid:
        return array.cast(_bytes_like(array.type)).cast(pa.binary())
    return array.cast(pa.string())


def _bytes_like(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    return pa.binary_view() if pa.types.is_string_view(kind) else pa.binary()
