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
from slipway.index.build import ADD_STEP, make
from slipway.index.spec import Spec

_FLOAT, _ID, _LINK = 4, 8, 4  # bytes
_BLOCK = 32  # vectors a block of fast-scan codes
_PER_CENTROID = 256  # vectors that FAISS's k-means draws for each centroid, at most
_SPARE = 1.25  # what lists that grow one vector at a time set aside, over what is in them; measured
_LOCK = 4  # bytes of a node's lock while a graph is built


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes of an index that is not built yet.

    `index_bytes`: its file. `resident_bytes`: a reader that has all of it in memory and searches with one thread.
    `build_bytes`: the peak while it is built, over what the process holds before; the pages of memory-mapped vectors,
    which the system takes back when it needs them, are not in it, but the block that is being added is.
    """

    index_bytes: int
    resident_bytes: int
    build_bytes: int


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an index is made of, in bytes: what it has once; tables and lists by vector; what else it takes to build.

    A table is one allocation that moves as it grows. Lists are many small ones. `searching` and `building` are by
    vector too, and are not in the file. `training` and `adding` are by vector of the sample and of an added block;
    `residuals` is for each of at most so many vectors of the sample that codes are trained on.
    """

    once: float = 0
    tables: tuple[float, ...] = ()
    lists: float = 0
    searching: float = 0
    building: float = 0
    training: float = 0
    adding: float = 0
    centroids: int = 0
    residuals: tuple[int, float] = (0, 0)
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
    index = make(spec, dimension, ef_construction=40)
    try:
        parts = list(_parts(index).all)
    except RuntimeError as error:
        raise IndexRefused(
            f"what index spec {spec.factory!r} takes in memory is not known; remove the memory clause, or use another"
        ) from error
    once = sum(part.once for part in parts)
    stored = sum(sum(part.tables) + part.lists for part in parts)
    searching = sum(part.searching for part in parts)
    size = once + stored * vectors
    peak = max(_training(parts, vectors, dimension, train_vectors), _adding(parts, vectors, dimension))
    return Estimate(round(size), round(size + searching * vectors), round(once + peak))


def _training(parts: list[_Parts], vectors: int, dimension: int, train_vectors: int) -> float:
    """The sample, what transforms make of it, and the larger of what k-means and the training of codes draw from it."""
    if not any(part.training or part.centroids for part in parts):
        return 0
    sample = min(vectors, train_vectors)
    transformed = sum(part.training for part in parts)
    drawn = (part.centroids * _PER_CENTROID for part in parts)
    subsample = max((rows for rows in drawn if rows < sample), default=0) * dimension * _FLOAT
    residuals = max(min(sample, rows) * size for rows, size in (part.residuals for part in parts))
    return sample * (dimension * _FLOAT + transformed) + max(subsample, residuals)


def _adding(parts: list[_Parts], vectors: int, dimension: int) -> float:
    """The peak over the steps of adding.

    A table that is full is copied to one of twice the size (or what is asked for, if more), of which only the filled
    part is touched: for that moment old and new are there. This follows `std::vector::resize` of libstdc++.
    """
    tables = [table for part in parts for table in part.tables]
    largest = max(tables, default=0.0)
    loose = sum(part.lists for part in parts) * _SPARE + sum(part.building for part in parts)
    block = dimension * _FLOAT + sum(part.adding for part in parts)
    held = capacity = 0
    peak = 0.0
    while held < vectors:
        step = min(ADD_STEP, vectors - held)
        moved = held if held + step > capacity else 0
        if held + step > capacity:
            capacity = held + max(held, step)
        held += step
        peak = max(peak, held * (sum(tables) + loose) + moved * largest + step * block)
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
    """Matrices, which hold a number for each pair of an input and an output and perhaps one more an output."""
    steps = [faiss.downcast_VectorTransform(index.chain.at(number)) for number in range(index.chain.size())]
    numbers = sum((step.d_in + 1) * step.d_out for step in steps)
    width = max(step.d_out for step in steps) * _FLOAT
    return _Parts(once=numbers * _FLOAT, training=width, adding=width, below=(_parts(index.index),))


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
        residuals=(max(ivf.train_encoder_num_vectors(), 0), ivf.d * _FLOAT if ivf.by_residual else 0),
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
