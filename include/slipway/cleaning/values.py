"""Values of raw columns, whatever a source delivered, as Python values, text and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class NotUtf8(ValueError):
    """Bytes that are not UTF-8; the message says which byte, where."""


def python_values(column: pa.Array[Any]) -> list[object]:
    """The column's values as Python values. Never fails: text that is not UTF-8 comes as bytes, and a value that
    Python has no type for (a date in the year 200,000) as Arrow writes it.
    """
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, pa.ArrowException):
        # a Parquet file may say "string" and hold other bytes, which Arrow reads without a look
        return [_python_value(value) for value in column]


def _python_value(value: pa.Scalar[Any]) -> object:
    try:
        return value.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        pass
    for kind in (pa.large_binary(), pa.large_string()):
        try:
            return value.cast(kind).as_py()
        except (ValueError, OverflowError, pa.ArrowException):
            continue
    return f"({value.type} that cannot be shown)"


def as_text(value: object) -> str:
    """A value as it stands in a template or an id: null and NaN are "", a whole float has no ".0".

    Raises `NotUtf8`.
    """
    if isinstance(value, str):
        return value
    if is_null(value):
        return ""
    if isinstance(value, bytes):
        return _decoded(value)
    if isinstance(value, float):
        # a column of whole numbers turns to floats when a null appears in it; ids must not change with it
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping | Sequence):
        return _JSON.encode(as_json(value))
    return str(value)


def is_null(value: object) -> bool:
    """Whether the value is none: null, or a number that is not a number."""
    if isinstance(value, Decimal):
        return value.is_nan()
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_json(value: object) -> object:
    """The value as JSON can say it: dates in ISO form, NaN and infinity null, bytes as text with replacement
    characters, and anything else by its `str`.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): as_json(inner) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [as_json(inner) for inner in value]
    return None if is_null(value) else str(value)


def json_object(values: Mapping[str, object]) -> str:
    """A JSON object with sorted keys: equal values give one text."""
    return _JSON.encode({name: as_json(value) for name, value in values.items()})


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotUtf8(f"byte 0x{value[error.start]:02x} at position {error.start} is not UTF-8") from None
