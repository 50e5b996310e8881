import functools
import threading

import numpy as np
import pytest

from slipway.config.index import SearchParameters
from slipway.index import selection as module
from slipway.index.anatomy import core
from slipway.index.build import build, set_parameters
from slipway.index.exact import exact_neighbours, recall
from slipway.index.selection import Selection, nearest_selected
from slipway.index.spec import default_parameters
from tests.support.releases import clustered_vectors, spec, unit_vectors

ROWS, DIMENSION = 3_000, 32
VECTORS = clustered_vectors(ROWS, DIMENSION)
QUERIES = clustered_vectors(30, DIMENSION, seed=1)

EXACT = ["Flat", "IVF16,Flat", "HNSW16", "HNSW16,Flat,RFlat", "PQ8x4fs,RFlat", "RR32,HNSW16", "IVF16,PQ8x4fs,RFlat"]
COARSE = [
    "SQ8",
    "PQ8x4",
    "PQ8x4fs",
    "RaBitQ",
    "PCA24,SQ8",
    "NSG16",
    "HNSW16,SQ8",
    "IVF16,SQ8",
    "IVF16,PQ8x4",
    "IVF16,PQ8x4fs",
    "IVF16,RaBitQ",
    "IVF16_HNSW8,SQ8",
    "IVF16(HNSW8),PQ8x4fs,Refine(SQ8)",
    "OPQ8_16,IVF16,PQ8x4fs,RFlat",
    "L2norm,HNSW16",
]


def drawn(share: float, seed: int = 0) -> np.ndarray:
    mask = np.random.default_rng(seed).random(ROWS) < share
    mask[7] = True
    return mask


@functools.cache
def built(factory: str, metric: str) -> object:
    return build(VECTORS, spec(factory, metric), ROWS, 40)


def tuned(factory: str, metric: str = "inner_product", **parameters: int) -> object:
    index = built(factory, metric)
    set_parameters(index, default_parameters(spec(factory), SearchParameters()) | parameters)
    return index


def truth(mask: np.ndarray, count: int, metric: str = "inner_product") -> np.ndarray:
    chosen = np.flatnonzero(mask)
    return chosen[exact_neighbours(VECTORS[chosen], QUERIES, count, metric)[1]]


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
@pytest.mark.parametrize("share", [0.5, 0.05, 0.004])
@pytest.mark.parametrize("factory", EXACT + COARSE)
def test_every_kind_of_index_finds_selected_rows_only_and_as_many_as_there_are(
    factory: str, share: float, metric: str
) -> None:
    index, mask = tuned(factory, metric), drawn(share)
    count = min(10, int(mask.sum()))
    scores, rows = nearest_selected(index, Selection.of(index, mask), QUERIES, 10)
    assert mask[rows[:, :count]].all()
    assert (rows[:, :count] >= 0).all()
    assert (rows[:, count:] == -1).all()
    assert all(len(set(found)) == count for found in rows[:, :count].tolist())
    better = np.diff(scores[:, :count]) * (-1 if metric == "inner_product" else 1)
    assert (better >= -1e-5).all()
    if factory in EXACT:
        assert recall(rows, truth(mask, count, metric), count) > 0.97


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "IVF16,PQ8x4fs,RFlat"])
def test_what_is_scanned_is_exact_and_scored_as_ever(factory: str) -> None:
    index, mask = tuned(factory), drawn(0.01)
    chosen = Selection.of(index, mask)
    assert chosen.scans
    scores, rows = nearest_selected(index, chosen, QUERIES, 10)
    assert (rows == truth(mask, 10)).all()
    assert scores == pytest.approx(np.take_along_axis(QUERIES @ VECTORS.T, rows, 1), abs=1e-5)


