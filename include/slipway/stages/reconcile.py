"""candidate ↔ snapshot, chunks and vectors: the same ids everywhere, or nothing goes on.

The candidate is read back from the store, so that what is compared is what would serve. Sets are compared by DuckDB, by
id, both ways; a sample of the index's own codes is compared with the vectors they should stand for, which finds rows
that are shifted or shuffled while every set is right.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slipway import tables, vectors
from slipway.errors import CorruptObject, ReconcileRefused
from slipway.index import artifact, payload
from slipway.index.anatomy import check_rows, inverted_file, lists
from slipway.index.build import read, sampled
from slipway.index.sharded import opened, pieces
from slipway.index.stored import Stored, stored
from slipway.manifest import MANIFEST, Manifest, fetch
from slipway.parts import fetch_parts
from slipway.records import CHUNKS, DOCUMENTS
from slipway.run import Run
from slipway.serving.catalogue import named_releases

SAMPLE = 256  # rows whose codes are compared
AGREE = 0.95  # of comparisons with other vectors that the codes' own must win; codes of other rows win half
FEW = 64  # rows whose mean says less, so that only a share near to half is told from chance
AGREE_FEW = 0.75
NAMED = 3  # ids that a refusal names


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How many of each were found to agree: `vectors` are live rows, `sampled` rows had their codes compared."""

    documents: int
    chunks: int
    vectors: int
    rows: int
    tombstones: int
    sampled: int


def reconcile(run: Run, snapshot: Manifest, chunks: Manifest, candidate: Manifest) -> Reconciled:
    """Check that a candidate holds exactly the snapshot's documents, the chunks, and their vectors.

    Raises `ReconcileRefused` with how many differ and the first of them, and discards the candidate then, so that the
    next run makes it again. Raises `CorruptObject` and `ObjectMissing` for objects that their manifest does not match.
    """
    try:
        return _reconcile(run, snapshot, chunks, candidate)
    except ReconcileRefused:
        _discard(run, candidate)
        raise


def _discard(run: Run, candidate: Manifest) -> None:
    """Take a candidate's manifest away, unless a release was made of it."""
    released = {release.facts.get("candidate") for release in named_releases(run.store).values()}
    if candidate.place not in released:
        run.store.delete(f"{candidate.place}/{MANIFEST}")


def _reconcile(run: Run, snapshot: Manifest, chunks: Manifest, candidate: Manifest) -> Reconciled:
    files = {sealed.name: fetch(run.store, sealed, run.scratch) for sealed in candidate.objects}
    rows = artifact.open_arrow(files[artifact.ROWS], artifact.ROWS_SCHEMA)
    live = artifact.live_rows(rows)
    index = _open_index(candidate, files, live)
    with tables.duck(run.scratch) as session:
        _register(session, run, snapshot, chunks, files, rows)
        _compare_documents(session, candidate)
        _compare_passages(session, candidate)
        _compare_vectors(session, run, candidate)
        _compare_ids(session, index, len(live), candidate)
        counts = {name: tables.number(session, f"SELECT count(*) FROM {name}") for name in ("documents", "chunks")}
    compared = _compare_codes(run, candidate, index, rows, np.flatnonzero(live))
    alive = int(live.sum())
    return Reconciled(**counts, vectors=alive, rows=len(live), tombstones=len(live) - alive, sampled=compared)


def _open_index(candidate: Manifest, files: Mapping[str, Path], live: npt.NDArray[np.bool_]) -> Any:
    try:
        index = opened(files, partial(read, mapped=True))
        check_rows(index, live)
    except CorruptObject as error:
        raise _refused(candidate, str(error)) from error
    return index


