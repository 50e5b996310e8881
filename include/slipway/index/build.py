"""Building a FAISS index from memory-mapped vectors, in bounded steps, reproducibly where FAISS allows it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from slipway.errors import DiskFull, IndexRefused
from slipway.index.anatomy import code_bits, repair, rotations
from slipway.index.sharded import parts
from slipway.index.spec import Spec, check_trainable

ADD_STEP = 65_536  # vectors added at once
_limiting = threading.Lock()  # FAISS has one limit a process
# FAISS holds product quantised lists to the same limit with a table that they may never make and no file has: of at
# most 256 numbers for each number of their centroids
_TABLE, _TABLE_FACTOR = "precomputed_table allocation", 256
# From so many numbers in the queries of one search on, FAISS multiplies matrices. Its own limit is 128,000, or 333
# queries of 384, below which it compares one by one: exact search for 256 queries took 2.9 s in place of 0.38 s, and 64
# queries of inverted lists 3.0 ms in place of 1.2. Its loops are faster for one or two. The limit is the process's.
BLAS_FROM = 4_096
faiss.cvar.distance_compute_blas_threshold = BLAS_FROM
# A product code of 16 numbers or more is found by a table of distances to all codewords, which FAISS makes for so many
# vectors at once: for 262,144 by itself, so that a block of 65,536 took 1 GiB beside it. The number is the process's.
faiss.cvar.product_quantizer_compute_codes_bs = 1_024  # type: ignore[attr-defined]
ROTATION_ROUNDS = 5
PER_CODEWORD = 256  # vectors, at most
METRICS = {"inner_product": faiss.METRIC_INNER_PRODUCT, "l2": faiss.METRIC_L2}


def build(
    vectors: npt.NDArray[np.float32],
    spec: Spec,
    train_vectors: int,
    ef_construction: int,
    progress: Callable[[int], None] = lambda added: None,
) -> Any:
    """A trained FAISS index of all rows of `vectors` ((n, dimension) float32), row i under id i.

    Trains on at most `train_vectors` rows drawn at random with the spec's seed. HNSW graphs depend on the order in
    which threads insert, so two builds of equal vectors are equal in quality, not in bytes.
    Raises `IndexRefused` when the spec is not one, or there are too few vectors to train it.
    """
    index = train(vectors, spec, train_vectors, ef_construction)
    add(index, vectors, spec, progress)
    return index


def train(vectors: npt.NDArray[np.float32], spec: Spec, train_vectors: int, ef_construction: int) -> Any:
    """An empty FAISS index, trained on at most `train_vectors` rows of `vectors`. Raises `IndexRefused`."""
    check_trainable(spec, len(vectors), train_vectors)
    index = make(spec, vectors.shape[1], ef_construction)
    if not index.is_trained:
        sample = training_sample(vectors, train_vectors, spec.seed)
        failing = f"index spec {spec.factory} cannot be trained on {len(sample):,} vectors"
        with refusing(failing), _rotations_in_few_rounds(index):
            index.train(sample)
    return index


@contextmanager
def _rotations_in_few_rounds(index: Any) -> Iterator[None]:
    """Within the block, rotations before product codes (OPQ) are learned for codes of the bits that follow, and soon.

    FAISS learns them for codes of 8 bits, in 50 rounds on 65,536 vectors, whatever follows (Ge et al. 2013 give the
    method). Five rounds on as many vectors as k-means draws for each codeword find nearly as much, in a second or two
    for codes of 4 bits (docs/decisions/0016).
    """
    found: list[Any] = rotations(index)
    bits = code_bits(index)
    codes = [faiss.ProductQuantizer(one.d_out, one.M, bits) for one in found]
    for one, code in zip(found, codes, strict=True):
        one.pq, one.niter, one.max_train_points = code, ROTATION_ROUNDS, PER_CODEWORD << bits
    try:
        yield
    finally:
        for one in found:
            one.pq = None  # FAISS looks at it while it trains only, and `codes` ends here


def add(
    index: Any,
    vectors: npt.NDArray[np.float32],
    spec: Spec,
    progress: Callable[[int], None] = lambda added: None,
    step: int = ADD_STEP,
) -> None:
    """Add all rows of `vectors` to an empty index, row i under id i, `step` at once. Raises `IndexRefused`."""
    for start in range(0, len(vectors), step):
        with refusing(f"index spec {spec.factory} cannot take {len(vectors):,} vectors"):
            index.add(np.ascontiguousarray(vectors[start : start + step]))
        progress(index.ntotal)


def make(spec: Spec, dimension: int, ef_construction: int) -> Any:
    """An empty FAISS index. Raises `IndexRefused` when the factory string is not one that it can build and serve."""
    if spec.is_hollow:  # FAISS takes some of these and then ends the process instead of raising an error
        raise _refused(spec, dimension, "it needs at least 1 of everything it counts, and a graph 2 links a node")
    try:
        index = faiss.index_factory(dimension, spec.factory, METRICS[spec.metric])
    except RuntimeError as error:
        raise _refused(spec, dimension, _short(error)) from error
    if index.metric_type != METRICS[spec.metric]:
        raise _refused(spec, dimension, f"FAISS has it only for another metric than {spec.metric}")
    if isinstance(index, faiss.IndexIDMap):
        raise _refused(spec, dimension, "row numbers are the ids, so leave IDMap out")
    if spec.is_hnsw:
        faiss.ParameterSpace().set_index_parameter(index, "efConstruction", ef_construction)
    if spec.lists:
        ivf = faiss.extract_index_ivf(index)
        ivf.cp.seed = spec.seed
        ivf.cp.min_points_per_centroid = 1
    return index


def sampled(count: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """At most `most` of the numbers below `count`, drawn at random without replacement, in order."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def training_sample(vectors: npt.NDArray[np.float32], most: int, seed: int) -> npt.NDArray[np.float32]:
    """At most `most` rows drawn at random without replacement, in row order so that a memory map is read forwards."""
    if len(vectors) <= most:
        return np.ascontiguousarray(vectors)
    return np.ascontiguousarray(vectors[sampled(len(vectors), most, seed)])


