import json
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import CorruptObject
from slipway.evaluation.latency import latency
from slipway.index import sharded
from slipway.index.build import build, set_parameters
from slipway.index.exact import exact_neighbours, recall
from slipway.index.live import Live, findable, nearest
from slipway.index.selection import Selection, nearest_selected
from slipway.index.sharded import Shard, Shards, merged, read_counts, write_counts
from tests.support.releases import clustered_vectors, spec, unit_vectors

VECTORS = clustered_vectors(700)
QUERIES = clustered_vectors(40, seed=5)


def in_shards(factory: str, rows: Sequence[int], metric: str = "inner_product", efs: int = 64) -> Shards:
    ends = np.cumsum([0, *rows])
    indexes: list[Any] = [
        build(VECTORS[first:last], spec(factory, metric), 10_000, 40) for first, last in pairwise(ends)
    ]
    made = Shards(indexes, rows)
    if factory.startswith("HNSW"):
        set_parameters(made, {"efSearch": efs})
    return made


@given(
    cuts=st.lists(st.integers(1, 699), unique=True, max_size=5),
    count=st.integers(1, 700),
    queries=st.integers(1, 3),
    metric=st.sampled_from(["inner_product", "l2"]),
)
@settings(max_examples=30, deadline=None)
def test_exact_shards_find_what_one_exact_index_finds(cuts: list[int], count: int, queries: int, metric: str) -> None:
    rows = np.diff([0, *sorted(cuts), 700]).tolist()
    scores, found = in_shards("Flat", rows, metric).search(QUERIES[:queries], count)
    expected, truth = exact_neighbours(VECTORS, QUERIES[:queries], count, metric)
    assert np.array_equal(found, truth)
    assert np.allclose(scores, expected, atol=1e-5)


def test_graphs_in_shards_find_at_least_what_one_graph_finds() -> None:
    truth = exact_neighbours(VECTORS, QUERIES, 10)[1]
    single = build(VECTORS, spec("HNSW8"), 10_000, 40)
    set_parameters(single, {"efSearch": 12})
    shards = in_shards("HNSW8", [200, 250, 250], efs=12)
    assert recall(shards.search(QUERIES, 10)[1], truth, 10) >= recall(single.search(QUERIES, 10)[1], truth, 10)


@pytest.mark.parametrize("factory", ["Flat", "HNSW8", "IVF4,Flat"])
@pytest.mark.parametrize("queries", [1, 40])
def test_more_than_there_is_gives_every_row_once_and_then_none(factory: str, queries: int) -> None:
    shards = in_shards(factory, [20, 30, 50])
    set_parameters(shards, {"nprobe": 4} if "IVF" in factory else {})
    rows = nearest(shards, Live(np.ones(100, bool), 100), QUERIES[:queries], 120)[1]
    for row in rows:
        assert sorted(row[:100]) == list(range(100))
        assert (row[100:] == -1).all()


def test_one_thread_asks_one_shard_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured latency is that of one core, and other callers have their shards asked side by side."""
    shards, asked_by = in_shards("Flat", [300, 400]), list[int]()

    def ask(shard: Shard) -> tuple[Any, Any]:
        asked_by.append(threading.get_ident())
        found: tuple[Any, Any] = shard.index.search(QUERIES[:1], 3)
        return found

    monkeypatch.setattr(sharded, "_cores", lambda: 2)
    monkeypatch.setattr(sharded, "_pool", None)
    latency(lambda _: shards.gathered(ask, 1, 3), QUERIES, searches=5)
    assert set(asked_by) == {threading.get_ident()}
    asked_by.clear()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        shards.gathered(ask, 1, 3)
    finally:
        faiss.omp_set_num_threads(before)
    assert len(asked_by) == 2
    assert threading.get_ident() not in asked_by


def test_tombstones_are_not_found_in_any_shard() -> None:
    shards, mask = in_shards("HNSW8", [300, 400]), np.ones(700, bool)
    first = shards.search(QUERIES, 1)[1][:, 0]
    mask[first] = False
    found = nearest(shards, findable(shards, mask), QUERIES, 5)[1]
    assert (found >= 0).all()
    assert not np.isin(found, first).any()


@pytest.mark.parametrize("factory", ["Flat", "HNSW8", "IVF4,SQ8"])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.05, 0.6])
def test_filters_leave_the_nearest_of_the_rows_that_match(factory: str, share: float) -> None:
    shards = in_shards(factory, [150, 250, 300])
    set_parameters(shards, {"nprobe": 4} if "IVF" in factory else {})
    mask = np.random.default_rng(3).random(700) < share
    scores, found = nearest_selected(shards, Selection.of(shards, mask), QUERIES, 8)
    assert scores.shape == found.shape == (40, 8)
    assert mask[found[found >= 0]].all()
    matching = np.flatnonzero(mask)
    truth = matching[exact_neighbours(VECTORS[matching], QUERIES, 8)[1]] if mask.any() else np.empty((40, 0), int)
    assert (found >= 0).sum(axis=1).tolist() == [truth.shape[1]] * 40
    assert recall(found, truth, 8) > 0.95


def test_equal_scores_are_ordered_by_row_and_no_answer_comes_last() -> None:
    scores = np.array([[0.5, 0.0, 0.5, 0.9]], np.float32)
    rows = np.array([[7, -1, 2, 9]])
    assert merged(scores, rows, 6, higher_is_nearer=True)[1].tolist() == [[9, 2, 7, -1, -1, -1]]
    assert merged(scores, rows, 2, higher_is_nearer=False)[1].tolist() == [[2, 7]]


def test_shards_of_different_kinds_do_not_answer_together() -> None:
    other = build(unit_vectors(9), spec("Flat", "l2"), 100, 40)
    with pytest.raises(CorruptObject, match="not of one kind"):
        Shards([build(unit_vectors(9), spec("Flat"), 100, 40), other], [9, 9])


def test_counts_are_kept_in_a_file(tmp_path: Path) -> None:
    write_counts(tmp_path / "shards.json", [5, 7])
    assert read_counts(tmp_path / "shards.json") == {"index-00000.faiss": 5, "index-00001.faiss": 7}


@pytest.mark.parametrize(
    "content",
    [
        "nothing",
        "[]",
        "{}",
        "[3]",
        json.dumps([{"name": "index-00001.faiss", "rows": 3}]),
        json.dumps([{"name": "index-00000.faiss", "rows": 0}]),
        json.dumps([{"name": "index-00000.faiss", "rows": "3"}]),
        json.dumps([{"name": "../index-00000.faiss", "rows": 3}]),
    ],
)
def test_a_list_of_shards_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "shards.json").write_text(content)
    with pytest.raises(CorruptObject, match=r"shards\.json"):
        read_counts(tmp_path / "shards.json")