def _register(
    session: duckdb.DuckDBPyConnection,
    run: Run,
    snapshot: Manifest,
    chunks: Manifest,
    files: Mapping[str, Path],
    rows: pa.Table,
) -> None:
    """Make `documents` and `chunks`, as the stages before made them, `held` (the candidate's documents) and `kept` (its
    live rows).
    """
    tables.view(session, "documents", fetch_parts(run.store, snapshot, "documents", run.scratch), DOCUMENTS)
    tables.view(session, "chunks", fetch_parts(run.store, chunks, "chunks", run.scratch), CHUNKS)
    documents = artifact.open_arrow(files[artifact.DOCUMENTS], artifact.DOCUMENTS_SCHEMA)
    session.register("held_arrow", _numbered(documents.select(["document_id"])))
    session.register("rows_arrow", _numbered(rows))
    session.execute("CREATE TABLE held AS SELECT document_id, number FROM held_arrow").fetchall()
    session.execute("CREATE TABLE kept AS SELECT * FROM rows_arrow WHERE len(documents) > 0").fetchall()


def _numbered(table: pa.Table) -> pa.Table:
    return table.append_column("number", pa.array(np.arange(table.num_rows, dtype=np.int64)))


def _compare_documents(session: duckdb.DuckDBPyConnection, candidate: Manifest) -> None:
    ours, theirs = "SELECT document_id AS name FROM held", "SELECT document_id AS name FROM documents"
    _compare(session, candidate, f"documents of the index ({artifact.DOCUMENTS})", ours, "the snapshot", theirs)


def _compare_passages(session: duckdb.DuckDBPyConnection, candidate: Manifest) -> None:
    """Each as "document[start:end] hash". A row has one live place only, or its passages would be found twice."""
    session.execute(
        """CREATE TABLE passages AS SELECT document_id, "start", "end", chunk_hash FROM (
             SELECT chunk_hash, unnest(documents) AS number, unnest(starts) AS "start", unnest(ends) AS "end" FROM kept
           ) LEFT JOIN held USING (number)"""
    ).fetchall()
    named = """SELECT coalesce(document_id, 'no document') || '[' || coalesce("start", -1) || ':' ||
               coalesce("end", -1) || '] ' || chunk_hash AS name"""
    ours, theirs = f"{named} FROM passages", f"{named} FROM chunks"
    _compare(session, candidate, f"passages of the index ({artifact.ROWS})", ours, "the chunks", theirs)
    twice = "SELECT chunk_hash AS name FROM kept GROUP BY chunk_hash HAVING count(*) > 1"
    _none(session, candidate, "chunks have more than one live row", twice)


def _compare_vectors(session: duckdb.DuckDBPyConnection, run: Run, candidate: Manifest) -> None:
    encoder = candidate.facts["encoder"]
    parts = vectors.parts(run.store, encoder)
    files = [vectors.fetch_hashes(run.store, part, run.scratch) for part in parts]
    tables.view(session, "stored", files, pa.schema([CHUNKS.field("chunk_hash")]))
    missing = "SELECT chunk_hash AS name FROM kept ANTI JOIN stored USING (chunk_hash)"
    _none(session, candidate, f"chunks of the index have no vector of encoder {encoder}", missing)


def _compare_ids(session: duckdb.DuckDBPyConnection, index: Any, rows: int, candidate: Manifest) -> None:
    """An inverted file holds exactly the live rows; everything else holds all rows by position, and was counted."""
    held = [(inverted_file(shard.index), shard.first) for shard in pieces(index, rows)]
    if held[0][0] is None:
        return
    found = np.concatenate([np.empty(0, np.int64), *(ids + first for ivf, first in held for _, ids in lists(ivf))])
    session.register("ids_arrow", pa.table({"number": found}))
    session.execute("CREATE TABLE ids AS SELECT number FROM ids_arrow").fetchall()
    ours, theirs = "SELECT number AS name FROM ids", "SELECT number AS name FROM kept"
    _compare(session, candidate, f"ids in {artifact.INDEX}", ours, f"the live rows of {artifact.ROWS}", theirs)


