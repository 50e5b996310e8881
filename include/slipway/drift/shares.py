"""Comparing shares: of languages and lengths in two samples, and of rows or documents that have something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from slipway.drift.permutations import Members, Statistic


def total_variation(first: Sequence[Hashable], second: Sequence[Hashable]) -> Statistic:
    """Half the sum of the differences between the categories' shares, for `permutations.calibrate`.

    It is the share of documents that would have to be of another category for the two to be the same.
    """
    places = {category: place for place, category in enumerate(dict.fromkeys([*first, *second]))}
    one, two = len(first), len(second)
    marks = np.zeros((one + two, len(places)), dtype=np.float32)
    marks[np.arange(one + two), [places[category] for category in (*first, *second)]] = 1
    everywhere = marks.sum(axis=0, dtype=np.float64)

    def statistic(members: Members) -> npt.NDArray[np.float64]:
        here = (members @ marks).astype(np.float64)
        return np.asarray(np.abs(here / one - (everywhere - here) / two).sum(axis=1) / 2)

    return statistic


def most_changed(first: Sequence[Hashable], second: Sequence[Hashable]) -> tuple[Hashable, float, float]:
    """The category whose share differs most, and its share in either."""
    here, there = Counter(first), Counter(second)
    shares = {one: (here[one] / len(first), there[one] / len(second)) for one in sorted({*here, *there}, key=str)}
    name = max(shares, key=lambda one: abs(shares[one][0] - shares[one][1]))
    return name, *shares[name]


def by_chance(first: int, of_first: int, second: int, of_second: int, alpha: float) -> float:
    """The difference between two shares that chance exceeds, in either direction, with a probability of at most alpha.

    The normal approximation of the pooled share with continuity correction, which errs on the side of silence.
    """
    pooled = (first + second) / (of_first + of_second)
    deviation: float = (pooled * (1 - pooled) * (1 / of_first + 1 / of_second)) ** 0.5
    return NormalDist().inv_cdf(1 - alpha / 2) * deviation + (1 / of_first + 1 / of_second) / 2
