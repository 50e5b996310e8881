"""Whether a candidate lost against the live release: a margin, an interval of the difference, and three answers.

Not inferior where the interval lies above the margin; worse where it lies below zero, and beyond what building the same
index twice changes, and the margin is not kept; undecided else. Undecided is not a pass: it says that the golden
queries are too few to tell.

The bootstrap draws again what was drawn, and knows nothing of queries of a kind that no golden query is of. n golden
queries hold none of a kind that is more than s = 1 − alpha^(1/n) of all queries with a chance below alpha; and such a
query loses at most all that it has, which is taken to be what the live release has in the mean. So in an upgrade, which
may break one kind of query and leave the others as they are, the lower bound is
min(bootstrap's, difference − s · live mean). A night of the settings that are live is judged by the bootstrap alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.evaluation.bootstrap import intervals
from slipway.evaluation.signs import signed
from slipway.evaluation.tone import floor_of_slice, tone

DIGITS = 6  # of a measured number after the point
WHAT_TO_DO = "add some, or allow it (a night by --allow-undecided, an upgrade by an approval with a comment)"
TOO_FEW = f"undecided, too few golden queries to tell: {WHAT_TO_DO}"


class Outcome(Enum):
    """What is said of one loss."""

    PASS = 1
    FAIL = 2
    UNDECIDED = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of two systems on the same queries: the means, and candidate − live with its interval.

    `low` and `high` are None where there are too few queries for one, and where the live release's queries were not
    measured one by one. `changed` is how many queries differ, `worse` how many of them for the worse.
    """

    candidate: float
    live: float
    difference: float
    low: float | None
    high: float | None
    queries: int
    changed: int
    worse: int

    def as_json(self) -> dict[str, Any]:
        """As facts have it, rounded."""
        names = ("candidate", "live", "difference", "low", "high")
        values = {name: getattr(self, name) for name in names}
        rounded = {name: None if value is None else round(value, DIGITS) for name, value in values.items()}
        return {**rounded, "changed": self.changed, "worse": self.worse}


def differences(
    metrics: Sequence[str],
    candidate: npt.NDArray[np.float64],
    live: npt.NDArray[np.float64],
    resamples: int,
    alpha: float,
    min_queries: int,
) -> dict[str, Difference]:
    """The difference of each metric. Both arrays are (queries, metrics) float64, of one query or more."""
    apart = np.round(candidate - live, 9)  # equal rankings are equal, in whatever order their gains were summed up
    bounds: Sequence[Any] = [None] * len(metrics)
    if len(apart) >= max(min_queries, 2):
        bounds = intervals(apart, resamples, alpha)
    return {
        metric: Difference(
            candidate=float(candidate[:, column].mean()),
            live=float(live[:, column].mean()),
            difference=float(apart[:, column].mean()),
            low=bounds[column].low if bounds[column] else None,
            high=bounds[column].high if bounds[column] else None,
            queries=len(apart),
            changed=int(np.count_nonzero(apart[:, column])),
            worse=int((apart[:, column] < 0).sum()),
        )
        for column, metric in enumerate(metrics)
    }


