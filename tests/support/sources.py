"""Short ways to describe sources in tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slipway.config import SqlSource
from slipway.run import Connection
from slipway.sources import RowSource


def sql_source(columns: Sequence[str], **where: str) -> SqlSource:
    """A source of exactly these columns; `where` is table=… or query=…."""
    return SqlSource(
        kind="sql",
        name="docs",
        connection="docs_db",
        id=columns[0],
        title=None,
        text=f"{{{columns[0]}}}",
        metadata=tuple(columns[1:]),
        may_be_empty=False,
        **{"query": None, "table": None, **where},
    )


def connection(url: str) -> Connection:
    return Connection("docs_db", url)


def all_rows(source: RowSource) -> list[dict[str, Any]]:
    return [row for batch in source.batches() for row in batch.to_pylist()]
