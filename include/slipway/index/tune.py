"""Choosing search-time parameters on tuning queries: the least effort of a ladder that finds enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.config.index import SearchParameters
from slipway.index.build import set_parameters
from slipway.index.exact import recall
from slipway.index.spec import Spec, default_parameters

TARGET = 0.99  # recall@10 that queries should find, where no contract says
PLATEAU = 0.001  # of recall, not worth a dearer rung
MIN_QUERIES = 20  # fewer tell too little
CLOSE = 1.125  # a bisection ends when the effort is known within this factor
FACTOR = "k_factor_rf"  # times k results are scored again
FACTORS = (80, 40, 20, 10, 5, 2)
SCORED_AGAIN = 100  # codes scanned in the time in which one vector is scored again; measured with fast scan
LINKS = 32  # of a graph's node

Search = Callable[[npt.NDArray[np.float32], int], tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]
Parameters = dict[str, int]


def tune(
    index: Any,
    spec: Spec,
    asked: SearchParameters,
    queries: npt.NDArray[np.float32],
    truth: npt.NDArray[np.int64],
    target: float = TARGET,
    search: Search | None = None,
) -> tuple[Parameters, str]:
    """Search-time parameters and the reason for them in a sentence; leaves them set on the index.

    `search` is how the index is searched where not by its own method: it may have rows that must not be found.

    `truth` holds the exact neighbours' rows of each tuning query, best first. Parameters that were asked for stay.
    The ladder is climbed to the first rung that reaches the target, and the effort (efSearch, nprobe) bisected between
    that and the rung before. Where results are scored again, how many is chosen together with the effort.
    """
    parameters = default_parameters(spec, asked)
    if len(queries) < MIN_QUERIES:
        set_parameters(index, parameters)
        return parameters, f"defaults: {len(queries)} tuning queries are too few to tune on (at least {MIN_QUERIES})"
    trials = _Trials(index, queries, truth, target, search or index.search)
    found, rung = _least(trials, spec, asked)
    set_parameters(index, rung)
    if found >= target:
        return rung, f"smallest tried with recall@10 of {target:g} on {len(queries)} tuning queries ({found:.3f})"
    return rung, (
        f"smallest tried of those that find the most; recall@10 on {len(queries)} tuning queries is {found:.3f}, "
        f"under the aim of {target:g}"
    )


def ladder(spec: Spec, asked: SearchParameters) -> Iterator[Parameters]:
    """Parameter sets from cheap to dear; what was asked for stays as it is."""
    defaults = default_parameters(spec, asked)
    if spec.is_hnsw and asked.ef_search is None:
        for ef_search in (16, 32, 64, 128, 256, 512):
            yield {**defaults, "efSearch": ef_search}
    elif spec.lists and asked.nprobe is None:
        nprobe = 4
        while nprobe < spec.lists:
            yield {**defaults, "nprobe": nprobe}
            nprobe *= 2
        yield {**defaults, "nprobe": spec.lists}
    else:
        yield defaults


@dataclass(slots=True)
class _Trials:
    """What each parameter set found of the tuning queries' neighbours; none is searched with twice."""

    index: Any
    queries: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]
    target: float
    search: Search
    seen: dict[tuple[int, ...], float] = field(default_factory=dict)

    def found(self, rung: Parameters) -> float:
        """recall@10 with these parameters."""
        key = tuple(rung.values())
        if key not in self.seen:
            set_parameters(self.index, rung)
            self.seen[key] = recall(self.search(self.queries, 10)[1], self.truth, 10)
        return self.seen[key]

    def reaches(self, rung: Parameters) -> bool:
        """Whether that is the target."""
        return self.found(rung) >= self.target


def _least(trials: _Trials, spec: Spec, asked: SearchParameters) -> tuple[float, Parameters]:
    """The least parameters that reach the target, or else the least of those that find the most; and their recall."""
    rungs = list(ladder(spec, asked))
    best = _refined(trials, spec, rungs) if spec.refines and asked.refine_factor is None else _climb(trials, rungs)
    return trials.found(best), best


def _refined(trials: _Trials, spec: Spec, rungs: list[Parameters]) -> Parameters:
    """The cheapest pair of effort and refinement: more of one needs less of the other.

    With the most refinement first, so that what the effort must be at least is known; then with less, as long as that
    is cheaper.
    """
    best = _climb(trials, [{**rung, FACTOR: FACTORS[0]} for rung in rungs])
    for factor in FACTORS[1:]:
        several = [{**rung, FACTOR: factor} for rung in rungs]
        if trials.reaches(best):
            several = [rung for rung in several if _cost(trials, spec, rung) < _cost(trials, spec, best)]
            step = _climb(trials, several) if several else best
            if not trials.reaches(step):
                break
            best = min(best, step, key=lambda rung: _cost(trials, spec, rung))
        elif trials.found({**best, FACTOR: factor}) >= trials.found(best) - PLATEAU:
            best = {**best, FACTOR: factor}
    return _bisect(trials, FACTOR, {**best, FACTOR: 1}, best) if trials.reaches(best) else best


def _cost(trials: _Trials, spec: Spec, rung: Parameters) -> float:
    """What one search costs, in codes that are scanned: a vector that is scored again costs as much as many of them."""
    visited = trials.index.ntotal * rung["nprobe"] / spec.lists if spec.lists else LINKS * rung.get("efSearch", 0)
    return float(visited + SCORED_AGAIN * 10 * rung[FACTOR])


def _climb(trials: _Trials, rungs: list[Parameters]) -> Parameters:
    """The least that reaches the target, between two rungs where the effort differs; else the least of the best."""
    below: Parameters | None = None
    for rung in rungs:
        if trials.reaches(rung):
            effort = next((name for name in rung if below is not None and rung[name] != below[name]), None)
            return _bisect(trials, effort, below, rung) if below is not None and effort else rung
        below = rung
    best = max(trials.found(rung) for rung in rungs)
    return next(rung for rung in rungs if trials.found(rung) >= best - PLATEAU)


def _bisect(trials: _Trials, name: str, low: Parameters, high: Parameters) -> Parameters:
    """The least value of one parameter that reaches the target, within `CLOSE`; `high` is known to reach it."""
    if trials.reaches(low):
        return low
    while high[name] > low[name] * CLOSE and high[name] - low[name] > 1:
        middle = {**low, name: round(math.sqrt(low[name] * high[name]))}
        if middle[name] in (low[name], high[name]):
            middle[name] = (low[name] + high[name]) // 2
        if trials.reaches(middle):
            high = middle
        else:
            low = middle
    return high
