"""Short ways to describe sources in tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from slipway.config import SqlSource
from slipway.run import Connection
from slipway.sources import Reading


def sql_source(columns: Sequence[str], **options: Any) -> SqlSource:
    """A source of exactly these columns; `options` are table=… or query=…, and further fields."""
    return SqlSource(**described(columns, kind="sql", connection="docs_db", **options))


def described(columns: Sequence[str], **options: Any) -> dict[str, Any]:
    """The fields of a source of exactly these columns, the id first."""
    return {"name": "docs", "id": columns[0], "text": f"{{{columns[0]}}}", "metadata": tuple(columns[1:]), **options}


def connection(url: str) -> Connection:
    return Connection("docs_db", url)


def dicts(batches: Iterable[pa.RecordBatch] | None) -> list[dict[str, Any]]:
    return [row for batch in batches or () for row in batch.to_pylist()]


def all_rows(reading: Reading) -> list[dict[str, Any]]:
    """What a reading gives, from entering to leaving it."""
    with reading:
        return dicts(reading.rows())
