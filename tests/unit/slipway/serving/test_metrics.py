import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from slipway.serving.metrics import ReleaseMetrics, Tally, Troubles
from slipway.serving.reader import Reader
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, publish, unit_vectors


def test_a_tally_counts_queries_and_calls() -> None:
    tally = Tally()
    tally.answered(1, 0.001)
    tally.answered(9, 0.1)
    tally.failed(3, ValueError("odd"))
    told = tally.loaded("r1", "2026-01-01")
    assert (told.release_id, told.at, told.queries, told.errors, told.latencies.total) == ("r1", "2026-01-01", 13, 3, 2)
    assert tally.last_error == "ValueError('odd')"
    metrics = ReleaseMetrics.of(told, tally.last_error)
    assert metrics.p50_ms == pytest.approx(1, rel=0.2)
    assert metrics.p99_ms == pytest.approx(100, rel=0.2)


def test_what_was_told_does_not_change() -> None:
    tally = Tally()
    tally.answered(1, 0.001)
    told = tally.loaded("r1", "2026-01-01")
    tally.answered(1, 0.001)
    assert (told.queries, told.latencies.total) == (1, 1)


def test_no_count_is_lost_between_threads() -> None:
    tally = Tally()

    def work() -> None:
        for _ in range(2000):
            tally.answered(2, 0.001)
            tally.failed(1, ValueError())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = tally.loaded("r1", "")
    assert (told.queries, told.errors, told.latencies.total) == (48_000, 16_000, 16_000)


def test_a_release_that_answered_nothing_has_no_times() -> None:
    metrics = ReleaseMetrics.of(Tally().loaded("r1", ""), None)
    assert (metrics.queries, metrics.p50_ms, metrics.p95_ms, metrics.p99_ms, metrics.last_error) == (0, *[None] * 4)


def test_troubles_come_and_go() -> None:
    troubles = Troubles()
    with troubles.noted("cache"):
        raise KeyError("odd")
    trouble = troubles.of("cache")
    assert trouble is not None and "odd" in trouble.what
    assert troubles.of("store") is None
    with troubles.noted("cache"):
        pass
    assert troubles.of("cache") is None


def test_a_reader_tells_its_state_as_json(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path / "scratch")
    live = publish(run)
    before = datetime.now(UTC)
    with Reader(run.store, tmp_path / "cache") as reader:
        reader.search_batch(unit_vectors(4))
        metrics = reader.metrics()
    assert (metrics.live, metrics.generation, metrics.is_confirmed, metrics.loads) == (live.release_id, 1, True, 1)
    assert timedelta(0) <= timedelta(seconds=metrics.live_age_seconds) < timedelta(hours=1)
    assert datetime.fromisoformat(metrics.live_since) >= before - timedelta(seconds=1)
    (release,) = metrics.releases
    assert (release.release_id, release.queries, release.errors) == (live.release_id, 4, 0)
    assert release.p50_ms is not None and release.p50_ms > 0
    told = json.loads(json.dumps(metrics.as_json()))
    assert told["releases"][0]["queries"] == 4
    assert told["last_refusal"] is None


def test_a_search_that_the_release_fails_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(MemoryStore(), tmp_path / "scratch")
    publish(run)
    reader = Reader(run.store, tmp_path / "cache")

    def failing(*_: object) -> None:
        raise RuntimeError("faiss")

    monkeypatch.setattr("slipway.serving.searcher.Searcher.search", failing)
    with pytest.raises(RuntimeError):
        reader.search(np.ones(16, np.float32))
    (release,) = reader.metrics().releases
    assert (release.queries, release.errors, release.last_error) == (1, 1, "RuntimeError('faiss')")