@dataclass(frozen=True, slots=True)
class Against:
    """What a candidate is judged against: its comparison with the live release.

    `alpha` is the error rate of each interval over all queries, `slice_alpha` of each over a slice: slices are many, so
    that is alpha divided by their number (Bonferroni). `floors` is what building the same index twice changes, by
    metric. `same_encoder`: both are of one vector space. `min_queries`: with fewer, no interval is trusted. `upgrade`:
    the candidate has another encoder or other index settings, and must not lose in what was not asked either.
    `dropped`: how many queries the metrics by themselves have in them, and the comparison has not.
    """

    overall: Mapping[str, Difference]
    by_slice: Mapping[str, Mapping[str, Difference]]
    alpha: float
    slice_alpha: float
    floors: Mapping[str, float]
    same_encoder: bool
    min_queries: int
    upgrade: bool = False
    dropped: int = 0

    @classmethod
    def of(cls, facts: Mapping[str, Any], upgrade: bool = False) -> Against:
        """From the facts of a comparison (see slipway.stages.comparison)."""
        encoders, queries = facts["encoders"], facts["queries"]
        return cls(
            overall={name: _difference(one, queries) for name, one in facts["metrics"].items()},
            by_slice={
                slice_: {name: _difference(one, its["queries"]) for name, one in its["metrics"].items()}
                for slice_, its in facts["by_slice"].items()
            },
            alpha=facts["alpha"],
            slice_alpha=facts["slice_alpha"],
            floors=facts["noise"] or {},
            same_encoder=encoders["candidate"]["fingerprint"] == encoders["live"]["fingerprint"],
            min_queries=facts["min_queries"],
            upgrade=upgrade,
            dropped=len(facts["dropped"]),
        )

    def judge(self, metric: str, margin: float) -> tuple[Outcome, str]:
        """Whether the loss over all queries is within the margin, in a sentence."""
        found, floor = self.overall[metric], self.floors.get(metric, 0.0)
        judging = self._of(metric)
        outcome = judging._outcome(found, margin, floor, self.alpha)
        says = judging._says(outcome, found, margin, floor, self.alpha)
        left_out = f" without {self.dropped:,} of the queries, whose judged documents are gone" if self.dropped else ""
        return outcome, f"{self._told(found, self.alpha)}{left_out}, {_allowed(margin)}: {says}"

    def judge_slices(self, metric: str, margin: float) -> tuple[Outcome, str]:
        """Whether the loss in every slice is within the margin, in a sentence that names the slices where it is not."""
        floor = self.floors.get(metric, 0.0)
        found = {name: slice_[metric] for name, slice_ in self.by_slice.items() if metric in slice_}
        if not found:
            return Outcome.UNDECIDED, "the live release was not measured query by query, so slices are undecided"
        floors = {name: floor_of_slice(floor, self.overall[metric].queries, one.queries) for name, one in found.items()}
        judging = self._of(metric)
        outcomes = {name: judging._outcome(one, margin, floors[name], self.slice_alpha) for name, one in found.items()}
        for outcome in (Outcome.FAIL, Outcome.UNDECIDED):
            if names := [name for name, its in outcomes.items() if its is outcome]:
                told = "; ".join(f"slice {name} {self._told(found[name], self.slice_alpha)}" for name in names)
                says = judging._says(outcome, found[names[0]], margin, floors[names[0]], self.slice_alpha)
                return outcome, f"{told}; {_allowed(margin)} in a slice: {says}"
        return Outcome.PASS, f"{_allowed(margin)} in a slice, and none of {len(found)} lost more"

    def _of(self, metric: str) -> Against:
        """With or without the bound on what was not asked: it is about what people ask, and recall is about the index,
        which answers any vector; a graph or a list that is broken for some shows in the interval of the others.
        """
        return replace(self, upgrade=False) if metric.startswith("recall_") and self._has_enough() else self

    def _has_enough(self) -> bool:
        return all(one.queries >= self.min_queries for one in self.overall.values())

    def _outcome(self, found: Difference, margin: float, floor: float, alpha: float) -> Outcome:
        if found.low is None or found.high is None:
            return self._without_interval(found, margin, alpha)
        if _kept(found.low, margin):
            return Outcome.UNDECIDED if self._hidden(found, margin, alpha) else Outcome.PASS
        # If both were equal, each query that differs would as well differ the other way: m losses have chance 1 / 2^m.
        enough = found.changed >= math.log2(1 / alpha)
        return Outcome.FAIL if enough and found.high < -floor else Outcome.UNDECIDED

    def _without_interval(self, found: Difference, margin: float, alpha: float) -> Outcome:
        if found.queries >= self.min_queries:  # of the live release only the mean is known
            if not _kept(found.difference, margin):
                return Outcome.FAIL
            return Outcome.UNDECIDED if self._hidden(found, margin, alpha) else Outcome.PASS
        passed = self.same_encoder and not found.worse and not self.upgrade
        return Outcome.PASS if passed else Outcome.UNDECIDED

    def _hidden(self, found: Difference, margin: float, alpha: float) -> bool:
        """Whether an upgrade may lose more than the margin by what was not asked."""
        return self.upgrade and not _kept(found.difference - unseen_loss(found, alpha), margin)

    def _says(self, outcome: Outcome, found: Difference, margin: float, floor: float, alpha: float) -> str:
        if outcome is Outcome.FAIL:
            return "worse"
        if outcome is Outcome.UNDECIDED:
            seen = found.difference if found.low is None else found.low
            if found.queries < self.min_queries or not _kept(seen, margin):
                return TOO_FEW
            loss = f"a loss of {unseen_loss(found, alpha):.3g} in what was not asked"
            return f"undecided, too few queries to rule out {loss}: {WHAT_TO_DO}"
        if abs(found.difference) <= floor:
            return f"no win and no loss, as building the same index again changes up to {floor:.3g}"
        return "better" if tone(found.low, found.high, floor) == "better" else "not worse"

    def _told(self, found: Difference, alpha: float) -> str:
        told = f"{signed(found.difference)} against the live {found.live:.4g}"
        if found.low is not None and found.high is not None:
            interval = f"{100 * (1 - 2 * alpha):.4g} % interval {signed(found.low)} to {signed(found.high)}"
            return f"{told} ({interval}, {found.queries:,} queries)"
        if found.queries >= self.min_queries:
            return f"{told} (as it was measured before its release)"
        few = f"{found.queries:,} queries, of which {found.worse:,} got worse"
        return f"{told} ({few}; an interval needs judging.min_queries, {self.min_queries:,})"


def unseen_loss(found: Difference, alpha: float) -> float:
    """How much of the metric all queries together may lose by those of a kind that was not asked (see the top)."""
    return float((1 - alpha ** (1 / found.queries)) * found.live)


def _kept(lowest: float, margin: float) -> bool:
    return lowest >= -margin - 1e-9  # 0.5 - 0.48 is a little more than 0.02 in binary


def _difference(facts: Mapping[str, Any], queries: int) -> Difference:
    return Difference(queries=queries, **facts)


def _allowed(margin: float) -> str:
    return f"allowed is a loss of {margin:.4g}"
