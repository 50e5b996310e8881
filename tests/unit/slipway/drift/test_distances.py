import numpy as np
import pytest

from slipway.drift.distances import centroid_noise, centroid_shift, mmd, norms, repeated
from tests.support.drifting import cloud


def whole(first: int, second: int):  # type: ignore[no-untyped-def]
    members = np.zeros((1, first + second), dtype=np.float32)
    members[0, :first] = 1
    return members


def mmd_by_definition(first, second):  # type: ignore[no-untyped-def]
    """Lemma 6 of Gretton et al. (2012), sum by sum."""
    pooled = np.vstack([first, second]).astype(np.float64)
    apart = np.linalg.norm(pooled[:, None] - pooled[None], axis=2)
    width = np.median(apart[np.triu_indices(len(pooled), 1)] ** 2)

    def alike(x, y):  # type: ignore[no-untyped-def]
        return np.exp(-((x - y) ** 2).sum() / (2 * width))

    here = np.mean([alike(x, y) for i, x in enumerate(first) for j, y in enumerate(first) if i != j])
    there = np.mean([alike(x, y) for i, x in enumerate(second) for j, y in enumerate(second) if i != j])
    between = np.mean([alike(x, y) for x in first for y in second])
    return here + there - 2 * between


def test_mmd_is_the_unbiased_estimate_of_its_definition() -> None:
    first, second = cloud(30), cloud(20, subject=1)
    assert mmd(first, second)(whole(30, 20))[0] == pytest.approx(mmd_by_definition(first, second), abs=1e-5)


def test_mmd_leaves_out_the_pairs_of_members_that_both_samples_share() -> None:
    first = cloud(30)
    shared = [(place, place) for place in range(30)]
    assert mmd(first, first.copy(), shared)(whole(30, 30))[0] == pytest.approx(0, abs=1e-6)
    assert mmd(first, first.copy())(whole(30, 30))[0] < -0.01


def test_shared_pairs_are_left_out_wherever_a_permutation_puts_them() -> None:
    first, second = cloud(6), np.vstack([cloud(6)[:3], cloud(3, seed=9)])
    shared = [(place, place) for place in range(3)]
    swapped = whole(6, 6)
    swapped[0, [0, 6 + 1]] = swapped[0, [6 + 1, 0]]  # the first's 0 for the second's 1: both copies of 1 are in one now
    pooled = np.vstack([first, second])
    one, two = pooled[swapped[0] == 1], pooled[swapped[0] == 0]
    every = np.vstack([first, second]).astype(np.float64)
    apart = ((every[:, None] - every[None]) ** 2).sum(axis=2)
    kernel = np.exp(-apart / (2 * np.median(apart[np.triu_indices(12, 1)])))
    kept = np.ones((12, 12), dtype=bool)
    np.fill_diagonal(kept, False)
    for a, b in shared:
        kept[a, 6 + b] = kept[6 + b, a] = False
    inside, outside = np.flatnonzero(swapped[0] == 1), np.flatnonzero(swapped[0] == 0)
    means = [kernel[np.ix_(x, y)][kept[np.ix_(x, y)]].mean() for x, y in
             ((inside, inside), (outside, outside), (inside, outside))]  # fmt: skip
    assert len(one) == len(two) == 6
    assert mmd(first, second, shared)(swapped)[0] == pytest.approx(means[0] + means[1] - 2 * means[2], abs=1e-5)


def test_the_centroid_shift_is_the_distance_of_the_means() -> None:
    first, second = cloud(40), cloud(25, subject=1)
    expected = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert centroid_shift(first, second)(whole(40, 25))[0] == pytest.approx(expected, rel=1e-5)


def test_equal_vectors_and_norms_are_counted() -> None:
    vectors = np.vstack([cloud(5), cloud(5)[:2], np.zeros((1, 32), dtype=np.float32)])
    assert repeated(vectors) == 2
    assert norms(vectors)[-1] == 0
    assert norms(vectors)[:-1] == pytest.approx(1, abs=1e-6)


def test_chance_moves_a_centroid_less_than_its_bound() -> None:
    limit = centroid_noise(cloud(200), 200, 0.01)
    shifts = [np.linalg.norm(cloud(200, seed=2 * n).mean(0) - cloud(200, seed=2 * n + 1).mean(0)) for n in range(1, 60)]
    assert max(shifts) < limit < 2 * max(shifts)
