"""Measures of a sample's vectors: whether they are sound in themselves, and whether they lie where they lay before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.drift.distances import KERNEL_MOST, centroid_noise, centroid_shift, mmd, norms, repeated
from slipway.drift.measure import VECTORS, Measure, Rules, Sample, percent
from slipway.drift.permutations import Statistic, calibrate
from slipway.drift.shares import by_chance
from slipway.vectors import NORM_TOLERANCE

FEWEST = 20  # vectors or documents of a sample, below which it is not compared
CENTROID_FLOOR = 0.02  # a shift moves no query's mean inner product by more than itself: this is the width of a tie
MMD_FLOOR = 0.0002  # less than one document in ten of another subject gives, at this bandwidth
REPEATED_FLOOR = 0.01  # one vector in a hundred: fewer equal ones take no place in a top ten
TREND_FLOOR = 0.05  # of the centroid since the oldest record: a year of ordinary news stays below it


def sound(now: Sample, before: Sample | None, rules: Rules) -> list[Measure]:
    """Norms, zero vectors and equal vectors. None of them needs the live release to be of the same encoder.

    Alarms are the negation of what is in order, here and in `trend`: what is not a number is not in order.
    """
    lengths = norms(now.vectors)
    extremes = {"smallest": lengths.min(), "mean": lengths.mean(), "largest": lengths.max()}
    found = [_norm(which, float(value)) for which, value in extremes.items()]
    zeros = int((lengths == 0).sum())
    said = f"{zeros:,} of {len(lengths):,} vectors are zero" + (": the index cannot place them" if zeros else "")
    return [
        *found,
        Measure("zero_vectors", VECTORS, zeros, said, threshold=0, alarm=zeros > 0),
        _equal(now, before, rules),
    ]


def _norm(which: str, value: float) -> Measure:
    said = f"the {which} norm of the vectors is {value:.6f}, unit norm expected"
    return Measure(f"{which}_norm", VECTORS, value, said, alarm=not abs(value - 1) <= NORM_TOLERANCE)


def _equal(now: Sample, before: Sample | None, rules: Rules) -> Measure:
    here, count = repeated(now.vectors), len(now.vectors)
    said = f"{percent(here / count)} of the vectors of different texts equal another one"
    if before is None or min(count, len(before.vectors)) < FEWEST:
        return Measure("equal_vectors", VECTORS, here / count, said)
    there, others = repeated(before.vectors), len(before.vectors)
    limit = max(by_chance(here, count, there, others, rules.alpha), REPEATED_FLOOR)
    said += f", {percent(there / others)} in {before.name}"
    grown = here / count - there / others
    return Measure("equal_vectors", VECTORS, here / count, said, there / others, limit, grown > limit)


def moved(now: Sample, before: Sample, rules: Rules) -> list[Measure]:
    """Centroid shift and MMD² against the live release's vectors, which must be of the same encoder to be compared."""
    names = ("centroid_shift", "mmd")
    if now.encoder != before.encoder:
        said = f"not compared: {before.name} was made by another encoder, and its vectors are of another space"
        return [Measure(name, VECTORS, None, said) for name in names]
    if min(len(now.vectors), len(before.vectors)) < FEWEST:
        said = f"not compared: {len(now.vectors)} and {len(before.vectors)} vectors are too few to tell"
        return [Measure(name, VECTORS, None, said) for name in names]
    shared = _shared(now.hashes, before.hashes)
    centroid = centroid_shift(now.vectors, before.vectors)
    discrepancy = mmd(now.vectors, before.vectors, shared)
    return [
        _distance("centroid_shift", "the centroid of the vectors", centroid, CENTROID_FLOOR, now, before, rules),
        _distance("mmd", "the distribution of the vectors (MMD²)", discrepancy, MMD_FLOOR, now, before, rules),
    ]


def _distance(
    name: str, what: str, statistic: Statistic, floor: float, now: Sample, before: Sample, rules: Rules
) -> Measure:
    most = KERNEL_MOST if name == "mmd" else None
    first, second = len(now.vectors[:most]), len(before.vectors[:most])
    seen = calibrate(statistic, first, second, rules.alpha, rules.permutations, rules.seed)
    threshold, alarm = max(seen.threshold, floor), seen.over(floor)
    said = (
        f"{what} lies {max(seen.value, 0):.4f} from that of {before.name}, {'more' if alarm else 'not more'} than the "
        f"{threshold:.4f} that chance, or a change too small to matter, gives"
    )
    return Measure(name, VECTORS, seen.value, said, threshold=threshold, alarm=alarm)


def _shared(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int]]:
    places = {name: place for place, name in enumerate(second)}
    return [(place, places[name]) for place, name in enumerate(first) if name in places]


def centroid(sample: Sample) -> list[float]:
    """The sample's mean vector, as it is kept in a record; empty where that is not a number."""
    mean: npt.NDArray[np.float64] = sample.vectors.mean(axis=0, dtype=np.float64)
    if not np.isfinite(mean).all():
        return []
    return [round(float(value), 6) for value in mean]


def trend(now: Sample, oldest: Mapping[str, Any] | None, rules: Rules) -> Measure:
    """The centroid's shift since the oldest kept record of the same encoder (its facts), in which slow drift shows."""
    name = "centroid_trend"
    if oldest is None or min(len(now.vectors), oldest["sample"]["vectors"]) < FEWEST:
        return Measure(name, VECTORS, None, "not compared: no older record of this encoder has enough vectors")
    value = float(np.linalg.norm(now.vectors.mean(axis=0, dtype=np.float64) - np.asarray(oldest["centroid"])))
    noise = centroid_noise(now.vectors, oldest["sample"]["vectors"], rules.alpha) if math.isfinite(value) else 0.0
    limit = max(noise, TREND_FLOOR)
    said = f"the centroid lies {value:.4f} from that of {oldest['at']}, the oldest record of this encoder"
    return Measure(name, VECTORS, value, said, threshold=limit, alarm=not value <= limit)
