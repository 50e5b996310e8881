"""Near-duplicates in a DuckDB session: candidate pairs by shared bands, judged by their exact similarity.

What is guaranteed: a dropped document is at least as similar as the threshold to a kept one with a smaller id. What
is likely: that every such pair is found. It is missed when the two share no band (probability at most 0.01, see
`near.Bands`), or when both stand past the first `COMPARED` documents of every band that they share; then both stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slipway.cleaning import near, reasons
from slipway.progress import Progress
from slipway.scratch import reserve
from slipway.tables import batches, number

COMPARED = 32
"""Of the documents that share a band, those with the smallest ids that each of the others is compared with: work
grows with the size of a band, not with its square, when thousands of pages share their boilerplate."""
TEXTS_AT_ONCE = 4 << 20  # characters


def drop_near_duplicates(
    session: duckdb.DuckDBPyConnection, threshold: float, scratch: Path, progress: Progress
) -> None:
    """Move near-duplicates from `kept` (position, document_id) to `dropped` (position, reason, detail).

    Reads the columns `bands` and `text` of `cleaned` by `position`. Memory: 4 bytes for each document that shares a
    band with another; their shingles lie in a file below `scratch` while this runs.
    """
    _find_members(session)
    total = number(session, "SELECT count(*) FROM suspect")
    if total == 0:
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with _Shingles(scratch / "shingles", total) as shingles:
        for ranks, texts in _texts(session):
            shingles.add(ranks, near.shingle_sets(texts))
        twins = _judge(session, shingles, threshold, total, progress)
    _record(session, twins)


def _find_members(session: duckdb.DuckDBPyConnection) -> None:
    """Who shares a band: `member` (band, rank, place in the band), `suspect` (rank, position, document_id)."""
    session.execute(
        "CREATE TEMP TABLE banded AS SELECT position, unnest(bands) AS band "
        "FROM cleaned SEMI JOIN kept USING (position)"
    )
    session.execute("CREATE TEMP TABLE shared AS SELECT band FROM banded GROUP BY band HAVING count(*) > 1")
    session.execute("DELETE FROM banded WHERE band NOT IN (SELECT band FROM shared)")
    session.execute(
        "CREATE TABLE suspect AS SELECT row_number() OVER (ORDER BY document_id) - 1 AS rank, position, document_id "
        "FROM kept WHERE position IN (SELECT position FROM banded)"
    )
    session.execute(
        "CREATE TABLE member AS SELECT band, rank, row_number() OVER (PARTITION BY band ORDER BY rank) AS place "
        "FROM banded JOIN suspect USING (position)"
    )


def _texts(session: duckdb.DuckDBPyConnection) -> Iterator[tuple[list[int], list[str]]]:
    """The ranks and texts of the suspects, in no order, some megabytes at a time."""
    query = "SELECT rank, text FROM cleaned JOIN suspect USING (position)"
    for batch in batches(session, query):
        ranks, texts, characters = [], [], 0
        for rank, text in zip(batch.column("rank").to_pylist(), batch.column("text").to_pylist(), strict=True):
            ranks.append(rank)
            texts.append(text)
            characters += len(text)
            if characters >= TEXTS_AT_ONCE:
                yield ranks, texts
                ranks, texts, characters = [], [], 0
        if ranks:
            yield ranks, texts


class _Shingles:
    """Sets of shingles in a file, found by rank. Its pages are the kernel's to keep or to drop."""

    def __init__(self, path: Path, total: int) -> None:
        self._path, self._end = path, 0
        self._file = path.open("w+b")
        self._sets: near.Hashes | None = None
        # plain arrays over the mapped files: slicing a memmap itself costs several times as much
        places = path.with_suffix(".places")
        self._places = np.asarray(np.memmap(places, np.int64, mode="w+", shape=(total, 2)))
        reserve(places)

    def add(self, ranks: list[int], sets: list[near.Hashes]) -> None:
        for rank, one in zip(ranks, sets, strict=True):
            self._file.write(one.tobytes())
            self._places[rank] = (self._end, self._end + one.size)
            self._end += one.size

    def sizes(self, ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """How many shingles each of these has."""
        return np.asarray(self._places[ranks, 1] - self._places[ranks, 0])

    def __getitem__(self, rank: int) -> near.Hashes:
        if self._sets is None:
            self._file.flush()
            self._sets = np.asarray(np.memmap(self._path, np.uint64, mode="r"))
        start, end = self._places[rank]
        return self._sets[start:end]

    def __enter__(self) -> _Shingles:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink()
        self._path.with_suffix(".places").unlink()


def _judge(
    session: duckdb.DuckDBPyConnection, shingles: _Shingles, threshold: float, total: int, progress: Progress
) -> npt.NDArray[np.int32]:
    """For each suspect the rank of the kept one that it repeats, or -1: (total,) int32.

    The pairs come in the order of the smaller rank. When a rank has its turn, every smaller one has had it, so it
    is known whether it stays; one that was dropped drops nothing.
    """
    twins = np.full(total, -1, np.int32)
    query = (
        "SELECT DISTINCT a.rank AS first, b.rank AS second FROM member a JOIN member b USING (band) "
        f"WHERE a.place <= {COMPARED} AND a.rank < b.rank ORDER BY first, second"
    )
    judged = 0
    for batch in batches(session, query):
        firsts, seconds = (batch.column(name).to_numpy() for name in ("first", "second"))
        possible = near.at_most(shingles.sizes(firsts), shingles.sizes(seconds)) >= threshold
        possible &= (twins[firsts] < 0) & (twins[seconds] < 0)
        for first, second in zip(firsts[possible].tolist(), seconds[possible].tolist(), strict=True):
            if twins[first] < 0 and twins[second] < 0 and _alike(shingles, first, second, threshold):
                twins[second] = first
        judged += batch.num_rows
        progress("snapshot", judged, None, "pairs")
    return twins


def _alike(shingles: _Shingles, first: int, second: int, threshold: float) -> bool:
    return near.jaccard(shingles[first], shingles[second]) >= threshold


def _record(session: duckdb.DuckDBPyConnection, twins: npt.NDArray[np.int32]) -> None:
    ranks = np.flatnonzero(twins >= 0)
    found = pa.table({"rank": ranks, "twin": twins[ranks]})
    session.from_arrow(found).create("found")
    session.execute(
        "INSERT INTO dropped SELECT suspect.position, ?, 'nearly the text of ' || twin.document_id FROM found "
        "JOIN suspect ON suspect.rank = found.rank JOIN suspect AS twin ON twin.rank = found.twin",
        [reasons.NEAR_DUPLICATE],
    )
    session.execute("DELETE FROM kept WHERE position IN (SELECT position FROM dropped)")
