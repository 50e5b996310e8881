import numpy as np
import pytest

from slipway.index.build import build
from slipway.index.exact import exact_neighbours
from slipway.index.live import Live, findable, nearest
from tests.support.releases import clustered_vectors, spec, unit_vectors

VECTORS = unit_vectors(400)
QUERIES = unit_vectors(20, seed=4)


class Counting:
    """An index that remembers how many rows it was asked for, and for how many queries."""

    def __init__(self, index: object) -> None:
        self.index, self.asked = index, []

    def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append((len(queries), count))
        return self.index.search(queries, count)


def some(rows: int, gone: list[int]) -> Live:
    mask = np.ones(rows, dtype=bool)
    mask[gone] = False
    return Live.of(mask)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("count", [1, 10, 37])
def test_it_finds_the_nearest_of_those_that_live(share: float, count: int) -> None:
    index = build(VECTORS, spec("Flat"), 1_000, 40)
    live = some(400, np.random.default_rng(1).choice(400, int(share * 400), replace=False).tolist())
    scores, rows = nearest(index, live, QUERIES, count)
    kept = np.flatnonzero(live.mask)
    expected, places = exact_neighbours(VECTORS[kept], QUERIES, count)
    assert (rows == kept[places]).all()
    assert scores == pytest.approx(expected, abs=1e-5)


def test_tombstones_that_lie_thick_around_one_query_make_it_ask_again_for_that_one() -> None:
    index = Counting(build(VECTORS, spec("Flat"), 1_000, 40))
    around = exact_neighbours(VECTORS, QUERIES[:1], 60)[1][0].tolist()
    live = some(400, around)
    rows = nearest(index, live, QUERIES[[5, 0, 9]], 10)[1]
    assert (rows >= 0).all()
    assert live.mask[rows].all()
    assert index.asked[0] == (3, 12)  # 10 of 340 live, among 400
    assert [queries for queries, _ in index.asked[1:]] == [1] * len(index.asked[1:])
    assert rows[1].tolist() == exact_neighbours(VECTORS, QUERIES[:1], 70)[1][0][60:].tolist()


def test_without_tombstones_exactly_as_many_are_asked_for() -> None:
    index = Counting(build(VECTORS, spec("Flat"), 1_000, 40))
    nearest(index, some(400, []), QUERIES, 10)
    assert index.asked == [(20, 10)]


@pytest.mark.parametrize("factory", ["Flat", "HNSW16"])
def test_more_than_there_are_leaves_places_empty(factory: str) -> None:
    index = build(VECTORS[:20], spec(factory), 1_000, 40)
    rows = nearest(index, some(20, [3, 4, 5]), QUERIES, 20)[1]
    assert (rows[:, :17] >= 0).all()
    assert (rows[:, 17:] == -1).all()
    assert not set(rows.ravel().tolist()) & {3, 4, 5}


def test_no_query_and_no_row_find_nothing() -> None:
    index = build(VECTORS[:20], spec("Flat"), 1_000, 40)
    assert nearest(index, some(20, [1]), QUERIES[:0], 5)[1].shape == (0, 5)
    dead = nearest(index, some(20, list(range(20))), QUERIES, 5)[1]
    assert (dead == -1).all()


def test_a_graph_visits_as_many_as_are_asked_for() -> None:
    vectors = clustered_vectors(2_000)
    index = build(vectors, spec("HNSW16"), 1_000, 40)
    index.hnsw.efSearch = 16
    gone = np.random.default_rng(1).choice(2_000, 300, replace=False).tolist()
    rows = nearest(index, some(2_000, gone), clustered_vectors(5, seed=1), 200)[1]
    assert (rows >= 0).all()


def test_an_inverted_file_has_no_tombstones_to_find() -> None:
    index = build(VECTORS, spec("IVF4,Flat"), 1_000, 40)
    mask = np.arange(400) >= 100
    assert findable(index, mask).count == 400
    assert findable(build(VECTORS, spec("HNSW16"), 1_000, 40), mask).count == 300
