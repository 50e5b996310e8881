import numpy as np
import pytest

from slipway.drift import permutations
from slipway.drift.permutations import BLOCK, Calibrated, calibrate


def first_mean(values: list[float]):  # type: ignore[no-untyped-def]
    held = np.asarray(values)
    return lambda members: (members @ held) / members.sum(axis=1)


def test_the_value_is_that_of_the_samples_as_they_are() -> None:
    assert calibrate(first_mean([1.0, 2.0, 3.0, 40.0]), 2, 2, 0.05, 99, 1).value == 1.5


def test_a_threshold_is_exceeded_by_chance_as_often_as_alpha_says() -> None:
    random = np.random.default_rng(3)
    over = 0
    for seed in range(300):
        drawn = random.normal(size=60)
        seen = calibrate(first_mean(list(drawn)), 30, 30, 0.05, 199, seed)
        over += seen.value > seen.threshold
    assert 2 <= over <= 30  # 15 expected; the probability of leaving this range is below 1 in 1,000


def test_more_permutations_are_made_where_alpha_could_not_be_told() -> None:
    random = np.random.default_rng(1)
    values = list(random.normal(size=200))
    made = []

    def counted(members):  # type: ignore[no-untyped-def]
        made.append(len(members))
        return first_mean(values)(members)

    calibrate(counted, 100, 100, 0.001, 99, 1)
    assert sum(made) == 999 + 1


def test_the_same_seed_gives_the_same_threshold() -> None:
    values = list(np.random.default_rng(5).normal(size=100))
    once = calibrate(first_mean(values), 50, 50, 0.01, 199, 7)
    assert once == calibrate(first_mean(values), 50, 50, 0.01, 199, 7)
    assert once.threshold != calibrate(first_mean(values), 50, 50, 0.01, 199, 8).threshold


@pytest.mark.parametrize(("value", "over"), [(0.5, True), (0.25, False), (0.15, False)])
def test_an_alarm_needs_a_practical_size_beside_the_threshold(value: float, over: bool) -> None:
    assert Calibrated(value, 0.2).over(0.3) is over


def test_all_measures_cut_alike_and_each_cut_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    permutations._drawn.cache_clear()
    expected = np.random.default_rng(5)
    members = np.repeat(np.float32([1, 0]), [13, 7])
    whole = [expected.permuted(np.tile(members, (count, 1)), axis=1) for count in (BLOCK, 44)]
    seen: list[np.ndarray] = []

    def statistic(cuts: np.ndarray) -> np.ndarray:
        seen.append(cuts)
        return cuts.sum(axis=1, dtype=np.float64)

    first = calibrate(statistic, 13, 7, 0.05, BLOCK + 44, seed=5)
    monkeypatch.setattr(np.random, "default_rng", None)  # nothing is drawn any more
    assert calibrate(statistic, 13, 7, 0.05, BLOCK + 44, seed=5) == first == Calibrated(13, 13)
    shuffled = [one for one in seen if len(one) > 1]
    assert [len(one) for one in shuffled] == [BLOCK, 44, BLOCK, 44]
    assert all(np.array_equal(one, drawn) for one, drawn in zip(shuffled, whole + whole, strict=True))
    assert shuffled[0].dtype == np.float32
