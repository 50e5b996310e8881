"""Readings of a Delta Lake table: by its change data feed where that is on, everything otherwise."""

from __future__ import annotations

import itertools
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from slipway import tables
from slipway.config import DeltaSource
from slipway.parts import read_batches
from slipway.sources.base import Position
from slipway.sources.plain import bounded, plain_batches, with_ids
from slipway.sources.s3_options import delta_options
from slipway.sources.table_failures import TableFailures

KIND = "delta"
FEED = "delta.enableChangeDataFeed"
CHANGE, VERSION = "_change_type", "_commit_version"
_ADDS = "('insert', 'update_postimage')"
_GONE = re.compile(r"not found|not enabled|invalid table version|no files in log|no table metadata", re.IGNORECASE)


class DeltaReading:
    """A `Reading` of one version of a Delta table. A change feed is copied below `scratch` when the block is entered:
    only the whole of it tells which change of an id is the last, and whether files that it needs were vacuumed.

    Raises what `Reading` says, and `CorruptObject` for a file that cannot be read as Parquet.
    """

    def __init__(self, source: DeltaSource, scratch: Path, since: Position | None) -> None:
        self._source, self._given = source, since
        self._folder = scratch / f"delta-{secrets.token_hex(4)}"
        self._options = delta_options(source.path)
        hidden = [self._options[key] for key in self._options if "key" in key or "token" in key]
        self._failures = TableFailures(f"source {source.name!r} (Delta table {source.path})", hidden)
        self.full, self.reason = True, ""
        self.position: Position | None = None
        self._feed: Path | None = None
        self._read = 0

    def __enter__(self) -> DeltaReading:
        with self._told():
            self._table = self._opened()
            self._failures.check_columns(self._source.columns, list(_types(self._table)))
            try:
                self._decide()
            except BaseException:
                self._forget()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()

    def _forget(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)  # only a copy of the feed

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except TableNotFoundError as error:
            raise self._failures.missing(error) from None
        except (DeltaError, pa.ArrowException, OSError) as error:
            raise self._failures.of(error, self._read) from None  # an error of a store may carry credentials

    def _opened(self, version: int | None = None) -> DeltaTable:
        return DeltaTable(self._source.path, version=version, storage_options=self._options)

    def _decide(self) -> None:
        if self._given is None:
            self.reason = "no position of an earlier reading is given"
            return
        obstacle = self._obstacle(self._given)
        if obstacle is not None:
            self.reason = obstacle
            return
        self.full = False
        version = self._given["version"]
        self.reason = f"the change data feed from version {version + 1} to {self._table.version()}"
        if version == self._table.version():
            self.reason = f"nothing was committed since version {version}"

    def _obstacle(self, given: Position) -> str | None:
        """Why the feed cannot be read from that position on, if so; otherwise the feed is in scratch."""
        if given.get("kind") != KIND or not isinstance(given.get("version"), int):
            return f"the source was last read by {given.get('kind')}, and now as a Delta table"
        if given.get("table_id") != str(self._table.metadata().id):
            return "the table was made anew since the last reading"
        if given["version"] > self._table.version():
            return f"the table is at version {self._table.version()}, before that of the last reading"
        if not _feeds(self._table):
            return f"the table has no change data feed (its property {FEED} is not true)"
        try:
            if obstacle := self._obstacle_at(given["version"]):
                return obstacle
            self._copy_feed(given["version"] + 1)
        except (DeltaError, pa.ArrowException, OSError) as error:
            words = self._failures.words(error)
            if not _GONE.search(words):
                raise
            return f"the changes since version {given['version']} are not there any more: {words}"
        return None

    def _obstacle_at(self, version: int) -> str | None:
        then = self._opened(version)
        if not _feeds(then):
            return f"the change data feed was off at version {version}, where the last reading ended"
        types, were = _types(self._table), _types(then)
        changed = [name for name in self._source.columns if types[name] != were.get(name)]
        if changed:
            return f"column {', '.join(map(repr, changed))} was added or is of another type since the last reading"
        return None

    def _copy_feed(self, first: int) -> None:
        """Copy the feed from version `first` on into scratch."""
        last = self._table.version()
        if first > last:
            return
        columns = list(dict.fromkeys([*self._source.columns, CHANGE, VERSION]))
        feed = pa.RecordBatchReader.from_stream(
            self._table.load_cdf(starting_version=first, ending_version=last, columns=columns)
        )
        self._folder.mkdir(parents=True)
        path = self._folder / "feed.parquet"
        with pq.ParquetWriter(path, _storable(feed.schema), compression="zstd") as writer:
            for batch in feed:
                for piece in bounded(batch):
                    writer.write_batch(piece.cast(writer.schema))
        self._feed = path

    def rows(self) -> Iterator[pa.RecordBatch]:
        """See `Reading`."""
        with self._told():
            for batch in self._all() if self.full else self._changed():
                for piece in plain_batches(batch):
                    yield piece
                    self._read += piece.num_rows
        self.position = {"kind": KIND, "version": self._table.version(), "table_id": str(self._table.metadata().id)}

    def _all(self) -> Iterator[pa.RecordBatch]:
        for batch in pa.RecordBatchReader.from_stream(self._table.scan(columns=self._source.columns)):
            yield batch.select(self._source.columns)

    def _changed(self) -> Iterator[pa.RecordBatch]:
        """Rows of the feed that were added by the last commit that touched their id, in the feed's own types."""
        if self._feed is None:
            return
        with tables.duck(self._folder) as session:
            flags = self._flags(session, pq.read_schema(self._feed))
            for batch in read_batches([self._feed]):
                kept = pa.array(itertools.islice(flags, batch.num_rows), pa.bool_())
                yield batch.filter(kept).select(self._source.columns)

    def _flags(self, session: Any, schema: pa.Schema) -> Iterator[bool]:
        """For each row of the feed, in order, whether it is the latest state of its id."""
        assert self._feed is not None
        tables.view(session, "feed", [self._feed], schema)
        key = _quoted(self._source.id)
        query = (
            f"SELECT {CHANGE} IN {_ADDS} AND ({key} IS NULL OR {VERSION} = max({VERSION}) OVER (PARTITION BY {key})) "
            "AS latest FROM feed ORDER BY position"
        )
        for batch in tables.batches(session, query):
            yield from batch.column("latest").to_pylist()

    def deleted_ids(self) -> Iterator[pa.RecordBatch]:
        """See `Reading`. An update that moves a row to another id deletes the one that it had."""
        if self._feed is None:
            return
        with self._told(), tables.duck(self._folder) as session:
            tables.view(session, "feed", [self._feed], pq.read_schema(self._feed))
            key, added = _quoted(self._source.id), f"{CHANGE} IN {_ADDS}"
            query = (
                f"SELECT {key} FROM feed WHERE {key} IS NOT NULL GROUP BY {key} "
                f"HAVING max({VERSION}) > coalesce(max({VERSION}) FILTER ({added}), -1)"
            )
            for batch in tables.batches(session, query):
                yield from plain_batches(batch)

    def all_ids(self) -> Iterator[pa.RecordBatch] | None:
        """See `Reading`: None, as the feed tells what was deleted."""
        return None

    def rows_of(self, ids: Sequence[object]) -> Iterator[pa.RecordBatch]:
        """See `Reading`: the whole table is read for them."""
        with self._told():
            plain = itertools.chain.from_iterable(map(plain_batches, self._all()))
            yield from with_ids(plain, self._source.id, ids)


def _feeds(table: DeltaTable) -> bool:
    return str(table.metadata().configuration.get(FEED)).lower() == "true"


def _types(table: DeltaTable) -> dict[str, str]:
    """The table's columns with their types as JSON."""
    return {field.name: field.type.to_json() for field in table.schema().fields}


def _storable(schema: pa.Schema) -> pa.Schema:
    """The schema without string and binary views, which not every reader of Parquet takes."""
    return pa.schema([field.with_type(_storable_type(field.type)) for field in schema])


def _storable_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(kind) else kind


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
