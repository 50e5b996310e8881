"""Which vectors are needed: the encoders that are in use, and the chunk hashes of everything that is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from slipway import tables
from slipway.encoders import find_model
from slipway.index.artifact import ROWS, ROWS_SCHEMA, open_arrow
from slipway.maintenance.reach import of_same_content
from slipway.maintenance.survey import Survey, is_start
from slipway.manifest import SealedObject, fetch
from slipway.records import CHUNKS
from slipway.run import Run

HASH = pa.schema([CHUNKS.field("chunk_hash")])

_ADD = """
INSERT INTO wanted SELECT DISTINCT chunk_hash FROM {more}
WHERE chunk_hash NOT IN (SELECT chunk_hash FROM wanted)
"""


def encoders_in_use(run: Run, found: Survey, kept: set[str]) -> set[str]:
    """Fingerprints of the encoders of what is kept, and of the collection's own.

    The collection's model is only looked for where it makes a difference. Raises `EncoderError` when it is not there.
    """
    describing = (path for path in kept if found.places[path].kind in ("releases", "candidates") or is_start(path))
    in_use = {found.fact(path, "encoder") for path in describing}
    if encoders_stored(found) <= in_use:
        return in_use
    return in_use | {find_model(run.collection.encoder).fingerprint}


def encoders_stored(found: Survey) -> set[str]:
    """Fingerprints of the encoders that have vectors in the store."""
    return {path.split("/")[1] for path in found.sealed("vectors")}


def write_wanted(run: Run, found: Survey, kept: set[str], path: Path) -> None:
    """Write the distinct chunk hashes of all that is kept to a Parquet file: `chunk_hash`, sorted.

    Those of the kept chunks, and of releases whose chunks are gone. Raises `ObjectMissing`, `CorruptObject`.
    """
    with tables.duck(run.scratch) as session:
        session.from_arrow(HASH.empty_table()).create("wanted")
        chunks = [one for one in found.sealed("chunks") if one in kept]
        parts = (part for one in chunks for part in found.manifests[one].named("chunks-"))
        for number, file in enumerate(_fetched(run, parts)):
            tables.view(session, f"part_{number}", [file], CHUNKS)
            session.execute(_ADD.format(more=f"part_{number}")).fetchall()
        rows = (found.manifests[one].one(ROWS) for one in _without_chunks(found, chunks))
        for file in _fetched(run, rows):
            _add_rows(session, file)
        with pq.ParquetWriter(path, HASH) as writer:
            for batch in tables.batches(session, "SELECT chunk_hash FROM wanted ORDER BY chunk_hash"):
                writer.write_batch(batch.cast(HASH))


def _add_rows(session: duckdb.DuckDBPyConnection, file: Path) -> None:
    session.register("some_rows", open_arrow(file, ROWS_SCHEMA).select(["chunk_hash"]))
    session.execute(_ADD.format(more="some_rows")).fetchall()
    session.unregister("some_rows")


def _without_chunks(found: Survey, chunks: list[str]) -> Iterator[str]:
    for release in found.sealed("releases"):
        snapshot = found.fact(release, "snapshot")
        if not any(of_same_content(found, one, [snapshot]) for one in chunks):
            yield release


def _fetched(run: Run, objects: Iterable[SealedObject]) -> Iterator[Path]:
    """Each object's checked file; what was downloaded goes again, since together they are the whole store."""
    for sealed in objects:
        file = fetch(run.store, sealed, run.scratch)
        yield file
        if run.store.local_path(sealed.key) is None:
            file.unlink()
