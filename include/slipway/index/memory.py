"""What an index will take, before it is built: its file, a reader's memory, and the peak while it is built.

The parts of an index are read off an empty one that FAISS makes from the factory string, so every part that FAISS
knows has its size from FAISS itself (`sa_code_size`); what is computed here is what is stored around the codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import faiss

from slipway.errors import IndexRefused
from slipway.index.anatomy import code_bits, rotations, steps
from slipway.index.build import ADD_STEP, PER_CODEWORD, make
from slipway.index.spec import Spec

_FLOAT, _ID, _LINK = 4, 8, 4  # bytes
_BLOCK = 32  # vectors a block of fast-scan codes
_PER_CENTROID = 256  # vectors that FAISS's k-means draws for each centroid, at most
_SPARE = 1.25  # what lists that grow one vector at a time set aside, over what is in them; measured
_LOCK = 4  # bytes of a node's lock while a graph is built
_PLACE = 160  # bytes of a list that lies mapped; measured


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes of an index that is not built yet.

    `index_bytes`: its file. `resident_bytes`: a reader that has all of it in memory and searches with one thread.
    `build_bytes`: the peak while it is built, over what the process holds before; the pages of memory-mapped vectors,
    which the system takes back when it needs them, are not in it, but the block that is being added is. It is the
    larger of `train_bytes`, the peak of training, and `add_bytes`, that of adding to what was trained.
    """

    index_bytes: int
    resident_bytes: int
    build_bytes: int
    train_bytes: int
    add_bytes: int


_Drawn = tuple[int, float, float]  # at most so many vectors, bytes for each, and of its copy where it is one of more


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an index is made of, in bytes: what it has once; tables and lists by vector; what else it takes to build.

    A table is one allocation that moves as it grows. Lists are many small ones. `searching` and `building` are by
    vector too, and are not in the file. `training` and `adding` are by vector of the sample and of an added block;
    `residuals` is for each of at most so many vectors of the sample that codes are trained on, and for a copy of each
    where they are not all of it; `learned` the same for a rotation, which is done before. `packed`: in blocks.
    """

    once: float = 0
    tables: tuple[float, ...] = ()
    lists: float = 0
    searching: float = 0
    building: float = 0
    training: float = 0
    adding: float = 0
    centroids: int = 0
    residuals: _Drawn = (0, 0, 0)
    learned: _Drawn = (0, 0, 0)
    packed: bool = False
    below: tuple[_Parts, ...] = ()

    @property
    def all(self) -> Iterator[_Parts]:
        """This part and those below it."""
        yield self
        for part in self.below:
            yield from part.all


def estimate(spec: Spec, vectors: int, dimension: int, train_vectors: int) -> Estimate:
    """What an index of so many vectors will take, trained on at most `train_vectors` of them.

    Right within 15 % for what this module knows: flat and scalar codes, product quantisers and RaBitQ, their fast
    scan, inverted files, HNSW and NSG graphs, transforms and refinement; also for other codes in a table.
    Raises `IndexRefused` when the spec is not one, or stores its vectors in a way whose size FAISS does not tell.
    """
    parts = _known_parts(spec, dimension)
    once = _once(parts)
    size = once + _stored(parts) * vectors
    searching = sum(part.searching for part in parts)
    training = once + _training(parts, vectors, dimension, train_vectors)
    adding = once + _adding(parts, vectors, dimension)
    return Estimate(
        index_bytes=round(size),
        resident_bytes=round(size + searching * vectors),
        build_bytes=round(max(training, adding)),
        train_bytes=round(training),
        add_bytes=round(adding),
    )


def merge_bytes(spec: Spec, vectors: int, dimension: int, piece: int) -> int:
    """The peak of memory while mapped pieces of at most `piece` vectors are merged to an index of so many.

    Rows go from file to file, except the lists of fast scan, which are packed in memory. Beside those there are the
    trained index, and in each piece the places of its lists. Raises `IndexRefused` as `estimate` does.
    """
    parts = _known_parts(spec, dimension)
    packed = sum(part.lists for part in parts if part.packed)
    places = sum(part.centroids for part in parts if part.lists) * _PLACE
    return round(_once(parts) + vectors * packed + -(-vectors // piece) * places)


def _known_parts(spec: Spec, dimension: int) -> list[_Parts]:
    index = make(spec, dimension, ef_construction=40)  # held while FAISS's views of its parts are asked
    try:
        return list(_parts(index).all)
    except RuntimeError as error:
        raise IndexRefused(
            f"what index spec {spec.factory!r} takes in memory is not known; remove the memory clause, or use another"
        ) from error


def _once(parts: list[_Parts]) -> float:
    return sum(part.once for part in parts)


def _stored(parts: list[_Parts]) -> float:
    """Bytes of the file by vector."""
    return sum(sum(part.tables) + part.lists for part in parts)


def _loose(parts: list[_Parts]) -> float:
    """Bytes in memory by vector while an index grows."""
    return sum(sum(part.tables) + part.lists * _SPARE + part.building for part in parts)


def _training(parts: list[_Parts], vectors: int, dimension: int, train_vectors: int) -> float:
    """The sample, what transforms make of it, and the larger of what k-means and the training of codes draw from it.

    Where all vectors are the sample, they are read where they lie mapped.
    """
    if not any(part.training or part.centroids for part in parts):
        return 0
    sample = min(vectors, train_vectors)
    transformed = sum(part.training for part in parts)
    drawn = (part.centroids * _PER_CENTROID for part in parts)
    subsample = max((rows for rows in drawn if rows < sample), default=0) * dimension * _FLOAT
    residuals = max(_held(part.residuals, sample) for part in parts)
    learned = max(_held(part.learned, sample) for part in parts)
    copied = dimension * _FLOAT if vectors > train_vectors else 0
    return sample * copied + max(sample * transformed + max(subsample, residuals), learned)


def _held(drawn: _Drawn, sample: int) -> float:
    rows, size, copy = drawn
    return min(sample, rows) * (size + (copy if rows < sample else 0))


def _adding(parts: list[_Parts], vectors: int, dimension: int) -> float:
    """The peak over the steps of adding."""
    return _growing(parts, vectors, ADD_STEP, dimension * _FLOAT + sum(part.adding for part in parts))


def _growing(parts: list[_Parts], vectors: int, most: int, block: float) -> float:
    """The peak while an index grows by at most `most` vectors at once, each of which takes `block` bytes beside it.

    A table that is full is copied to one of twice the size (or what is asked for, if more), of which only the filled
    part is touched: for that moment old and new are there. This follows `std::vector::resize` of libstdc++.
    """
    largest = max((table for part in parts for table in part.tables), default=0.0)
    loose = _loose(parts)
    held = capacity = 0
    peak = 0.0
    while held < vectors:
        step = min(most, vectors - held)
        moved = held if held + step > capacity else 0
        if held + step > capacity:
            capacity = held + max(held, step)
        held += step
        peak = max(peak, held * loose + moved * largest + step * block)
    return peak


def _parts(index: Any) -> _Parts:
    """The parts of an empty index. Raises RuntimeError where FAISS does not know a code's size."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexRefine):
        return _Parts(below=(_parts(index.base_index), _parts(index.refine_index)))
    if isinstance(index, faiss.IndexPreTransform):
        return _transformed(index)
    if isinstance(index, faiss.IndexIVF):
        return _inverted(index)
    if isinstance(index, faiss.IndexHNSW):
        return _hnsw(index)
    if isinstance(index, faiss.IndexNSG):
        return _nsg(index)
    return _Parts(once=_codebook(index), tables=(float(index.sa_code_size()),), centroids=_codewords(index))


