"""extract: every row of one source, as it is, into raw Parquet parts."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from slipway import layout, manifest
from slipway.config import AnySource
from slipway.errors import InputError, SourceRefused
from slipway.manifest import Draft, Manifest
from slipway.parts import PartWriter
from slipway.run import Run
from slipway.sources import RowSource, open_rows

if TYPE_CHECKING:
    import pyarrow as pa

STAGE = "extract"


def extract(run: Run, source_name: str) -> Manifest:
    """Read a source of the run's collection once, and seal its rows in parts called `raw`.

    Counts: `rows`. Facts: `source`, `kind`, `columns`. Work that this run has sealed before is returned as it is;
    a reading that fails seals nothing. Memory stays flat however many rows there are. Raises `SourceRefused` when
    there is no row and the source does not declare that normal, `InputError` when the source was configured
    differently at its first reading in this run, and what `open_rows` and `RowSource` say.
    """
    source = run.collection.source(source_name)
    place = layout.raw(run.run_id, source.name)
    fingerprint = manifest.fingerprint(run.run_id, source.model_dump(mode="json"))
    sealed = manifest.find(run.store, place)
    if sealed is not None:
        return _same_source(sealed, fingerprint, run, source)
    draft = Draft(run.store, place, STAGE, fingerprint)
    scratch = run.scratch / STAGE / source.name
    try:
        rows = _write(run, open_rows(source, run.connections, scratch), draft, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)  # only copies: a leftover harms nothing
    if rows == 0 and not source.may_be_empty:
        raise SourceRefused(
            f"source {source.name!r} of collection {run.collection.name!r} returned no row. Look at the source; "
            "if no row at all is normal for it, set may_be_empty: true in the collection file"
        )
    return draft.seal({"rows": rows}, {"source": source.name, "kind": source.kind, "columns": source.columns})


def _same_source(sealed: Manifest, fingerprint: str, run: Run, source: AnySource) -> Manifest:
    if sealed.fingerprint != fingerprint:
        raise InputError(
            f"run {run.run_id!r} has already read source {source.name!r} as it was configured before; "
            "start another run to read it as it is configured now"
        )
    return sealed


def _write(run: Run, source: RowSource, draft: Draft, scratch: Path) -> int:
    with PartWriter(draft, "raw", scratch) as parts, _closing(source.batches()) as batches:
        for batch in batches:
            parts.write(batch)
            run.progress(STAGE, parts.rows, None, "rows")
    return parts.rows


@contextlib.contextmanager
def _closing(batches: Iterator[pa.RecordBatch]) -> Iterator[Iterator[pa.RecordBatch]]:
    """Ends the reading when the writing fails: a suspended generator would keep its transaction open."""
    try:
        yield batches
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()
