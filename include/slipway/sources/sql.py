"""Rows of a relational database: Arrow-native where there is a driver for that, through SQLAlchemy otherwise."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

from slipway.config import SqlSource
from slipway.run import Connection
from slipway.sources.base import RowSource

if TYPE_CHECKING:
    import pyarrow as pa


class SqlRows:
    """The rows of a `SqlSource`. Raises what `RowSource` says, and `SourceDenied` when the login is refused."""

    def __init__(self, connection: Connection, source: SqlSource) -> None:
        self._connection, self._source = connection, source

    def batches(self) -> Iterator[pa.RecordBatch]:
        """See `RowSource`."""
        return self.driver().batches()

    def driver(self) -> RowSource:
        """The adapter that reads this kind of database here."""
        if _is_postgres(self._connection.url) and has_adbc():
            from slipway.sources.adbc import AdbcRows

            return AdbcRows(self._connection, self._source)
        from slipway.sources.alchemy import AlchemyRows

        return AlchemyRows(self._connection, self._source)


def _is_postgres(url: str) -> bool:
    return url.partition("://")[0].partition("+")[0] in ("postgresql", "postgres")


def has_adbc() -> bool:
    """Whether the ADBC driver for PostgreSQL is installed."""
    return importlib.util.find_spec("adbc_driver_postgresql") is not None