def _transformed(index: Any) -> _Parts:
    """Matrices, which hold a number for each pair of an input and an output and perhaps one more an output.

    One of principal components keeps those of all inputs, and an eigenvalue each, beside those that it uses. One for
    product codes (OPQ) is learned from what it draws, twice, and what that becomes, two and a half times; measured.
    """
    through = steps(index)
    numbers = sum((step.d_in + 1) * step.d_out for step in through)
    numbers += sum((step.d_in + 1) * step.d_in for step in through if isinstance(step, faiss.PCAMatrix))
    width = max(step.d_out for step in through) * _FLOAT
    learned = max((2 * step.d_in + 2.5 * step.d_out for step in rotations(index)), default=0)
    return _Parts(
        once=numbers * _FLOAT,
        training=width,
        adding=width,
        learned=(PER_CODEWORD << code_bits(index), learned * _FLOAT, through[0].d_in * _FLOAT if learned else 0),
        below=(_parts(index.index),),
    )


def _inverted(ivf: Any) -> _Parts:
    """Codes and 64-bit ids in lists, the lists' sizes, and the coarse quantiser with its centroids.

    Fast scan stores codes in blocks of 32, so that the last block of a list is half empty on average. It, like a
    product quantiser, makes a block's codes before it puts them into lists; others go there one by one.
    """
    if isinstance(ivf, faiss.IndexIVFFlatPanorama):
        raise RuntimeError("Panorama's lists have sums of their own beside the codes")
    code, coarse = float(ivf.sa_code_size()), _parts(ivf.quantizer)
    packed = isinstance(ivf, faiss.IndexIVFFastScan)
    centroids = sum(part.once + sum(part.tables) * ivf.nlist for part in coarse.all)
    return _Parts(
        once=_codebook(ivf) + centroids + ivf.nlist * (_ID + (code * _BLOCK / 2 if packed else 0)),
        lists=code + _ID,
        adding=code if packed or isinstance(ivf, faiss.IndexIVFPQ) else 0,
        centroids=ivf.nlist,
        residuals=(max(ivf.train_encoder_num_vectors(), 0), ivf.d * _FLOAT if ivf.by_residual else 0, ivf.d * _FLOAT),
        packed=packed,
    )


def _hnsw(index: Any) -> _Parts:
    """What the nodes store, their links, levels and offsets (Malkov and Yashunin 2018, section 4.2.3).

    A node has 2 M links on the lowest level and M on each further one, on which it is with probability 1/M each: so
    M / (M - 1) more. A search marks the nodes that it has seen, a byte each.
    """
    links = index.hnsw.nb_neighbors(1)
    lowest = index.hnsw.nb_neighbors(0)
    graph = (lowest + links / (links - 1)) * _LINK + _LINK + _ID
    return _Parts(tables=(graph,), searching=1, building=_LOCK + 1, below=(_parts(index.storage),))


def _nsg(index: Any) -> _Parts:
    """What the nodes store and their R links; while it is built, the descent's pools of candidates for each node.

    Dong et al. 2011: a pool of L neighbours (12 bytes each) and lists of S new, S old and R reversed ones.
    """
    pools = index.nndescent_L * 12 + 4 * (index.nndescent_S + index.nndescent_R) * _LINK
    return _Parts(tables=(index.nsg.R * _LINK,), building=pools, searching=1, below=(_parts(index.storage),))


def _codewords(index: Any) -> int:
    quantiser = getattr(index, "pq", None)
    return int(quantiser.ksub) if quantiser is not None else 0


def _codebook(index: Any) -> float:
    """What codes are made with: a product quantiser's codewords, or a scalar one's bounds of each dimension."""
    return float(max(_codewords(index), 2) * index.d * _FLOAT)
