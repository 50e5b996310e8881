"""One index out of shards that several workers filled under the same training.

Codes depend on the training alone, so lists that are joined in the order of the rows hold just what one worker would
have put into them: the merged index is the single build's, byte for byte (a rotation or projection in front of it
rounds otherwise in blocks of another size, in the last digit). FAISS joins plain lists. Those of fast scan
lie packed in blocks, and joining them damages memory in FAISS 1.15; so a shard keeps its codes unpacked, and the merged
lists are packed at the end, by FAISS's own conversion. What has neither way is served in shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from slipway.index.anatomy import core, inverted_file, refinement, searched, transformed
from slipway.index.build import ADD_STEP, refusing
from slipway.index.sharded import Vectors

_FAISS: Any = faiss  # its stubs lack some of this
_PLAIN = ("IndexIVFFlat", "IndexIVFPQ", "IndexIVFScalarQuantizer", "IndexIVFRaBitQ")
_PACKED = "IndexIVFPQFastScan"
_REFINING = ("IndexFlat", "IndexFlatIP", "IndexFlatL2", "IndexScalarQuantizer", "IndexRefineFlat")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows under a shared training: `lists` with the rows' numbers, as the core sees them, and the `refinement`
    of the same rows, where there is one.
    """

    lists: Any
    refinement: Any | None
    owner: Any = None  # what the two are parts of, and would vanish with


def why_apart(trained: Any) -> str:
    """Why shards of this index cannot be merged; empty where they can."""
    if inverted_file(trained) is None:
        return "FAISS merges inverted files only"
    kind, kept = type(core(trained)).__name__, refinement(trained)
    if kind not in (*_PLAIN, _PACKED):
        return f"FAISS cannot merge {kind}"
    if kept is not None and type(kept).__name__ not in _REFINING:
        return f"FAISS cannot merge a refinement by {type(kept).__name__}"
    return ""


def piece_of(
    trained: Any,
    vectors: Vectors,
    first: int,
    progress: Callable[[int], None] = lambda added: None,
    step: int = ADD_STEP,
) -> Piece:
    """The rows `first` and following, whose vectors are given ((n, d) float32, may be mapped), under this training.

    They are added `step` at once. Takes the trained, empty index over: it is of no other use afterwards. Raises
    `IndexRefused`.
    """
    piece = Piece(_unpacked(core(trained)), refinement(trained), trained)
    for start in range(0, len(vectors), step):
        block = np.ascontiguousarray(vectors[start : start + step])
        numbers = np.arange(first + start, first + start + len(block))
        with refusing("the index cannot take the vectors of a shard"):
            piece.lists.add_with_ids(transformed(trained, block), numbers)
            if piece.refinement is not None:
                piece.refinement.add(block)
        progress(start + len(block))
    return piece


def merge(trained: Any, pieces: Iterable[Piece], check: Callable[[], None] = lambda: None) -> Any:
    """The trained, empty index with the rows of all pieces, which are given in the order of the rows.

    Holds the merged index and one piece at a time. `check` is called after each piece, and may raise to stop.
    """
    ivf, kept = core(trained), refinement(trained)
    lists = _unpacked(ivf)
    _join(lists, kept, pieces, check)
    if lists is not ivf:
        _pack(lists, ivf)
    for part in (searched(trained), trained):
        part.ntotal = ivf.ntotal
    return trained


def _join(lists: Any, kept: Any | None, pieces: Iterable[Piece], check: Callable[[], None]) -> None:
    """Take the rows of the pieces over, and let go of each before the next is read."""
    for piece in pieces:
        lists.merge_from(piece.lists, 0)
        if kept is not None:
            kept.merge_from(piece.refinement, 0)
        check()
        del piece


def _unpacked(ivf: Any) -> Any:
    """An inverted file of the same training whose lists hold plain codes: the same one where they do already."""
    if type(ivf).__name__ != _PACKED:
        return ivf
    plain = _FAISS.IndexIVFPQ(ivf.quantizer, ivf.d, ivf.nlist, ivf.pq.M, ivf.pq.nbits, ivf.metric_type)
    plain.pq, plain.by_residual, plain.is_trained = ivf.pq, ivf.by_residual, True
    plain.referenced_objects = [ivf]  # whose quantiser it shares
    return plain


def _pack(plain: Any, ivf: Any) -> None:
    """Give `ivf` the lists of `plain`, packed for fast scan."""
    packed = _FAISS.IndexIVFPQFastScan(plain, ivf.bbs)
    ivf.replace_invlists(packed.invlists, True)
    packed.own_invlists = False
    ivf.ntotal = packed.ntotal
