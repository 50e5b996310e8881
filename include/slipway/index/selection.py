"""Searching an index among some of its rows only: those that a filter leaves.

An approximate index looks at the neighbourhood of a query and no further. Where one row in a hundred may be found, it
has to look at a hundred times as many to be as good as before: a graph visits, and an inverted file probes, as many
more as rows are left out. From some point on it is cheaper, and exact to the index's codes, to score every row that
may be found; `Selection` decides by the number of distances that either way computes.

Some kinds of index take no selector. They are asked for more rows than are wanted, as with tombstones, and give what
their own search reaches.

Everything is given to FAISS with each call, nothing is set on the index, so threads may search it with many filters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from slipway.index.anatomy import core, refinement, transformed
from slipway.index.live import Found, Live, nearest
from slipway.index.sharded import Shard, Shards

Vectors = npt.NDArray[np.float32]

_FAISS: Any = faiss  # its stubs do not know that parameters are given by keyword
VISIT = 32  # distances that a graph computes for a node that it visits: measured on 384 dimensions and 32 links
FINE = 10  # what scoring a row by its refinement costs, against scoring it by its code in an inverted list


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows of one index that may be found. Immutable, so threads may share it.

    `count` of them, of `rows` altogether. `scans`: each is scored, in place of the index's own search. `selector` is
    FAISS's form of them over `held`; `live` is ours, where a part of the index takes no selector. Of an index in
    shards, `shards` holds the selection of each, and the other fields but the counts are of no use.
    """

    count: int
    rows: int
    scans: bool
    selector: Any
    held: npt.NDArray[np.uint8] | npt.NDArray[np.int64]
    live: Live | None
    shards: tuple[Selection, ...] = ()

    @classmethod
    def of(cls, index: Any, mask: npt.NDArray[np.bool_]) -> Selection:
        """The rows of `index` at which `mask` ((rows,) bool) is true; no tombstone may be among them."""
        if isinstance(index, Shards):
            each = tuple(cls.of(shard.index, np.ascontiguousarray(shard.of(mask))) for shard in index.shards)
            none = np.empty(0, np.int64)
            return cls(int(mask.sum()), len(mask), all(one.scans for one in each), None, none, None, each)
        count, rows = int(mask.sum()), len(mask)
        scans = count <= _distances(index, count, rows)
        held: npt.NDArray[np.uint8] | npt.NDArray[np.int64]
        if scans and isinstance(_finest(index), faiss.IndexFlat):  # goes from row to row, without a look at the others
            held = np.flatnonzero(mask).astype(np.int64)
            selector = _FAISS.IDSelectorArray(held)
        else:
            held = np.packbits(mask, bitorder="little")
            selector = _FAISS.IDSelectorBitmap(held)
        whole = _takes_selector(core(index)) and _takes_selector(_finest(index))
        return cls(count, rows, scans, selector, held, None if whole else Live(mask, count))

    @property
    def size_bytes(self) -> int:
        """What it holds in memory."""
        own = self.held.nbytes + (self.live.mask.nbytes if self.live else 0)
        return own + sum(one.size_bytes for one in self.shards)


def nearest_selected(index: Any, selection: Selection, queries: Vectors, count: int) -> Found:
    """Scores and rows of the `count` nearest selected rows, best first; -1 where there are no more.

    Both arrays are (queries, count). A query for which the index's own search finds too few has all of them scored.
    """
    if isinstance(index, Shards):
        asked = dict(zip(index.shards, selection.shards, strict=True))

        def ask(shard: Shard) -> Found:
            return nearest_selected(shard.index, asked[shard], queries, min(count, shard.rows))

        return index.gathered(ask, len(queries), count)
    if not selection.count or not len(queries):
        return np.zeros((len(queries), count), np.float32), np.full((len(queries), count), -1, np.int64)
    if selection.scans:
        return _scan(index, selection, queries, count)
    if not _takes_selector(core(index)):
        assert selection.live is not None
        return nearest(index, selection.live, queries, count)
    scores, rows = index.search(queries, count, params=_widened(index, selection, count))
    short = np.flatnonzero(rows[:, min(count, selection.count) - 1] < 0)
    if short.size:
        scores[short], rows[short] = _scan(index, selection, queries[short], count)
    return scores, rows


def _distances(index: Any, count: int, rows: int) -> float:
    """About how many distances the index's own search computes to be as good among `count` of its `rows`.

    They are counted in distances of the part that would be scanned instead.
    """
    part, share = core(index), count / max(rows, 1)
    if isinstance(part, faiss.IndexHNSW):
        return VISIT * part.hnsw.efSearch / share if share else 0
    if isinstance(part, faiss.IndexIVF):
        probed = min(1.0, part.nprobe / part.nlist / share) if share else 0
        return probed * rows / FINE if refinement(index) is not None else 0
    return count  # flat: it scores every row anyway


def _widened(index: Any, selection: Selection, count: int) -> Any:
    """FAISS parameters of a search that leaves rows out, and looks at as many more as those are."""
    part, more = core(index), selection.rows / selection.count
    refined = refinement(index) is not None
    asked = int(count * index.k_factor) if refined else count
    if isinstance(part, faiss.IndexHNSW):
        effort = min(selection.rows, int(max(part.hnsw.efSearch, asked) * more) + 1)
        inner = _FAISS.SearchParametersHNSW(sel=selection.selector, efSearch=effort)
    elif isinstance(part, faiss.IndexIVF):
        inner = _probing(part, selection, min(part.nlist, int(part.nprobe * more) + 1))
    else:
        inner = _FAISS.SearchParameters(sel=selection.selector)
    if not refined:
        return inner
    return _FAISS.IndexRefineSearchParameters(k_factor=index.k_factor, base_index_params=inner)


def _probing(ivf: Any, selection: Selection, lists: int) -> Any:
    """Parameters that visit so many lists; a graph of lists is walked as far as that needs."""
    quantiser = faiss.downcast_index(ivf.quantizer)
    walk = None
    if isinstance(quantiser, faiss.IndexHNSW):
        walk = _FAISS.SearchParametersHNSW(efSearch=max(quantiser.hnsw.efSearch, lists))
    return _FAISS.SearchParametersIVF(sel=selection.selector, nprobe=lists, quantizer_params=walk)


def _scan(index: Any, selection: Selection, queries: Vectors, count: int) -> Found:
    """Every selected row scored by the finest codes that the index has."""
    part = _finest(index)
    seen = queries if refinement(index) is not None else transformed(index, queries)
    if isinstance(part, faiss.IndexIVF):
        scores, rows = part.search(seen, count, params=_probing(part, selection, part.nlist))
    elif _takes_selector(part):
        scores, rows = part.search(seen, count, params=_FAISS.SearchParameters(sel=selection.selector))
    else:
        assert selection.live is not None
        scores, rows = nearest(part, selection.live, seen, count)
    return scores, rows


def _finest(index: Any) -> Any:
    """The part that can score any row best: the refinement, else what a graph stores, else the core."""
    kept, part = refinement(index), core(index)
    if kept is not None:
        return kept
    return faiss.downcast_index(part.storage) if isinstance(part, faiss.IndexHNSW) else part


def _takes_selector(part: Any) -> bool:
    """Whether FAISS heeds a selector in this part: some raise an error, and some leave it aside."""
    if isinstance(part, _FAISS.IndexIVFAdditiveQuantizerFastScan):
        return False
    return isinstance(part, faiss.IndexFlat | faiss.IndexScalarQuantizer | faiss.IndexHNSW | faiss.IndexIVF)
