import faiss
import numpy as np
import pytest

from slipway.evaluation import latency as module
from slipway.evaluation.latency import ROUNDS, SEARCHES, WARM_UP, latency, undisturbed
from tests.support.releases import unit_vectors


def test_single_searches_are_timed_in_turn_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.repeat(np.arange(SEARCHES), 2) * 10.0 + np.tile([0, 1], SEARCHES) * 0.002)
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(clock)))
    queries, seen, threads = unit_vectors(7), [], []

    def search(query: np.ndarray) -> None:
        assert query.shape == (1, queries.shape[1])
        seen.append(query[0])
        threads.append(faiss.omp_get_max_threads())

    before = faiss.omp_get_max_threads()
    assert latency(search, queries) == {"p50_ms": 2.0, "p95_ms": 2.0, "p99_ms": 2.0}
    assert len(seen) == WARM_UP + SEARCHES
    assert (np.array(seen[WARM_UP : WARM_UP + 14]) == np.tile(queries, (2, 1))).all()
    assert set(threads) == {1}
    assert faiss.omp_get_max_threads() == before


def test_the_threads_are_given_back_when_a_search_fails() -> None:
    before = faiss.omp_get_max_threads()

    def search(query: np.ndarray) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        latency(search, unit_vectors(2))
    assert faiss.omp_get_max_threads() == before


def test_the_least_disturbed_of_some_rounds_counts_with_all_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter([{"p50_ms": 1.0, "p95_ms": 19.0}, {"p50_ms": 1.1, "p95_ms": 2.0}, {"p50_ms": 0.9, "p95_ms": 3.0}])
    monkeypatch.setattr(module, "latency", lambda *_: next(rounds))
    assert ROUNDS == 3
    assert undisturbed(lambda query: None, unit_vectors(2)) == {"p50_ms": 1.1, "p95_ms": 2.0}