@pytest.mark.parametrize("factory", ["HNSW16", "IVF64,PQ8x4fs,RFlat"])
def test_a_graph_and_lists_look_further_for_the_same_quality(factory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a scan to fall back on: all depends on how far they look."""
    monkeypatch.setattr(module, "_distances", lambda *_: 0)
    monkeypatch.setattr(module, "_scan", None)
    index = tuned(factory, **({"efSearch": 40} if factory == "HNSW16" else {"nprobe": 8}))
    whole = recall(index.search(QUERIES, 10)[1], truth(np.ones(ROWS, bool), 10), 10)
    for share in (0.5, 0.1, 0.03):
        mask = drawn(share)
        chosen = Selection.of(index, mask)
        assert not chosen.scans
        assert recall(nearest_selected(index, chosen, QUERIES, 10)[1], truth(mask, 10), 10) >= whole - 0.03


def test_a_query_far_from_all_that_is_selected_has_them_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The selected rows are one cloud, and half of the queries are elsewhere."""
    monkeypatch.setattr(module, "_distances", lambda *_: 0)
    random = np.random.default_rng(3)
    clouds = np.repeat(np.eye(8, DIMENSION, dtype=np.float32), 400, axis=0)
    vectors = (clouds + 0.02 * random.normal(size=clouds.shape)).astype(np.float32)
    index = build(vectors, spec("HNSW16"), len(vectors), 40)
    set_parameters(index, {"efSearch": 4})
    mask = np.arange(len(vectors)) < 300
    queries = np.ascontiguousarray(vectors[[5, 3_000, 9, 2_000]])
    scanned: list[int] = []
    real = module._scan
    monkeypatch.setattr(module, "_scan", lambda i, s, q, c: scanned.append(len(q)) or real(i, s, q, c))
    rows = nearest_selected(index, Selection.of(index, mask), queries, 10)[1]
    assert mask[rows].all()
    assert scanned and scanned[0] < 4
    assert rows[1].tolist() == exact_neighbours(vectors[:300], queries[1:2], 10)[1][0].tolist()


def test_few_rows_are_scanned_and_many_searched() -> None:
    graph = tuned("HNSW16")
    core(graph).hnsw.efSearch = 4  # 3,000 rows are few: with 128 visits a scan is always cheaper
    assert not Selection.of(graph, drawn(0.5)).scans
    assert Selection.of(graph, drawn(0.1)).scans
    lists = tuned("IVF16,PQ8x4fs,RFlat", nprobe=1)
    assert not Selection.of(lists, drawn(0.5)).scans
    assert Selection.of(lists, drawn(0.02)).scans


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "IVF16,PQ8x4fs,RFlat", "PQ8x4"])
def test_nothing_selected_and_no_query_find_nothing(factory: str) -> None:
    index = tuned(factory)
    rows = nearest_selected(index, Selection.of(index, np.zeros(ROWS, bool)), QUERIES, 4)[1]
    assert rows.shape == (30, 4)
    assert (rows == -1).all()
    assert nearest_selected(index, Selection.of(index, drawn(0.5)), QUERIES[:0], 4)[1].shape == (0, 4)


def test_searching_with_selections_leaves_the_index_as_it_was() -> None:
    """From many threads at once, each with a selection of its own."""
    index = build(unit_vectors(2_000, DIMENSION), spec("HNSW16"), 2_000, 40)
    set_parameters(index, {"efSearch": 24})
    before = index.search(QUERIES, 5)[1]
    masks = [np.arange(2_000) % 4 == number for number in range(4)]
    chosen = [Selection.of(index, mask) for mask in masks]
    expected = [nearest_selected(index, one, QUERIES, 5)[1] for one in chosen]
    wrong: list[int] = []

    def work(number: int) -> None:
        answers = [nearest_selected(index, chosen[number], QUERIES, 5)[1] for _ in range(20)]
        wrong.extend(number for rows in answers if (rows != expected[number]).any())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert index.hnsw.efSearch == 24
    assert (index.search(QUERIES, 5)[1] == before).all()


def test_a_selection_says_what_it_holds() -> None:
    assert Selection.of(tuned("Flat"), drawn(0.01)).size_bytes == 8 * int(drawn(0.01).sum())
    assert Selection.of(tuned("IVF16,SQ8"), drawn(0.5)).size_bytes == ROWS // 8
    assert Selection.of(tuned("PQ8x4"), drawn(0.5)).size_bytes == ROWS // 8 + ROWS