def set_parameters(index: Any, parameters: dict[str, int]) -> None:
    """Set FAISS search-time parameters by name, on each shard where there are several."""
    for part in parts(index):
        for name, value in parameters.items():
            faiss.ParameterSpace().set_index_parameter(part, name, value)


def write(index: Any, path: Path) -> None:
    """Write the index to a file. Raises `DiskFull`."""
    with telling_no_space(path):
        faiss.write_index(index, str(path))


@contextmanager
def telling_no_space(path: Path) -> Iterator[None]:
    """Turn an error of the block that says the disk is full into `DiskFull`; FAISS tells it by a RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise DiskFull(f"no space left on the device of {path}; free some, then run again") from error


def read(path: Path, mapped: bool = False) -> Any:
    """Read an index file, whose checksum was verified before. Raises RuntimeError when it is not one.

    With `mapped`, vectors, codes, lists and graphs stay in the file: processes share its pages, loading takes
    milliseconds, and removing the file does no harm while the index is there. In memory are centroids, quantisers, and
    the codes of fast scan, which must lie aligned. Such an index is for searching: do not change it.
    """
    load = _mapped if mapped else _loaded
    size = path.stat().st_size
    try:
        with _sizes_within(size):
            return repair(load(path))
    except RuntimeError as error:
        if _TABLE not in str(error):
            raise
    with _sizes_within(size * _TABLE_FACTOR):
        return repair(load(path))


def read_rows(path: Path) -> Any:
    """A mapped index whose rows are only to be copied: without the tables that searching wants, which are in memory."""
    with _sizes_within(path.stat().st_size):
        return repair(_mapped(path, faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE))


def _loaded(path: Path) -> Any:
    return faiss.read_index(str(path))


def _mapped(path: Path, flags: int = 0) -> Any:
    """The index over a map of its file. FAISS's own way of mapping looks beyond the end of a file that is cut short."""
    if not path.stat().st_size:
        raise RuntimeError(f"{path.name} is empty")
    held = np.memmap(path, dtype=np.uint8, mode="r")
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(held), held.size)  # type: ignore[attr-defined]
    index: Any = faiss.read_index(reader, flags)
    if reader.rp_ != held.size:  # a last number that is cut short counts as whole
        raise RuntimeError(f"{path.name} has {held.size:,} bytes, and its index {reader.rp_:,}")
    index.referenced_objects = [held]  # the map stays for as long as the index
    return index


@contextmanager
def _sizes_within(size_bytes: int) -> Iterator[None]:
    """Let FAISS believe no size that is larger: it sets aside what a header asks for before it reads."""
    with _limiting:
        before = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(size_bytes)
        try:
            yield
        finally:
            faiss.set_deserialization_vector_byte_limit(before)


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn an error of FAISS in the block into `IndexRefused`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        raise IndexRefused(f"{what}: {_short(error)}") from error


def _refused(spec: Spec, dimension: int, why: str) -> IndexRefused:
    return IndexRefused(
        f"index spec {spec.factory!r} is not one that FAISS can build for dimension {dimension}: {why}; "
        f"correct index.spec, or use auto"
    )


def _short(error: Exception) -> str:
    """FAISS errors begin with the C++ place they come from; people want the rest."""
    return str(error).strip().splitlines()[-1][-200:]
