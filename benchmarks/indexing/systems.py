"""The systems that are measured: peers, bare FAISS, and what Slipway builds and releases."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from slipway.index.build import build, set_parameters
from slipway.index.spec import Spec

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Setting = tuple[int, ...]
EF_CONSTRUCTION = 128  # of every graph, peers' and ours
TRAIN_VECTORS = 100_000
EF_SEARCH = [(ef,) for ef in (12, 16, 24, 32, 48, 64, 96, 128, 192, 256)]
BARE = "FAISS "
OURS = "slipway "
SPECS = (
    "IVF{lists},PQ{quarter}x4fs,Refine(SQfp16)",
    "OPQ{quarter}_{half},IVF{lists},PQ{quarter}x4fs,Refine(SQ8)",
    "HNSW32_SQ8",
    "HNSW32_SQfp16",
)


@dataclass(frozen=True, slots=True)
class System:
    """`build` makes an index of vectors; `search` gives an index the setting, the threads, the queries and k."""

    name: str
    build: Callable[[Vectors, int], Any]
    search: Callable[[Any, Setting, int, Vectors, int], Rows]
    settings: list[Setting]


def specs(vectors: int, dimension: int) -> list[str]:
    """The factory strings of ours, with lists for so many vectors."""
    lists = 2 ** max(2, round(np.log2(2 * np.sqrt(vectors))))
    numbers = {"half": dimension // 2, "quarter": dimension // 4, "lists": lists}
    return [spec.format(**numbers) for spec in SPECS]


def systems(vectors: int, dimension: int) -> list[System]:
    """Peers first, each with 16 and with 32 links a node, then ours.

    usearch with 32 links has 16-bit numbers only: with 32-bit ones it takes longest of all to build.
    """
    peers = [_hnswlib(16), _hnswlib(32), _usearch("f32", 16), _usearch("bf16", 16), _usearch("bf16", 32)]
    return [*peers, _bare("HNSW16"), _bare("HNSW32"), *(_ours(spec) for spec in specs(vectors, dimension))]


def bare_build(factory: str, vectors: Vectors, train_vectors: int, seed: int) -> Any:
    """What a script with nothing but FAISS does for the same spec: train on as large a sample, then add everything."""
    index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    if "HNSW" in factory:
        faiss.ParameterSpace().set_index_parameter(index, "efConstruction", EF_CONSTRUCTION)
    if not index.is_trained:
        drawn = np.random.default_rng(seed).choice(len(vectors), min(len(vectors), train_vectors), replace=False)
        index.train(vectors[np.sort(drawn)])
    index.add(vectors)
    return index


def our_build(factory: str, vectors: Vectors, train_vectors: int, seed: int) -> Any:
    """What Slipway does for the same spec."""
    spec = Spec(factory, "inner_product", seed, "measured")
    return build(vectors, spec, train_vectors, EF_CONSTRUCTION)


def _bare(factory: str) -> System:
    return System(
        f"{BARE}{factory}",
        lambda vectors, _: bare_build(factory, vectors, TRAIN_VECTORS, 1),
        _faiss_search(factory),
        EF_SEARCH,
    )


def _ours(factory: str) -> System:
    spec = Spec(factory, "inner_product", 1, "measured")
    settings = list(_grid(spec)) if spec.lists else EF_SEARCH
    return System(
        f"{OURS}{factory}",
        lambda vectors, _: our_build(factory, vectors, TRAIN_VECTORS, 1),
        _faiss_search(factory),
        settings,
    )


def _grid(spec: Spec) -> Iterator[Setting]:
    probes = [probes for probes in (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256) if probes <= (spec.lists or 0)]
    return itertools.product(probes, (3, 6, 12, 24) if spec.refines else (1,))


def _faiss_search(factory: str) -> Callable[[Any, Setting, int, Vectors, int], Rows]:
    spec = Spec(factory, "inner_product", 1, "measured")
    names = ["nprobe", "k_factor_rf"] if spec.refines else ["nprobe"]

    def search(index: Any, setting: Setting, threads: int, queries: Vectors, k: int) -> Rows:
        faiss.omp_set_num_threads(threads)
        set_parameters(index, dict(zip(names if spec.lists else ["efSearch"], setting, strict=False)))
        rows: Rows = index.search(queries, k)[1]
        return rows

    return search


def _hnswlib(links: int) -> System:
    import hnswlib

    def make(vectors: Vectors, threads: int) -> Any:
        index = hnswlib.Index("ip", vectors.shape[1])
        index.init_index(len(vectors), M=links, ef_construction=EF_CONSTRUCTION, random_seed=1)
        index.set_num_threads(threads)
        index.add_items(vectors)
        return index

    def search(index: Any, setting: Setting, threads: int, queries: Vectors, k: int) -> Rows:
        index.set_num_threads(threads)
        index.set_ef(setting[0])
        return np.asarray(index.knn_query(queries, k=k)[0], np.int64)

    return System(f"hnswlib M{links}", make, search, EF_SEARCH)


def _usearch(dtype: str, links: int) -> System:
    from usearch.index import Index

    def make(vectors: Vectors, threads: int) -> Any:
        width = vectors.shape[1]
        index = Index(ndim=width, metric="ip", dtype=dtype, connectivity=links, expansion_add=EF_CONSTRUCTION)
        index.add(np.arange(len(vectors)), vectors, threads=threads)
        return index

    def search(index: Any, setting: Setting, threads: int, queries: Vectors, k: int) -> Rows:
        index.expansion_search = setting[0]
        return np.asarray(index.search(queries, k, threads=threads).keys, np.int64)

    return System(f"usearch {dtype} M{links}", make, search, EF_SEARCH)
