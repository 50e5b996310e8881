"""The measurement of the gate's power, on made-up systems of 4,000 questions."""

from collections import Counter

import numpy as np
import pytest

from benchmarks.power import Pair, outcome, outcomes, refused
from slipway.config.judging import Judging

JUDGING = Judging(resamples=1_000)
MARGIN = 0.02
QUESTIONS = 4_000


@pytest.fixture(scope="module")
def live() -> np.ndarray:
    """nDCG@10 of one relevant document a question: 1 / log2(1 + rank), or 0."""
    ranks = np.random.default_rng(1).geometric(0.5, QUESTIONS)
    return np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0)


def shaken(live: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Another build: a share of the questions is answered as another question is, so the mean stays."""
    drawn = np.random.default_rng(seed)
    moved = drawn.random(len(live)) < share
    return np.where(moved, drawn.permutation(live), live)


def spoiled(live: np.ndarray, loss: float, seed: int) -> np.ndarray:
    """A system that finds nothing for as many questions as lose so much of the mean."""
    lost = np.random.default_rng(seed).random(len(live)) < loss / live.mean()
    return np.where(lost, 0.0, live)


def test_equal_systems_are_seldom_refused(live: np.ndarray) -> None:
    pairs = [Pair(shaken(live, 0.02, n), shaken(live, 0.02, n + 1), shaken(live, 0.02, n + 2)) for n in range(0, 30, 3)]
    assert refused(outcomes(pairs, 60, 500, MARGIN, JUDGING, seed=3)) <= 0.05


def test_a_loss_of_twice_the_margin_is_nearly_always_refused(live: np.ndarray) -> None:
    pair = Pair(spoiled(live, 2 * MARGIN, 5), live, spoiled(live, 2 * MARGIN, 6))
    assert (pair.live - pair.candidate).mean() == pytest.approx(2 * MARGIN, abs=0.008)
    assert refused(outcomes([pair], 60, 500, MARGIN, JUDGING, seed=4)) >= 0.9


def test_few_golden_queries_mostly_leave_it_undecided(live: np.ndarray) -> None:
    made = outcomes([Pair(shaken(live, 0.5, 7), live, live)], 20, 30, MARGIN, JUDGING, seed=5)
    assert made["undecided"] >= 14
    assert made["fail"] <= 2


def test_what_is_drawn_decides_and_nothing_else(live: np.ndarray) -> None:
    pair = Pair(shaken(live, 0.1, 8), live, live)
    assert outcomes([pair], 10, 200, MARGIN, JUDGING, 6) == outcomes([pair], 10, 200, MARGIN, JUDGING, 6)
    assert outcome(Pair(live, live, live), np.arange(100), MARGIN, JUDGING) == "pass"


def test_refused_is_what_does_not_pass() -> None:
    assert refused(Counter({"pass": 6, "undecided": 1, "fail": 3})) == pytest.approx(0.4)
