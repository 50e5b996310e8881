"""Two systems' answers to the same golden queries, side by side: differences, slices, how alike the rankings are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.config.judging import Judging
from slipway.config.metrics import PER_QUERY
from slipway.evaluation.bootstrap import noise
from slipway.evaluation.golden import GoldenQuery
from slipway.evaluation.losses import DIGITS, Difference, differences
from slipway.evaluation.moved import Answered, Documents, moved
from slipway.evaluation.neighbours import overlap, rank_biased_overlap
from slipway.evaluation.relevance import relevance

RECALL = "recall_at_10"


@dataclass(frozen=True, slots=True)
class Judged:
    """The queries that both sides are judged on, by id, without judgments of documents that are not there.

    `dropped` are ids of queries of which no judged document is there, `gone` those documents of all queries.
    """

    queries: list[GoldenQuery]
    dropped: list[str]
    gone: list[str]


@dataclass(frozen=True, slots=True)
class Answers:
    """What one side found for each query, best first, and its recall@10 against exact search in its own space.

    `recalls` is (queries,) float64; None where it was not measured.
    """

    found: Sequence[Sequence[str]]
    recalls: npt.NDArray[np.float64] | None


def judged_by_both(queries: Sequence[GoldenQuery], candidate: Documents) -> Judged:
    """What is left to judge of the judging queries. In the order of ids, so that the order in the file is no matter."""
    wanted = {name for query in queries for name in query.relevant}
    held = candidate.held(wanted)
    there = [
        replace(query, relevant={name: grade for name, grade in query.relevant.items() if name in held})
        for query in sorted(queries, key=lambda query: query.query_id)
    ]
    kept = [query for query in there if query.relevant]
    left = {query.query_id for query in kept}
    dropped = sorted(query.query_id for query in queries if query.query_id not in left)
    return Judged(kept, dropped, sorted(wanted - held))


def floors(queries: Sequence[GoldenQuery], one: Answers, other: Answers, judging: Judging) -> dict[str, float]:
    """By metric, how large a mean difference chance alone may show between two builds of the same vectors."""
    apart = _measured(queries, one, PER_QUERY) - _measured(queries, other, PER_QUERY)
    found = noise(apart, judging.resamples, judging.alpha)
    return {metric: round(floor, DIGITS) for metric, floor in zip(PER_QUERY, found, strict=True)}


class Sides:
    """A candidate's and the live release's answers to the judged queries."""

    def __init__(self, judged: Judged, candidate: Answers, live: Answers, judging: Judging) -> None:
        self.judged, self.candidate, self.live, self.judging = judged, candidate, live, judging
        self.metrics = PER_QUERY if live.recalls is not None else tuple(name for name in PER_QUERY if name != RECALL)
        self.ours = _measured(judged.queries, candidate, self.metrics)
        self.theirs = _measured(judged.queries, live, self.metrics)
        pairs = list(zip(candidate.found, live.found, strict=True))
        self.overlaps = np.array([overlap(ours, theirs) for ours, theirs in pairs])
        self.biased = np.array([rank_biased_overlap(ours, theirs) for ours, theirs in pairs])
        self.changed = np.array([list(ours) != list(theirs) for ours, theirs in pairs])

    def facts(self, recorded_recall: float | None) -> dict[str, Any]:
        """Facts of a comparison. `recorded_recall`: the live release's, where it could not be measured by query."""
        slices = {name: self._rows_of(name) for name in sorted({query.slice for query in self.judged.queries})}
        slice_alpha = self.judging.alpha / len(slices)
        overall = self._differences(np.arange(len(self.ours)), self.judging.alpha)
        if self.live.recalls is None and recorded_recall is not None:
            overall[RECALL] = self._recorded(recorded_recall)
        return {
            "queries": len(self.judged.queries),
            "dropped": self.judged.dropped,
            "gone": self.judged.gone,
            "alpha": self.judging.alpha,
            "slice_alpha": slice_alpha,
            "resamples": self.judging.resamples,
            "min_queries": self.judging.min_queries,
            "metrics": {metric: one.as_json() for metric, one in overall.items()},
            "by_slice": {
                name: {
                    "queries": len(rows),
                    "metrics": {m: one.as_json() for m, one in self._differences(rows, slice_alpha).items()},
                }
                for name, rows in slices.items()
            },
            "neighbours": {
                "overlap_at_10": round(float(self.overlaps.mean()), DIGITS),
                "rank_biased_overlap": round(float(self.biased.mean()), DIGITS),
                "changed_share": round(float(self.changed.mean()), DIGITS),
            },
        }

    def by_query(self) -> list[dict[str, Any]]:
        """queries.json of a comparison: one entry a query, in the order of ids."""
        return [
            {
                "query_id": query.query_id,
                "query": query.query,
                "slice": query.slice,
                "candidate": self._told(self.ours[row]) | {"found": list(self.candidate.found[row])},
                "live": self._told(self.theirs[row]) | {"found": list(self.live.found[row])},
                "overlap_at_10": round(float(self.overlaps[row]), DIGITS),
                "rank_biased_overlap": round(float(self.biased[row]), DIGITS),
            }
            for row, query in enumerate(self.judged.queries)
        ]

    def moved(self, candidate: Documents, live: Documents) -> dict[str, list[dict[str, Any]]]:
        """moved.json of a comparison: the largest losers and winners by nDCG@10, with the texts of what moved."""
        apart = np.round((self.ours - self.theirs)[:, self.metrics.index("ndcg_at_10")], 9)
        answered = [
            Answered(query, self.candidate.found[row], self.live.found[row], float(apart[row]))
            for row, query in enumerate(self.judged.queries)
        ]
        return moved(answered, candidate, live)

    def _rows_of(self, slice_: str) -> npt.NDArray[np.int64]:
        return np.flatnonzero([query.slice == slice_ for query in self.judged.queries])

    def _differences(self, rows: npt.NDArray[np.int64], alpha: float) -> dict[str, Difference]:
        judging = self.judging
        ours, theirs = self.ours[rows], self.theirs[rows]
        return differences(self.metrics, ours, theirs, judging.resamples, alpha, judging.min_queries)

    def _recorded(self, live: float) -> Difference:
        assert self.candidate.recalls is not None
        ours = float(self.candidate.recalls.mean())
        worse = len(self.ours) if ours < live else 0
        return Difference(ours, live, ours - live, None, None, len(self.ours), worse, worse)

    def _told(self, measured: npt.NDArray[np.float64]) -> dict[str, float]:
        return {metric: round(float(value), DIGITS) for metric, value in zip(self.metrics, measured, strict=True)}


def _measured(queries: Sequence[GoldenQuery], answers: Answers, metrics: Sequence[str]) -> npt.NDArray[np.float64]:
    """(queries, metrics) float64."""
    _, _, by_query = relevance(queries, answers.found)
    columns = [
        answers.recalls if metric == RECALL else [by_query[query.query_id][metric] for query in queries]
        for metric in metrics
    ]
    return np.array(columns, dtype=np.float64).T
