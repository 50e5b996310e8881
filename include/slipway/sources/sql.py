"""Readings of a relational database: which rows, from where on, and how far that went."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from slipway.config import SqlSource
from slipway.errors import SourceSchemaError
from slipway.manifest import fingerprint
from slipway.run import Connection
from slipway.sources import watermark
from slipway.sources.base import Position
from slipway.sources.watermark import Kind, Now, Range, Stamp, Tracker

if TYPE_CHECKING:
    import pyarrow as pa

IDS_A_STATEMENT = 500
OVERLAP_MINUTES = 60.0  # where the source says nothing


class Database(Protocol):
    """One read-only snapshot of a database, from entering to leaving its `with` block. `where` names it in errors.

    Raises `SourceSchemaError`, `SourceDenied`, `SourceInterrupted`.
    """

    where: str

    def __enter__(self) -> Database: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def now(self) -> Now:
        """The database's clock when the snapshot was taken, or earlier."""
        ...

    def kind(self) -> Kind | None:
        """What the column `updated_at` holds; None where no row has a value."""
        ...

    def rows(self, ranges: Sequence[Range], tracker: Tracker | None) -> Generator[pa.RecordBatch, None, None]:
        """The source's columns of all rows, or of those whose updated_at is null or in a range; `tracker` sees it."""
        ...

    def ids(self) -> Generator[pa.RecordBatch, None, None]:
        """The primary key of all rows."""
        ...

    def rows_of(self, ids: Sequence[object]) -> Generator[pa.RecordBatch, None, None]:
        """The source's columns of the rows with these primary keys, at most `IDS_A_STATEMENT`."""
        ...


def open_sql(connection: Connection, source: SqlSource, since: Position | None) -> SqlReading:
    """A reading by the adapter for this kind of database: Arrow-native where there is a driver for that."""
    if _is_postgres(connection.url) and has_adbc():
        from slipway.sources.adbc import AdbcDatabase

        return SqlReading(AdbcDatabase(connection, source), source, since)
    from slipway.sources.alchemy import AlchemyDatabase

    return SqlReading(AlchemyDatabase(connection, source), source, since)


class SqlReading:
    """A `Reading` of a table or query: everything, or by the watermark `updated_at` and an overlap.

    Raises what `Reading` says, and `SourceSchemaError` for a watermark of numbers without an overlap.
    """

    def __init__(self, database: Database, source: SqlSource, since: Position | None) -> None:
        self.database, self._source, self._given = database, source, since
        self.full, self.reason = True, ""
        self.position: Position | None = None
        self._kind: Kind | None = None
        self._since: Stamp | None = None
        self._latest: Stamp | None = None
        self._streams: list[Generator[pa.RecordBatch, None, None]] = []

    def __enter__(self) -> SqlReading:
        self.database.__enter__()
        try:
            self._decide()
        except BaseException:
            self.database.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as stack:  # the streams end before the database does
            stack.callback(self.database.__exit__, kind, error, trace)
            for stream in self._streams:
                stack.callback(stream.close)

    def _decide(self) -> None:
        if self._source.updated_at is None:
            self.reason = "the source names no column updated_at"
            return
        self._kind = self.database.kind()
        self._check_overlap(self._source.updated_at)
        if self._kind is not None:
            self._latest = self.database.now().latest(self._kind)
        if self._given is None:
            self.reason = "no position of an earlier reading is given"
        elif obstacle := self._obstacle(self._given):
            self.reason = obstacle
        else:
            self.full = False
            self.reason = f"everything since {self._since} minus {self._overlap:g}{self._unit}"

    def _check_overlap(self, column: str) -> None:
        """Raise `SourceSchemaError` where no overlap can be assumed: a number may count days or microseconds."""
        if self._kind is Kind.NUMBER and self._source.overlap is None:
            raise SourceSchemaError(
                f"{self.database.where}: updated_at column {column!r} holds numbers, whose unit nobody knows, and the "
                "source has no overlap. Write overlap in the column's own unit, at least the longest time from a row's "
                "stamp to its commit: one hour is 3600 for seconds since 1970 and 3600000 for milliseconds; for a "
                "sequence or a version, as many numbers as may be given out and not yet committed"
            )

    def _obstacle(self, given: Position) -> str | None:
        """Why the position cannot be gone on from, if so."""
        column = self._source.updated_at
        if given.get("kind") != watermark.KIND:
            return f"the source was last read by {given.get('kind')}, and now by the column {column}"
        if given.get("of") != subject(self._source):
            return "table, query, connection, id or updated_at is another than in the last reading"
        if self._kind is None:
            return f"no row has a value in {column}"
        self._since = watermark.stamp_in(given, self._kind)
        if self._since is None:
            return f"the last reading ended at {given.get('value')!r}, and {column} now holds {self._kind.value}"
        return None

    @property
    def _overlap(self) -> float:
        return OVERLAP_MINUTES if self._source.overlap is None else self._source.overlap

    @property
    def _unit(self) -> str:
        return "" if self._kind is Kind.NUMBER else " minutes"

    def rows(self) -> Iterator[pa.RecordBatch]:
        """See `Reading`."""
        return self._given_out(self._rows())

    def _rows(self) -> Generator[pa.RecordBatch, None, None]:
        if self._source.updated_at is None:
            yield from self.database.rows([], None)
            return
        tracker = Tracker(self.database.where, self._source.updated_at, self._kind)
        yield from self.database.rows(self._ranges(), tracker)
        self.position = self._reached(tracker.largest)

    def _ranges(self) -> Sequence[Range]:
        if self.full or self._since is None or self._kind is None:
            return []
        return watermark.ranges(self._kind, watermark.below(self._since, self._overlap))

    def _reached(self, largest: Stamp | None) -> Position | None:
        since = None if self.full else self._since
        reached = watermark.position(largest, since, self._latest, self._kind)
        return None if reached is None else {**reached, "of": subject(self._source)}

    def deleted_ids(self) -> Iterator[pa.RecordBatch]:
        """See `Reading`: a database keeps no list of what was deleted."""
        return iter(())

    def all_ids(self) -> Iterator[pa.RecordBatch] | None:
        """See `Reading`."""
        if self.full or not self._source.id_scan:
            return None
        return self._given_out(self.database.ids())

    def rows_of(self, ids: Sequence[object]) -> Iterator[pa.RecordBatch]:
        """See `Reading`: at most `IDS_A_STATEMENT` ids a statement."""
        return self._given_out(self._rows_of(list(ids)))

    def _rows_of(self, ids: Sequence[object]) -> Generator[pa.RecordBatch, None, None]:
        for start in range(0, len(ids), IDS_A_STATEMENT):
            yield from self.database.rows_of(ids[start : start + IDS_A_STATEMENT])

    def _given_out(self, stream: Generator[pa.RecordBatch, None, None]) -> Iterator[pa.RecordBatch]:
        """The stream, closed with the reading: a suspended one would keep its cursor open."""
        self._streams.append(stream)
        return stream


def subject(source: SqlSource) -> str:
    """What a watermark is about, as a hash: of another query it would say nothing."""
    return fingerprint(source.connection, source.table, source.query, source.id, source.updated_at)


def _is_postgres(url: str) -> bool:
    return url.partition("://")[0].partition("+")[0] in ("postgresql", "postgres")


def has_adbc() -> bool:
    """Whether the ADBC driver for PostgreSQL is installed."""
    return importlib.util.find_spec("adbc_driver_postgresql") is not None
