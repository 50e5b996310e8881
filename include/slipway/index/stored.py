"""The vectors that an index itself holds for its rows, as its codes give them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from slipway.index.anatomy import (
    blocks,
    codec,
    core,
    inverted_file,
    is_exact,
    is_transforming,
    lists,
    packed_lists,
    refinement,
    transformed,
)

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stored:
    """What one part of an index says of some rows, beside what it was given: both (rows, dimension) float32.

    `part` names the part; `exact`: whether it keeps vectors as they are.
    """

    part: str
    held: Vectors
    given: Vectors
    exact: bool


def stored(index: Any, rows: Numbers, vectors: Vectors) -> Iterator[Stored]:
    """What the index holds for `rows`, whose vectors are `vectors`: its codes, and its refinement where it has one.

    Raises KeyError for a row that an inverted file does not hold, and RuntimeError for codes that FAISS cannot decode.
    """
    ivf, kept = inverted_file(index), refinement(index)
    held = core(index).reconstruct_batch(rows) if ivf is None else _decoded(ivf, rows)
    exact = is_exact(codec(index)) and not is_transforming(index)
    yield Stored("codes", held, transformed(index, vectors), exact)
    if kept is not None:
        yield Stored("refinement", kept.reconstruct_batch(rows), vectors, is_exact(kept))


def _decoded(ivf: Any, rows: Numbers) -> Vectors:
    """The vectors of rows of an inverted file, found list by list: it has no map from a row to its place."""
    codes: dict[int, npt.NDArray[np.uint8]] = {}
    for number, held in lists(ivf):
        for place in np.flatnonzero(np.isin(held, rows)):
            codes[int(held[place])] = _code(ivf, number, int(place))
    decoded: Vectors = ivf.sa_decode(np.stack([codes[int(row)] for row in rows]))
    return decoded


def _code(ivf: Any, number: int, place: int) -> npt.NDArray[np.uint8]:
    """One vector's whole code: the list's number, little-endian, and the code within the list."""
    packed = packed_lists(ivf)
    if packed is not None:
        inner = packed.packer.unpack_1(blocks(packed, number), place)
    else:
        size = ivf.invlists.list_size(number)
        inner = faiss.rev_swig_ptr(ivf.invlists.get_codes(number), size * ivf.code_size).reshape(size, -1)[place]
    prefix = number.to_bytes(ivf.coarse_code_size(), "little")
    return np.concatenate([np.frombuffer(prefix, np.uint8), inner[: ivf.code_size]])
