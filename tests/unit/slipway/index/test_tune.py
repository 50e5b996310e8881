from typing import Any

import numpy as np
import pytest

from slipway.config.index import SearchParameters
from slipway.index import tune as module
from slipway.index.build import build, set_parameters
from slipway.index.exact import exact_neighbours, recall
from slipway.index.spec import Spec
from slipway.index.tune import CLOSE, MIN_QUERIES, tune
from tests.support.releases import clustered_vectors, spec, unit_vectors

VECTORS = clustered_vectors(3_000, 32)
QUERIES = clustered_vectors(60, 32, seed=1)
TRUTH = exact_neighbours(VECTORS, QUERIES, 10)[1]
NOTHING = SearchParameters()


class Pretended:
    """An index that finds more, the more it is allowed to visit: `shares` by the least value that finds so much."""

    def __init__(self, shares: dict[int, float]) -> None:
        self.shares, self.value, self.searched = shares, 0, 0

    def search(self, queries: Any, k: int) -> tuple[Any, Any]:
        self.searched += 1
        rows = TRUTH[:, :k].copy()
        missed = round((1 - max(share for least, share in self.shares.items() if least <= self.value)) * rows.size)
        rows.flat[:missed] = -1
        return rows.astype(np.float32), rows


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> type[Pretended]:
    monkeypatch.setattr(
        module, "set_parameters", lambda index, parameters: setattr(index, "value", next(iter(parameters.values())))
    )
    return Pretended


def test_the_cheapest_rung_that_finds_enough_is_taken(pretend: type[Pretended]) -> None:
    index = pretend({16: 0.9, 32: 0.98, 64: 0.993, 128: 1.0, 256: 1.0, 512: 1.0})
    parameters, reason = tune(index, spec("HNSW32"), NOTHING, QUERIES, TRUTH)
    assert (parameters, index.value) == ({"efSearch": 64}, 64)
    assert reason == "smallest tried with recall@10 of 0.99 on 60 tuning queries (0.993)"


@pytest.mark.parametrize("least", [16, 17, 33, 45, 64, 300, 512])
def test_the_effort_is_known_within_an_eighth(pretend: type[Pretended], least: int) -> None:
    index = pretend({0: 0.5, least: 1.0})
    parameters, _ = tune(index, spec("HNSW32"), NOTHING, QUERIES, TRUTH)
    assert least <= parameters["efSearch"] <= least * CLOSE + 1
    assert index.searched <= 12


def test_as_little_is_scored_again_as_finds_enough() -> None:
    chosen = spec("IVF32,PQ16x4fs,RFlat")
    index = build(VECTORS, chosen, 3_000, 40)
    parameters, _ = tune(index, chosen, NOTHING, QUERIES, TRUTH, target=0.9)
    assert recall(index.search(QUERIES, 10)[1], TRUTH, 10) >= 0.9
    set_parameters(index, {**parameters, "k_factor_rf": max(1, int(parameters["k_factor_rf"] / CLOSE) - 1)})
    assert recall(index.search(QUERIES, 10)[1], TRUTH, 10) < 0.9


def test_more_is_scored_again_where_the_codes_are_coarse() -> None:
    chosen = spec("IVF32,PQ2x4fs,RFlat")
    index = build(VECTORS, chosen, 3_000, 40)
    parameters, _ = tune(index, chosen, NOTHING, QUERIES, TRUTH)
    assert parameters["k_factor_rf"] > 10
    found = recall(index.search(QUERIES, 10)[1], TRUTH, 10)
    set_parameters(index, {**parameters, "k_factor_rf": 10})
    assert recall(index.search(QUERIES, 10)[1], TRUTH, 10) < found


def test_when_none_finds_enough_the_best_is_taken(pretend: type[Pretended]) -> None:
    index = pretend({16: 0.5, 32: 0.6, 64: 0.7, 128: 0.8, 256: 0.9, 512: 0.95})
    parameters, reason = tune(index, spec("HNSW32"), NOTHING, QUERIES, TRUTH)
    assert (parameters, index.value) == ({"efSearch": 512}, 512)
    assert "recall@10 on 60 tuning queries is 0.950, under the aim of 0.99" in reason


def test_a_dearer_rung_that_finds_no_more_is_not_taken(pretend: type[Pretended]) -> None:
    """Codes without refine never reach the aim: visiting every list would cost a lot for nothing."""
    index = pretend({4: 0.6, 8: 0.71, 16: 0.8, 32: 0.8, 64: 0.8})
    parameters, reason = tune(index, spec("IVF64,PQ8"), NOTHING, QUERIES, TRUTH)
    assert (parameters, index.value) == ({"nprobe": 16}, 16)
    assert reason.startswith("smallest tried of those that find the most; recall@10 on 60 tuning queries is 0.800")


@pytest.mark.parametrize(
    ("chosen", "asked", "expected"),
    [
        (spec("HNSW8"), SearchParameters(ef_search=17), {"efSearch": 17}),
        (spec("IVF32,Flat"), SearchParameters(nprobe=3), {"nprobe": 3}),
        (spec("IVF32,PQ8x4fs,RFlat"), SearchParameters(nprobe=3, refine_factor=2), {"nprobe": 3, "k_factor_rf": 2}),
        (spec("Flat"), SearchParameters(ef_search=9, nprobe=9), {}),
    ],
)
def test_what_was_asked_for_stays(chosen: Spec, asked: SearchParameters, expected: dict[str, int]) -> None:
    assert tune(build(VECTORS, chosen, 3_000, 40), chosen, asked, QUERIES, TRUTH)[0] == expected


def test_a_refine_factor_that_was_asked_for_stays_while_the_lists_are_tuned() -> None:
    chosen = spec("IVF32,PQ8x4fs,RFlat")
    index = build(VECTORS, chosen, 3_000, 40)
    parameters, _ = tune(index, chosen, SearchParameters(refine_factor=60), QUERIES, TRUTH)
    assert parameters["k_factor_rf"] == 60
    assert recall(index.search(QUERIES, 10)[1], TRUTH, 10) >= 0.99


@pytest.mark.parametrize("factory", ["HNSW8", "IVF32,Flat", "Flat", "IVF4,Flat", "IVF2,Flat"])
def test_what_was_chosen_is_left_set(factory: str) -> None:
    chosen = spec(factory)
    index = build(VECTORS, chosen, 3_000, 40)
    parameters, _ = tune(index, chosen, NOTHING, QUERIES, TRUTH)
    left = index.search(QUERIES, 10)[1]
    set_parameters(index, parameters)
    assert (index.search(QUERIES, 10)[1] == left).all()
    assert recall(left, TRUTH, 10) >= 0.99


@pytest.mark.parametrize("count", [0, MIN_QUERIES - 1])
def test_too_few_queries_leave_the_defaults(count: int) -> None:
    chosen = spec("HNSW8")
    index = build(VECTORS, chosen, 1, 40)
    parameters, reason = tune(index, chosen, NOTHING, QUERIES[:count], TRUTH[:count])
    assert (parameters, index.hnsw.efSearch) == ({"efSearch": 128}, 128)
    assert reason == f"defaults: {count} tuning queries are too few to tune on (at least {MIN_QUERIES})"


def test_fewer_than_ten_vectors_can_be_tuned_on() -> None:
    few = unit_vectors(4, 32)
    truth = exact_neighbours(few, QUERIES, 10)[1]
    assert tune(build(few, spec("HNSW8"), 1, 40), spec("HNSW8"), NOTHING, QUERIES, truth)[0] == {"efSearch": 16}
