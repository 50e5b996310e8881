"""A round of both ways, and the medians over rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.nights.project import Night
from benchmarks.overheads.scheduled import Scheduled


@dataclass(frozen=True, slots=True)
class Round:
    """One night by `slipway run`, and one by the scheduler, over the same documents."""

    bare: Night
    dag: Scheduled

    @property
    def bare_seconds(self) -> float:
        """The process of `slipway run`, from start to exit."""
        return self.bare.seconds

    @property
    def dag_seconds(self) -> float:
        """The DAG run, from its start to its end as Airflow tells."""
        return self.dag.timeline.seconds

    @property
    def ratio(self) -> float:
        """How often the bare run's time the DAG's is."""
        return self.dag_seconds / self.bare_seconds


@dataclass(frozen=True, slots=True)
class Medians:
    """Over all rounds; the ratio is the median of the rounds' own ratios."""

    bare_seconds: float
    dag_seconds: float
    ratio: float
    start_seconds: float
    idle_seconds: float

    @staticmethod
    def of(rounds: Sequence[Round]) -> Medians:
        """Of at least one round."""
        return Medians(
            statistics.median(one.bare_seconds for one in rounds),
            statistics.median(one.dag_seconds for one in rounds),
            statistics.median(one.ratio for one in rounds),
            statistics.median(one.dag.start_seconds for one in rounds),
            statistics.median(one.dag.timeline.idle() for one in rounds),
        )


def middle(rounds: Sequence[Round]) -> Round:
    """The round whose ratio is the median, or just below it: the one whose stages are shown."""
    return sorted(rounds, key=lambda one: one.ratio)[(len(rounds) - 1) // 2]
