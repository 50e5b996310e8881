"""extract: the rows of one source, all of them or those that changed, as they are, into raw Parquet parts.

What a run reads depends on the checkpoint it builds on: how far the source was read then, and by which recipe its rows
became documents. A reading of changes also says which documents are gone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from slipway import checkpoint, layout, manifest
from slipway.checkpoint import SourceState
from slipway.cleaning.idscan import IdFile, compare
from slipway.cleaning.recipe import recipe
from slipway.cleaning.rows import document_id
from slipway.cleaning.values import python_values
from slipway.config import AnySource
from slipway.errors import InputError, SourceRefused
from slipway.manifest import Draft, Manifest
from slipway.parts import PartWriter
from slipway.records import DELETED
from slipway.run import Run
from slipway.sources import Reading, open_reading

STAGE = "extract"
FETCHED = 10_000  # most rows that are read one by one because the watermark missed them; more are a full reading


def extract(run: Run, source_name: str) -> Manifest:
    """Read a source of the run's collection once, and seal what came.

    Parts: `raw` (rows), `deleted` (records.DELETED, documents that a reading of changes found gone). Counts: `rows`,
    `deleted`. Facts: `source`, `kind`, `columns`, `mode` ("full" or "changes") with its `reason`, `base` (place of the
    snapshot that the reading is to be compared with, or None), and the source's `state` for the next checkpoint.

    Work that this run has sealed before is returned as it is; a reading that fails seals nothing, so a source read in
    part deletes nothing. Memory stays flat however many rows there are. Raises `SourceRefused` when there is no row and
    the source does not declare that normal, `InputError` when the source was configured differently at its first
    reading in this run, and what `open_reading` and `Reading` say.
    """
    source = run.collection.source(source_name)
    place = layout.raw(run.run_id, source.name)
    fingerprint = manifest.fingerprint(run.run_id, source.model_dump(mode="json"))
    sealed = manifest.find(run.store, place)
    if sealed is not None:
        return _same_source(sealed, fingerprint, run, source)
    scratch = run.scratch / STAGE / source.name
    base = _base(run, source)
    try:
        try:
            return _read(run, source, base, Draft(run.store, place, STAGE, fingerprint), scratch)
        except _ReadInFull as found:
            full = replace(base, since=None, why=found.why)
            return _read(run, source, full, Draft(run.store, place, STAGE, fingerprint), scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)  # only copies: a leftover harms nothing


class _ReadInFull(Exception):
    """A reading of changes found, half way, `why` everything has to be read; never leaves this module."""

    def __init__(self, why: str) -> None:
        self.why = why


@dataclass(frozen=True, slots=True)
class _Base:
    """What a reading builds on: a snapshot to compare with, the source's state in it, and the position to go on from.

    `why` says why everything is read although there is a base; empty when the source itself decides.
    """

    snapshot: str | None
    state: SourceState | None
    since: Mapping[str, Any] | None
    why: str


def _base(run: Run, source: AnySource) -> _Base:
    newest = checkpoint.base_of(run)
    state = newest.sources.get(source.name) if newest else None
    if newest is None or state is None:
        return _Base(None, None, None, "the source is read for the first time")
    if state.recipe != recipe(source, run.collection.clean):
        return _Base(None, None, None, "the source or the clean section of the collection file has changed")
    if checkpoint.start_of(run).full:
        return _Base(newest.snapshot, state, None, "a full reading was asked for")
    if state.position is None:
        return _Base(newest.snapshot, state, None, "")
    why = _unfit(run, source, newest.snapshot, state)
    return _Base(newest.snapshot, state, None if why else state.position, why)


def _unfit(run: Run, source: AnySource, snapshot: str, state: SourceState) -> str:
    """Why changes are not enough tonight although the source could tell them; empty if they are."""
    if source.name in manifest.load(run.store, snapshot).facts["repeated_ids"]:
        return "the source holds several rows with one id, so changes cannot be told apart"
    age = datetime.now(UTC) - datetime.fromisoformat(state.full_at)
    if age >= timedelta(days=source.full_every_days):
        return f"the last full reading was {age.days} days ago"
    return ""


def _read(run: Run, source: AnySource, base: _Base, draft: Draft, scratch: Path) -> Manifest:
    began = datetime.now(UTC).isoformat(timespec="seconds")
    with open_reading(source, run.connections, scratch, base.since) as reading:
        with PartWriter(draft, "raw", scratch) as raw, PartWriter(draft, "deleted", scratch) as deleted:
            if reading.full:
                for _ in _write_rows(run, reading.rows(), raw):
                    pass
            else:
                _Changes(run, source, base, raw, deleted, scratch).write(reading)
        if reading.full and raw.rows == 0:
            _check_may_be_empty(run, source)
        facts = {
            "source": source.name,
            "kind": source.kind,
            "columns": source.columns,
            "mode": "full" if reading.full else "changes",
            "reason": (reading.full and base.why) or reading.reason,
            "base": base.snapshot,
            "state": _state(run, source, base, reading, began),
        }
    return draft.seal({"rows": raw.rows, "deleted": deleted.rows}, facts)


class _Changes:
    """Writes a reading of changes: rows added or changed, and the documents that are gone."""

    def __init__(
        self, run: Run, source: AnySource, base: _Base, raw: PartWriter, deleted: PartWriter, scratch: Path
    ) -> None:
        self._run, self._source, self._base = run, source, base
        self._raw, self._deleted, self._scratch = raw, deleted, scratch

    def write(self, reading: Reading) -> None:
        with IdFile(self._source.name, self._scratch / "brought.parquet") as brought:
            for batch in _write_rows(self._run, reading.rows(), self._raw):
                brought.write(batch.column(self._source.id))
        for batch in reading.deleted_ids():
            self._write_deleted(batch)
        self._scan(reading, brought.path)

    def _write_deleted(self, keys: pa.RecordBatch) -> None:
        ids = [document_id(self._source.name, key) for key in python_values(keys.column(0))]
        self._deleted.write(pa.record_batch([[one for one in ids if one is not None]], DELETED))

    def _scan(self, reading: Reading, brought: Path) -> None:
        """Compare all ids with the base's: what vanished is deleted, what nobody knew is fetched."""
        ids = reading.all_ids()
        if ids is None:
            return
        assert self._base.snapshot is not None
        with IdFile(self._source.name, self._scratch / "scanned.parquet") as scanned:
            for batch in ids:
                scanned.write(batch.column(0))
        if scanned.number == 0:
            _check_may_be_empty(self._run, self._source)
        base = manifest.load(self._run.store, self._base.snapshot)
        with compare(self._run, self._source.name, base, scanned.path, [brought]) as found:
            if found.repeated:
                raise _ReadInFull(
                    f"the id scan found several rows with one id (rows beyond the first: {found.repeated:,}), so "
                    "changes cannot be told apart"
                )
            if found.unknown > FETCHED:
                raise _ReadInFull(f"the id scan found {found.unknown:,} rows that the watermark had missed")
            for batch in found.vanished():
                self._deleted.write(batch)
            if found.unknown:
                again = reading.all_ids()
                assert again is not None
                for _ in _write_rows(self._run, reading.rows_of(found.keys_of_unknown(again)), self._raw):
                    pass


def _write_rows(run: Run, rows: Iterator[pa.RecordBatch], parts: PartWriter) -> Iterator[pa.RecordBatch]:
    """Write the rows, and hand each batch on once it is written."""
    for batch in rows:
        parts.write(batch)
        run.progress(STAGE, parts.rows, None, "rows")
        yield batch


def _state(run: Run, source: AnySource, base: _Base, reading: Reading, began: str) -> dict[str, Any]:
    full_at = began if reading.full or base.state is None else base.state.full_at
    position = dict(reading.position) if reading.position is not None else None
    return {"position": position, "full_at": full_at, "recipe": recipe(source, run.collection.clean)}


def _check_may_be_empty(run: Run, source: AnySource) -> None:
    if not source.may_be_empty:
        raise SourceRefused(
            f"source {source.name!r} of collection {run.collection.name!r} returned no row. Look at the source; "
            "if no row at all is normal for it, set may_be_empty: true in the collection file"
        )


def _same_source(sealed: Manifest, fingerprint: str, run: Run, source: AnySource) -> Manifest:
    if sealed.fingerprint != fingerprint:
        raise InputError(
            f"run {run.run_id!r} has already read source {source.name!r} as it was configured before; "
            "start another run to read it as it is configured now"
        )
    return sealed
