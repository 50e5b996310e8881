"""The measurement of the gate's power, on made-up systems of 4,000 questions."""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.power import Pair, measure, outcome, outcomes, refused, sparse
from slipway.config.judging import Judging

JUDGING = Judging(resamples=1_000)
MARGIN = 0.02
QUESTIONS = 4_000


@pytest.fixture(scope="module")
def live() -> np.ndarray:
    """nDCG@10 of one relevant document a question: 1 / log2(1 + rank), or 0."""
    ranks = np.random.default_rng(1).geometric(0.5, QUESTIONS)
    gains = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0)
    return np.stack([gains, np.ones(QUESTIONS)], axis=1)


def shaken(live: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Another build: a share of the questions is answered as another question is, so the mean stays."""
    drawn = np.random.default_rng(seed)
    moved = drawn.random(len(live)) < share
    return np.where(moved[:, None], drawn.permutation(live), live)


def test_equal_systems_are_seldom_refused(live: np.ndarray) -> None:
    pairs = [Pair(shaken(live, 0.02, n), shaken(live, 0.02, n + 1), shaken(live, 0.02, n + 2)) for n in range(0, 30, 3)]
    assert refused(outcomes(pairs, 60, 500, MARGIN, JUDGING, seed=3)) <= 0.05


def test_a_loss_of_twice_the_margin_is_nearly_always_refused(live: np.ndarray) -> None:
    pair = sparse(Pair(live, live, live), 2 * MARGIN, 5)
    assert (pair.live - pair.candidate)[:, 0].mean() == pytest.approx(2 * MARGIN, abs=0.008)
    assert refused(outcomes([pair], 60, 500, MARGIN, JUDGING, seed=4)) >= 0.9


def test_few_golden_queries_mostly_leave_it_undecided(live: np.ndarray) -> None:
    made = outcomes([Pair(shaken(live, 0.5, 7), live, live)], 20, 30, MARGIN, JUDGING, seed=5)
    assert made["undecided"] >= 14
    assert made["fail"] <= 2


def test_what_is_drawn_decides_and_nothing_else(live: np.ndarray) -> None:
    pair = Pair(shaken(live, 0.1, 8), live, live)
    assert outcomes([pair], 10, 200, MARGIN, JUDGING, 6) == outcomes([pair], 10, 200, MARGIN, JUDGING, 6)
    assert outcome(Pair(live, live, live), np.arange(400), MARGIN, JUDGING) == "pass"


def test_refused_is_what_does_not_pass() -> None:
    assert refused(Counter({"pass": 6, "undecided": 1, "fail": 3})) == pytest.approx(0.4)


def test_it_runs_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """Tiny, with an encoder of random vectors in which a question lies near its paragraph."""

    class Encoder:
        def encode_documents(self, texts: list[str]) -> np.ndarray:
            return self._vectors(texts, 0.0)

        def encode_queries(self, texts: list[str]) -> np.ndarray:
            return self._vectors(texts, 0.5)

        def _vectors(self, texts: list[str], noise: float) -> np.ndarray:
            made = np.random.default_rng(1).normal(size=(60, 16))
            made += noise * np.random.default_rng(2).normal(size=made.shape)
            return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)[: len(texts)]

    ids = [f"{number}" for number in range(60)]
    pq.write_table(pa.table({"doc_id": ids, "text": ids}), tmp_path / "corpus.parquet")
    pq.write_table(pa.table({"query_id": ids, "text": ids}), tmp_path / "queries.parquet")
    judged = {"query_id": ids, "doc_id": ids, "relevance": [1] * 60}
    pq.write_table(pa.table(judged), tmp_path / "qrels.parquet")
    monkeypatch.setattr("benchmarks.power.load_encoder", lambda described: Encoder())
    asked = argparse.Namespace(data=tmp_path, encoder="static", queries=[20, 40], runs=3, resamples=1_000, seed=1)
    made = measure(asked)
    assert {"alpha", "false_refusal_rate", "detection_rate", "runs", "queries"} < set(made)
    assert (made["queries"], made["runs"]) == (40, 3)
    for kind in ("equal", "loss", "sparse"):
        assert {queries: sum(counts.values()) for queries, counts in made[kind].items()} == {"20": 3, "40": 3}
    assert "| 20 |" in capsys.readouterr().out
