"""Readings of an Apache Iceberg table: the files appended since the last one, or everything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import (
    AuthorizationExpiredError,
    ForbiddenError,
    NoSuchNamespaceError,
    NoSuchPropertyException,
    NoSuchTableError,
    NotInstalledError,
    RESTError,
    UnauthorizedError,
    ValidationError,
)
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table.snapshots import Operation
from pyiceberg.utils.config import Config
from sqlalchemy.exc import SQLAlchemyError

from slipway.config import IcebergSource
from slipway.errors import SourceDenied
from slipway.sources.base import Position
from slipway.sources.plain import plain_batches, with_ids
from slipway.sources.table_failures import TableFailures

if TYPE_CHECKING:
    from pyiceberg.table import FileScanTask, Table
    from pyiceberg.table.snapshots import Snapshot

KIND = "iceberg"
_SECRET = re.compile(r"key|secret|token|credential|pass", re.IGNORECASE)
_UNUSABLE = (NoSuchPropertyException, NotInstalledError, ValidationError, ValueError, NotImplementedError)


class IcebergReading:
    """A `Reading` of one snapshot of an Iceberg table, a data file at a time: one file's columns are in memory.

    The catalog is found by pyiceberg's own configuration. Raises what `Reading` says.
    """

    def __init__(self, source: IcebergSource, since: Position | None) -> None:
        self._source, self._given = source, since
        self._failures = TableFailures(self._where, ())
        self.full, self.reason = True, ""
        self.position: Position | None = None
        self._read = 0

    @property
    def _where(self) -> str:
        return f"source {self._source.name!r} (Iceberg table {self._source.table}, catalog {self._source.catalog})"

    def __enter__(self) -> IcebergReading:
        with self._told():
            properties: dict[str, Any] = dict(Config().get_catalog_config(self._source.catalog) or {})
            self._failures = TableFailures(self._where, _secrets(properties))
            self._table: Table = load_catalog(self._source.catalog, **properties).load_table(self._source.table)
            self._snapshot: Snapshot | None = self._table.current_snapshot()
            self._failures.check_columns(self._source.columns, [field.name for field in self._table.schema().fields])
            self._decide()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (NoSuchTableError, NoSuchNamespaceError) as error:
            raise self._failures.missing(error) from None
        except (UnauthorizedError, ForbiddenError, AuthorizationExpiredError) as error:
            raise SourceDenied(
                f"{self._where}: the catalog refused the login: {self._failures.words(error)}. Correct its credentials"
            ) from None
        except (RESTError, SQLAlchemyError, pa.ArrowException, OSError) as error:
            raise self._failures.of(error, self._read) from None
        except _UNUSABLE as error:
            raise self._failures.unusable(error) from None

    def _decide(self) -> None:
        if self._given is None:
            self.reason = "no position of an earlier reading is given"
            return
        obstacle = self._obstacle(self._given)
        if obstacle is not None:
            self.reason = obstacle
            return
        self.full = False
        assert self._snapshot is not None
        if self._snapshot.snapshot_id == self._given["snapshot"]:
            self.reason = f"nothing was committed since snapshot {self._snapshot.snapshot_id}"
            return
        self.reason = f"the files appended from snapshot {self._given['snapshot']} to {self._snapshot.snapshot_id}"

    def _obstacle(self, given: Position) -> str | None:
        """Why the appended files are not all that changed since that position, if so."""
        if given.get("kind") != KIND:
            return f"the source was last read by {given.get('kind')}, and now as an Iceberg table"
        if given.get("table_uuid") != str(self._table.metadata.table_uuid):
            return "the table was made anew since the last reading"
        if given.get("schema") != self._table.schema().schema_id:
            return "the table's schema changed since the last reading"
        for snapshot in self._ancestors():
            if snapshot.snapshot_id == given.get("snapshot"):
                return None
            operation = snapshot.summary.operation if snapshot.summary else None
            if operation is not Operation.APPEND:
                named = operation.value if operation else "unknown operation"
                return f"snapshot {snapshot.snapshot_id} is no append ({named})"
        return f"snapshot {given.get('snapshot')} of the last reading is no ancestor of the table's, or expired"

    def _ancestors(self) -> Iterator[Snapshot]:
        """The snapshot read and those before it, newest first, as far as the table still knows them."""
        snapshot = self._snapshot
        while snapshot is not None:
            yield snapshot
            parent = snapshot.parent_snapshot_id
            snapshot = None if parent is None else self._table.snapshot_by_id(parent)

    def rows(self) -> Iterator[pa.RecordBatch]:
        """See `Reading`."""
        with self._told():
            for batch in self._batches(self._files()):
                yield batch
                self._read += batch.num_rows
        self.position = self._reached()

    def _reached(self) -> Position | None:
        if self._snapshot is None:
            return None
        return {
            "kind": KIND,
            "snapshot": self._snapshot.snapshot_id,
            "table_uuid": str(self._table.metadata.table_uuid),
            "schema": self._table.schema().schema_id,
        }

    def _files(self) -> Iterable[FileScanTask]:
        if self.full or self._given is None:
            return self._all_files()
        assert self._snapshot is not None
        if self._snapshot.snapshot_id == self._given["snapshot"]:
            return ()
        appended = self._table.incremental_append_scan(
            from_snapshot_id_exclusive=self._given["snapshot"], to_snapshot_id_inclusive=self._snapshot.snapshot_id
        )
        return appended.plan_files()

    def _all_files(self) -> Iterable[FileScanTask]:
        if self._snapshot is None:  # nothing was ever written
            return ()
        return self._table.scan(snapshot_id=self._snapshot.snapshot_id).plan_files()

    def _batches(self, files: Iterable[FileScanTask]) -> Iterator[pa.RecordBatch]:
        schema = self._table.schema().select(*self._source.columns)
        scan = ArrowScan(self._table.metadata, self._table.io, schema, AlwaysTrue())
        for file in files:  # one by one: given several, they are all decoded at once
            for batch in scan.to_record_batches([file]):
                yield from plain_batches(batch.select(self._source.columns))

    def deleted_ids(self) -> Iterator[pa.RecordBatch]:
        """See `Reading`: none, as a table that anything was deleted from is read in full."""
        return iter(())

    def all_ids(self) -> Iterator[pa.RecordBatch] | None:
        """See `Reading`: None, as only tables that were appended to are not read in full."""
        return None

    def rows_of(self, ids: Sequence[object]) -> Iterator[pa.RecordBatch]:
        """See `Reading`: the whole table is read for them."""
        with self._told():
            yield from with_ids(self._batches(self._all_files()), self._source.id, ids)


def _secrets(properties: Mapping[str, object]) -> list[str]:
    """What must never be shown of a catalog's properties."""
    return [str(value) for key, value in properties.items() if _SECRET.search(key) or "@" in str(value)]
