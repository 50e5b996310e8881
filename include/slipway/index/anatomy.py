"""What a FAISS index is made of, below its wrappers: the part that is searched, its lists, its codes, its refinement.

A factory string such as "OPQ8,IVF64,PQ8x4fs,RFlat" gives an IndexRefine around an IndexPreTransform around an inverted
file. FAISS hands out such parts as base classes; every part given here is of its real class.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from slipway.errors import CorruptObject
from slipway.index.artifact import ROWS
from slipway.index.sharded import pieces

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


def searched(index: Any) -> Any:
    """The part whose answers are refined; the index itself where nothing is refined."""
    return faiss.downcast_index(index.base_index) if isinstance(index, faiss.IndexRefine) else index


def refinement(index: Any) -> Any | None:
    """The part that scores again, which holds one vector a row; None where nothing is refined."""
    return faiss.downcast_index(index.refine_index) if isinstance(index, faiss.IndexRefine) else None


def core(index: Any) -> Any:
    """The graph, the inverted file or the codes below refinement and transforms."""
    part = searched(index)
    return faiss.downcast_index(part.index) if isinstance(part, faiss.IndexPreTransform) else part


def is_transforming(index: Any) -> bool:
    """Whether vectors are rotated or projected before they reach the core."""
    return isinstance(searched(index), faiss.IndexPreTransform)


def steps(index: Any) -> list[Any]:
    """What vectors go through before they reach the core: rotations and projections, in order."""
    part: Any = searched(index)
    if not is_transforming(index):
        return []
    return [faiss.downcast_VectorTransform(part.chain.at(number)) for number in range(part.chain.size())]


def rotations(index: Any) -> list[Any]:
    """Those of the steps that are learned for product codes (OPQ)."""
    return [step for step in steps(index) if isinstance(step, faiss.OPQMatrix)]


def code_bits(index: Any) -> int:
    """The bits of one product code of the core; 8, as FAISS has it where nothing is said, where there are none."""
    quantiser = getattr(codec(index), "pq", None)
    return 8 if quantiser is None else int(quantiser.nbits)


def transformed(index: Any, vectors: Vectors) -> Vectors:
    """`vectors` ((n, d) float32) as the core sees them: rotated, or projected to fewer dimensions."""
    seen = np.ascontiguousarray(vectors)
    for step in steps(index):
        seen = step.apply(seen)
    return seen


def codec(index: Any) -> Any:
    """The part of the core that turns vectors into codes: an inverted file, or what a graph stores."""
    part = core(index)
    return faiss.downcast_index(part.storage) if isinstance(part, faiss.IndexHNSW) else part


def is_exact(part: Any) -> bool:
    """Whether a codec or a refinement keeps vectors as they are."""
    return isinstance(part, faiss.IndexFlat | faiss.IndexIVFFlat)


def inverted_file(index: Any) -> Any | None:
    """The core where it is an inverted file, else None."""
    part = core(index)
    return part if isinstance(part, faiss.IndexIVF) else None


def lists(ivf: Any) -> Iterator[tuple[int, Numbers]]:
    """(list number, row numbers in it) of each inverted list that holds something, in the order of its codes."""
    for number in range(ivf.nlist):
        size = ivf.invlists.list_size(number)
        if size:
            yield number, faiss.rev_swig_ptr(ivf.invlists.get_ids(number), size).astype(np.int64)


def packed_lists(ivf: Any) -> Any | None:
    """The inverted lists where their codes lie in blocks for fast scan, else None."""
    held: Any = faiss.downcast_InvertedLists(ivf.invlists)
    return held if type(held).__name__ == "BlockInvertedLists" else None


def blocks(packed: Any, number: int) -> npt.NDArray[np.uint8]:
    """A packed list's codes, (blocks, bytes of a block): a view into the index."""
    count = -(-packed.list_size(number) // packed.n_per_block)
    view: npt.NDArray[np.uint8] = faiss.rev_swig_ptr(packed.get_codes(number), count * packed.block_size)
    return view.reshape(count, packed.block_size)


def repair(index: Any) -> Any:
    """The index, read from a file, able to decode: FAISS 1.15 forgets to tell a fast-scan inverted file its quantiser.

    Without this, decoding ends the process.
    """
    ivf: Any = inverted_file(index)
    if hasattr(ivf, "fine_quantizer") and ivf.fine_quantizer is None:
        quantiser = getattr(ivf, "pq", None) or getattr(ivf, "aq", None)
        if quantiser is not None:
            ivf.fine_quantizer = quantiser
    return index


def check_rows(index: Any, live: npt.NDArray[np.bool_]) -> None:
    """Raise `CorruptObject` unless the index fits rows.arrow, of whose rows `live` says which stand for a passage.

    A graph and a refinement keep the vectors of rows that are gone; an inverted file does not.
    """
    shards = pieces(index, len(live))
    if sum(shard.rows for shard in shards) != len(live):
        raise CorruptObject(f"the shards of the index have {sum(s.rows for s in shards):,} rows, {ROWS} {len(live):,}")
    for shard in shards:
        _check_rows(shard.index, shard.of(live))


def _check_rows(index: Any, live: npt.NDArray[np.bool_]) -> None:
    ivf, kept = inverted_file(index), refinement(index)
    rows, alive = len(live), int(live.sum())
    if ivf is not None and int(ivf.ntotal) != alive:
        raise CorruptObject(f"the index holds {ivf.ntotal:,} vectors, {ROWS} has {alive:,} rows in use")
    whole = kept if kept is not None else index
    if (ivf is None or kept is not None) and int(whole.ntotal) != rows:
        raise CorruptObject(f"the index holds {whole.ntotal:,} vectors, {ROWS} has {rows:,} rows")


def check_ids(index: Any, live: npt.NDArray[np.bool_]) -> None:
    """Raise `CorruptObject` unless an inverted file holds just the rows that stand for a passage, each once."""
    for shard in pieces(index, len(live)):
        _check_ids(shard.index, shard.of(live))


def _check_ids(index: Any, live: npt.NDArray[np.bool_]) -> None:
    ivf = inverted_file(index)
    if ivf is None:
        return  # whose rows are numbered by their places
    held = np.zeros(len(live), dtype=bool)
    for number, ids in lists(ivf):
        if ids.min() < 0 or ids.max() >= len(live):
            raise CorruptObject(f"list {number} of the index names a row that {ROWS} does not have")
        held[ids] = True
    if not np.array_equal(held, live):
        raise CorruptObject(f"the lists of the index hold other rows than those that {ROWS} has in use")
