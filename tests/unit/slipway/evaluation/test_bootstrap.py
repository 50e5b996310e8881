import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slipway.evaluation import bootstrap
from slipway.evaluation.bootstrap import intervals, noise, resampled_means


def columns(*values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float64).T


def test_an_interval_holds_the_mean_and_is_wider_for_more_certainty() -> None:
    drawn = columns(list(np.random.default_rng(1).normal(0.1, 0.3, 60)))
    (narrow,), (wide,) = intervals(drawn, 2_000, 0.05), intervals(drawn, 2_000, 0.005)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high
    assert narrow.mean == pytest.approx(drawn.mean())


def test_of_many_samples_about_alpha_lie_beyond_each_bound() -> None:
    """What the golden queries of two systems look like: most differences are zero. 400 samples, 5 % a side."""
    drawn = np.random.default_rng(7)
    moved = drawn.random((400, 50)) < 0.3
    samples = np.where(moved, drawn.choice([-1.0, -0.37, 0.37, 1.0], size=(400, 50)), 0.0)
    found = [intervals(sample[:, None], 1_000, 0.05)[0] for sample in samples]
    assert 4 <= sum(one.high < 0 for one in found) <= 36
    assert 4 <= sum(one.low > 0 for one in found) <= 36


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(2, 40), st.just(1)), elements=st.floats(-1, 1, width=32)))
def test_the_other_way_round_is_the_same_interval_turned_round(differences: np.ndarray) -> None:
    (there,), (back,) = intervals(differences, 1_000, 0.05), intervals(-differences, 1_000, 0.05)
    assert (back.mean, back.low, back.high) == pytest.approx((-there.mean, -there.high, -there.low), abs=1e-9)


def test_blocks_of_any_size_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = np.random.default_rng(2).normal(size=(37, 3))
    whole = resampled_means(drawn, 100)
    monkeypatch.setattr(bootstrap, "BLOCK", 37 * 7)
    assert np.allclose(resampled_means(drawn, 100), whole)
    monkeypatch.setattr(bootstrap, "BLOCK", 1)
    assert np.allclose(resampled_means(drawn, 100), whole)
    assert whole.shape == (100, 3)


def test_columns_are_judged_as_if_alone() -> None:
    drawn = np.random.default_rng(3).normal(size=(30, 2))
    both = intervals(drawn, 1_000, 0.05)
    for column in (0, 1):
        (alone,) = intervals(drawn[:, [column]], 1_000, 0.05)
        assert (both[column].low, both[column].high) == pytest.approx((alone.low, alone.high))


@pytest.mark.parametrize(
    ("share", "freedom", "quantile"),
    [(0.05, 19, -1.7291), (0.05, 99, -1.6604), (0.005, 29, -2.7564), (0.025, 9, -2.2622)],  # printed tables
)
def test_students_quantiles(share: float, freedom: int, quantile: float) -> None:
    assert bootstrap._student(share, freedom) == pytest.approx(quantile, abs=2e-3)


def test_noise_is_what_chance_alone_may_show() -> None:
    drawn = np.random.default_rng(4).choice([-0.1, 0.1], size=(400, 1))
    floor = noise(np.hstack([drawn, np.zeros((400, 1))]), 4_000, 0.05)
    assert floor[0] == pytest.approx(abs(drawn.mean()) + 1.96 * 0.1 / 20, abs=0.006)
    assert floor[1] == 0