def _compare(
    session: duckdb.DuckDBPyConnection, candidate: Manifest, what: str, ours: str, others: str, theirs: str
) -> None:
    """Two queries that each give one column `name` must give the same, as often as the same."""
    _none(session, candidate, f"{what} are not in {others}", f"({ours}) EXCEPT ALL ({theirs})")
    _none(session, candidate, f"of {others} are not among the {what}", f"({theirs}) EXCEPT ALL ({ours})")


def _none(session: duckdb.DuckDBPyConnection, candidate: Manifest, what: str, query: str) -> None:
    """Refuse when the query, which gives a column `name`, gives any row."""
    session.execute(f"CREATE OR REPLACE TEMP TABLE wrong AS {query}").fetchall()
    count = tables.number(session, "SELECT count(*) FROM wrong")
    if count:
        first = session.execute("SELECT name FROM wrong ORDER BY name LIMIT ?", [NAMED]).fetchall()
        names = ", ".join(str(name) for (name,) in first)
        raise _refused(candidate, f"{count:,} {what}, the first: {names}")


def _compare_codes(run: Run, candidate: Manifest, index: Any, rows: pa.Table, live: npt.NDArray[np.int64]) -> int:
    """Compare what the index holds for some rows with their vectors. Returns how many rows.

    Rows are drawn from all, and as many again from those that the last update appended, since an error there would hide
    among the many that stayed.
    """
    seed, added = int(candidate.facts["spec"]["seed"]), int(candidate.facts["update"]["added"])
    groups = [group[sampled(len(group), SAMPLE, seed)] for group in (live, live[len(live) - min(added, len(live)) :])]
    chosen = np.unique(np.concatenate(groups))
    hashes = rows["chunk_hash"].take(pa.array(chosen))
    path = run.scratch / f"reconcile-{secrets.token_hex(4)}.npy"
    given = np.ascontiguousarray(payload.collect(run.store, candidate.facts["encoder"], hashes, path, run.scratch))
    for shard in pieces(index, rows.num_rows):
        own = (chosen >= shard.first) & (chosen < shard.first + shard.rows)
        for part in stored(shard.index, chosen[own] - shard.first, given[own]) if own.any() else ():
            for group in groups:
                _compare_sample(candidate, part, np.isin(chosen[own], group), chosen[own], hashes.filter(pa.array(own)))
    return len(chosen)


def _compare_sample(
    candidate: Manifest,
    part: Stored,
    judged: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.int64],
    hashes: pa.ChunkedArray,
) -> None:
    """An exact part must hold the very vectors. A coarse code need not be nearest to its own, but it must be nearer to
    that than to nearly all others; the code of another row is so half of the time. `judged` are the rows to look at.
    """
    if part.exact:
        wrong = judged & (part.held != part.given).any(axis=1)
    else:
        wins = _wins(part)
        enough = AGREE if judged.sum() >= FEW else AGREE_FEW
        wrong = judged & (wins < enough) if judged.any() and wins[judged].mean() < enough else np.zeros_like(judged)
    if wrong.any():
        places = np.flatnonzero(wrong)
        first = ", ".join(f"{hashes[int(place)].as_py()} (row {rows[place]})" for place in places[:NAMED])
        raise _refused(
            candidate,
            f"the {part.part} of {len(places):,} of {int(judged.sum()):,} sampled rows are not those of their vectors, "
            f"the first: {first}",
        )


def _wins(part: Stored) -> npt.NDArray[np.float64]:
    """For each row the share of the sample's vectors that its code is not nearer to than to its own."""
    held, given = part.held.astype(np.float64), part.given.astype(np.float64)
    distances = (held**2).sum(axis=1)[:, None] + (given**2).sum(axis=1)[None, :] - 2 * held @ given.T
    own = np.diag(distances)[:, None]
    return np.asarray((distances >= own - 1e-9).mean(axis=1))


def _refused(candidate: Manifest, what: str) -> ReconcileRefused:
    return ReconcileRefused(
        f"candidate {candidate.place} does not hold what this run made: {what}. Nothing was released, and the "
        f"candidate was discarded: start a new run, which makes it again; if that is refused too, set "
        f"index.update.enabled to false and report this"
    )
