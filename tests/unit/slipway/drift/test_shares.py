import numpy as np
import pytest

from slipway.drift.permutations import calibrate
from slipway.drift.shares import by_chance, most_changed, total_variation


def test_total_variation_is_the_share_that_would_have_to_move() -> None:
    seen = calibrate(total_variation(["a"] * 8 + ["b"] * 2, ["a"] * 3 + ["c"]), 10, 4, 0.05, 99, 1)
    assert seen.value == pytest.approx(0.25)


def test_the_category_that_changed_most_is_named_with_both_shares() -> None:
    assert most_changed(["en"] * 9 + ["de"], ["en"] * 2 + ["fr"] * 2) == ("fr", 0.0, 0.5)


def test_two_shares_of_one_population_differ_by_more_than_chance_as_seldom_as_alpha_says() -> None:
    random = np.random.default_rng(11)
    over = 0
    for _ in range(2_000):
        first, second = (int(random.binomial(500, 0.1)) for _ in range(2))
        over += abs(first - second) / 500 > by_chance(first, 500, second, 500, 0.01)
    assert 0 < over <= 35  # 20 at most are expected; 35 is passed once in a thousand


def test_a_share_of_nothing_has_no_chance_to_differ_but_by_rounding() -> None:
    assert by_chance(0, 100, 0, 100, 0.001) == pytest.approx(0.01)
