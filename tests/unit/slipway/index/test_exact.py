from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.index import exact
from slipway.index.build import BLAS_FROM
from slipway.index.exact import exact_neighbours, recall
from tests.support.releases import Vectors, unit_vectors


def brute_force(vectors: Vectors, queries: Vectors, metric: str) -> Vectors:
    """All scores, (q, n): similarities or squared distances, in double precision."""
    v, q = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "inner_product":
        return q @ v.T
    return ((q[:, None, :] - v[None, :, :]) ** 2).sum(-1)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(0, 60),
    asked=st.integers(0, 30),
    dimension=st.integers(1, 9),
    k=st.integers(1, 80),
    block=st.sampled_from([1, 3, 7, 59, 60, 61, 1_000]),
    metric=st.sampled_from(["inner_product", "l2"]),
    seed=st.integers(0, 1_000),
)
def test_it_is_a_brute_force_search_also_with_ties_and_small_blocks(
    count: int, asked: int, dimension: int, k: int, block: int, metric: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small whole numbers: many scores are equal, and none is rounded."""
    monkeypatch.setattr(exact, "BLOCK", block)
    random = np.random.default_rng(seed)
    vectors = random.integers(-2, 3, (count, dimension)).astype(np.float32)
    queries = random.integers(-2, 3, (asked, dimension)).astype(np.float32)
    scores, rows = exact_neighbours(vectors, queries, k, metric)
    every = brute_force(vectors, queries, metric)
    best = -np.sort(-every, axis=1) if metric == "inner_product" else np.sort(every, axis=1)
    assert scores.shape == rows.shape == (asked, min(k, count))
    assert (scores == best[:, :k]).all()
    assert (np.take_along_axis(every, rows, 1) == scores).all() if count else rows.size == 0
    for found, its_scores in zip(rows, scores, strict=True):
        assert len(set(found.tolist())) == len(found)
        assert all(a < b for a, b, tied in zip(found, found[1:], np.diff(its_scores) == 0, strict=False) if tied)


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
@pytest.mark.parametrize("block", [97, 1_000, 65_536])
def test_real_numbers_give_the_same_neighbours_in_any_block(
    block: int, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "BLOCK", block)
    vectors, queries = unit_vectors(1_000, 24), unit_vectors(50, 24, seed=1)
    every = brute_force(vectors, queries, metric)
    truth = np.argsort(-every if metric == "inner_product" else every, axis=1)[:, :100]
    scores, rows = exact_neighbours(vectors, queries, 100, metric)
    assert (rows == truth).mean() > 0.999  # neighbours that differ in the last bit may change places
    assert np.allclose(scores, np.take_along_axis(every, truth, 1), atol=1e-5)


def test_vectors_may_be_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit_vectors(500)
    np.save(tmp_path / "vectors.npy", vectors)
    monkeypatch.setattr(exact, "BLOCK", 64)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    assert (exact_neighbours(mapped, vectors[:7], 1)[1][:, 0] == np.arange(7)).all()


@pytest.mark.parametrize(
    ("found", "truth", "k", "share"),
    [
        ([[1, 2, 3]], [[1, 2, 3]], 3, 1.0),
        ([[3, 1, 2]], [[1, 2, 3]], 3, 1.0),  # the order among the k does not count
        ([[9, 8, 1]], [[1, 2, 3]], 1, 0.0),
        ([[9, 8, 1]], [[1, 2, 3]], 3, 1 / 3),
        ([[1, 9, 9], [4, 5, 9]], [[1, 2, 3], [4, 5, 6]], 3, 0.5),
        ([[1, -1, -1]], [[1, 2, 3]], 3, 1 / 3),
        ([[1]], [[1, 2, 3]], 3, 1 / 3),  # finding fewer than k is not forgiven
        ([[5, 6, 7, 1]], [[1]], 10, 0.0),  # one vector: k is cut to 1, and 1 was not first
        ([[1, 1, 1]], [[1, 2, 3]], 3, 1 / 3),  # the same row again finds nothing more
        ([[1, 2, 3, 4, 5]], [[5, 4, 3, 2, 1]], 2, 0.0),  # depth beyond k does not help
    ],
)
def test_recall_is_the_share_of_the_exact_neighbours_found(
    found: list[list[int]], truth: list[list[int]], k: int, share: float
) -> None:
    assert recall(np.array(found), np.array(truth), k) == pytest.approx(share)


def test_recall_divides_by_what_there_is_to_find_and_not_by_what_was_found() -> None:
    """The wrong way round, one sure hit of one found would be perfect."""
    assert recall(np.array([[7, -1, -1, -1]]), np.array([[7, 1, 2, 3]]), 4) == 0.25


@pytest.mark.parametrize(("queries", "vectors"), [(0, 5), (3, 0)])
def test_recall_of_nothing_is_whole(queries: int, vectors: int) -> None:
    empty = np.empty((queries, vectors), np.int64)
    assert recall(empty, empty, 10) == 1.0


def test_a_dozen_queries_are_compared_by_matrix_products() -> None:
    """FAISS's own limit would be hundreds of queries, and several times as slow for those below it."""
    assert faiss.cvar.distance_compute_blas_threshold == BLAS_FROM < 12 * 384
