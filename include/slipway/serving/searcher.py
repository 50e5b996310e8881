"""Searching one index with its documents: the code that evaluation, smoke queries and the reader share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from slipway.errors import CorruptObject, InputError
from slipway.index import artifact
from slipway.index.anatomy import check_ids, check_rows
from slipway.index.build import read, set_parameters
from slipway.index.live import findable, nearest
from slipway.index.selection import Selection, nearest_selected
from slipway.index.sharded import opened
from slipway.serving.filters import Filters, Mask, Matching

SNIPPET = 300  # characters


@dataclass(frozen=True, slots=True)
class Hit:
    """One document found: its score (higher is nearer for inner product, lower for l2) and its best passage."""

    score: float
    document_id: str
    title: str
    snippet: str
    metadata: Mapping[str, Any]


class Searcher:
    """An index and its documents, opened from local files whose checksums were verified before.

    Safe to search from many threads: nothing changes after construction. `dimension` is that of its vectors;
    `documents`, `vectors` and `rows` are counts, of which rows count the tombstones too. Raises `CorruptObject` when
    the files do not belong together.

    All files stay mapped: most of the index (see `slipway.index.build.read`), and the whole of the others. `index` is
    a FAISS index, or `slipway.index.sharded.Shards` of several that are searched as one.
    """

    def __init__(self, files: Mapping[str, Path], parameters: Mapping[str, int]) -> None:
        self.index = opened(files, lambda path: read(path, mapped=True))
        self._rows = artifact.open_rows(files[artifact.ROWS])
        self._documents = artifact.open_arrow(files[artifact.DOCUMENTS], artifact.DOCUMENTS_SCHEMA)
        self.dimension = int(self.index.d)
        self.documents = int(self._documents.num_rows)
        live = artifact.live_rows(self._rows)
        check_rows(self.index, live)
        check_ids(self.index, live)
        self.vectors, self.rows = int(live.sum()), len(live)
        self._live = findable(self.index, live)
        self._owners = _Owners(self._rows["documents"])
        ordinals = self._owners.ordinals
        if ordinals.size and not (ordinals.min() >= 0 and ordinals.max() < self.documents):
            raise CorruptObject(f"{artifact.ROWS} names a document that {artifact.DOCUMENTS} does not have")
        self.higher_is_nearer = self.index.metric_type == 0
        set_parameters(self.index, dict(parameters))
        self.filters = Filters(self._documents["metadata"], self._select)

    def search(
        self, vectors: npt.NDArray[np.float32], k: int = 10, where: Mapping[str, Any] | None = None
    ) -> list[list[Hit]]:
        """The k nearest documents of each query vector, nearest first. `vectors`: (q, dimension) float32.

        `where` leaves only documents whose metadata matches (see `slipway.serving.filters`); none may be left.
        """
        return [[self._hit(*found) for found in ranked] for ranked in self.nearest_documents(vectors, k, where)]

    def nearest_documents(
        self, vectors: npt.NDArray[np.float32], k: int, where: Mapping[str, Any] | None = None
    ) -> list[list[tuple[int, float, int]]]:
        """(document ordinal, score, row) of the k nearest documents of each query vector; a document counts once.

        A document may have many passages, so rows are asked for in growing numbers until k documents are there, or
        the index has no more to give.
        """
        queries = self.checked(vectors)
        k = _checked_k(k)
        if where is not None and not isinstance(where, Mapping):
            raise InputError(f"where is {where!r}; expected a mapping of metadata fields, such as {{'year': 2020}}")
        matching = self.filters.matching(where) if where else None
        most = self.vectors if matching is None else matching.selection.count
        wanted = min(most, self.rows_asked(k))
        ranked: list[list[tuple[int, float, int]]] = [[] for _ in queries]
        short = np.arange(len(queries) if most else 0)
        while short.size:
            scores, rows = self.nearest_rows(queries[short], wanted, matching)
            for query, found, its_scores in zip(short, rows, scores, strict=True):
                ranked[query] = self.documents_of(found, its_scores, k, matching)
            if wanted == most:
                break
            more = rows[:, -1] >= 0  # else FAISS visited all that its parameters let it visit
            short = np.array([q for q, has_more in zip(short, more, strict=True) if has_more and len(ranked[q]) < k])
            wanted = min(most, wanted * 4)
        return ranked

    def nearest_rows(
        self, queries: npt.NDArray[np.float32], count: int, matching: Matching | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Scores and rows of the `count` nearest live (and matching) vectors that the index finds, best first.

        Both are (queries, count), with row -1 where it finds no more. Tombstones are never among them.
        """
        if matching is not None:
            return nearest_selected(self.index, matching.selection, queries, count)
        return nearest(self.index, self._live, queries, count)

    def rows_asked(self, k: int) -> int:
        """How many rows a search for k documents asks the index for at first."""
        return min(self.vectors, max(2 * k, 16))

    def documents_of(
        self,
        rows: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float32],
        k: int,
        matching: Matching | None = None,
    ) -> list[tuple[int, float, int]]:
        """The first k distinct (and matching) documents of rows in rank order, with the score and row that found it."""
        found: dict[int, tuple[int, float, int]] = {}
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            if row < 0:  # FAISS found fewer than it was asked for
                break
            for ordinal in self._owners.of(row):
                if ordinal not in found and (matching is None or ordinal in matching):
                    found[ordinal] = (ordinal, score, row)
                    if len(found) == k:
                        return list(found.values())
        return list(found.values())

    def document_ids(self, ordinals: Sequence[int]) -> list[str]:
        """Document ids by ordinal."""
        column = self._documents["document_id"]
        return [column[ordinal].as_py() for ordinal in ordinals]

    def held(self, document_ids: Sequence[str]) -> set[str]:
        """Those of the given document ids that are in this index."""
        column = self._documents["document_id"]
        present = column.filter(pa.compute.is_in(column, value_set=pa.array(list(document_ids), pa.string())))
        return set(present.to_pylist())

    def checked(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """`vectors` as FAISS wants them. Raises `InputError` for another shape, dimension or non-finite values."""
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise InputError(f"expected query vectors of shape (n, {self.dimension}), got {queries.shape}")
        if not np.isfinite(queries).all():
            raise InputError("query vectors must be finite")
        return queries

    def _select(self, documents: Mask) -> Selection:
        """The rows that stand for any of the documents given by a mask; a tombstone stands for none."""
        return Selection.of(self.index, self._owners.rows_of(documents))

    def _hit(self, ordinal: int, score: float, row: int) -> Hit:
        document = {
            name: self._documents[name][ordinal].as_py() for name in ("document_id", "title", "text", "metadata")
        }
        owners = self._rows["documents"][row].as_py()
        place = owners.index(ordinal)
        start, end = self._rows["starts"][row][place].as_py(), self._rows["ends"][row][place].as_py()
        return Hit(
            score,
            document["document_id"],
            document["title"],
            snippet(document["text"][start:end]),
            _metadata(document["metadata"], document["document_id"]),
        )


def _checked_k(k: object) -> int:
    if not isinstance(k, Integral) or isinstance(k, bool):
        raise InputError(f"k must be a whole number, got {k!r}")
    if k < 1:
        raise InputError(f"k must be at least 1, got {k}")
    return int(k)


def _metadata(text: str, document_id: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptObject(f"the metadata of document {document_id} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise CorruptObject(f"the metadata of document {document_id} is no JSON object")
    return found


class _Owners:
    """Row → document ordinals, as flat arrays: an Arrow list scalar costs microseconds, a slice of these does not."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        lists = column.combine_chunks()
        self.ordinals = lists.flatten().to_numpy()
        lengths = pa.compute.list_value_length(lists).to_numpy(zero_copy_only=False)
        self.ends = np.cumsum(lengths, dtype=np.int64)

    def of(self, row: int) -> list[int]:
        start = int(self.ends[row - 1]) if row else 0
        return self.ordinals[start : int(self.ends[row])].tolist()  # type: ignore[no-any-return]

    def rows_of(self, documents: Mask) -> Mask:
        """The rows of which any owner is among the documents given by a mask, (rows,) bool."""
        matching = np.concatenate([[0], np.cumsum(documents[self.ordinals], dtype=np.int64)])
        return np.diff(matching[self.ends], prepend=0) > 0


def snippet(passage: str, most: int = SNIPPET) -> str:
    """The beginning of a passage on one line, cut at a word: at most so many characters, and an ellipsis."""
    line = " ".join(passage.split())
    if len(line) <= most:
        return line
    return line[:most].rsplit(" ", 1)[0] + " …"
