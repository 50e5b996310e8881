"""The verdict on what a campaign built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from slipway import checkpoint, pipeline
from slipway import report as reports
from slipway.evaluation.gates import Verdict
from slipway.manifest import Manifest
from slipway.planned import find_plan
from slipway.reindex.asking import asked_of
from slipway.reindex.building import Built, numbers
from slipway.report import Reported
from slipway.run import Run

KIND: Final = "reindex"


@dataclass(frozen=True, slots=True)
class Judged:
    """All gates' results, and the report on the candidate."""

    verdict: Verdict
    report: Manifest | None = None


def judge(run: Run, built: Built, seconds: Mapping[str, float] | None = None) -> Judged:
    """Judge what was built against what is live, and write the report. `seconds`: wall time by part, so far."""
    run = checkpoint.as_started(run)
    verdict = pipeline.verdict(run, built.evaluation, built.comparison)
    plan = find_plan(run.store, run.run_id)
    reported = Reported(
        candidate=built.candidate,
        evaluation=built.evaluation,
        comparison=built.comparison,
        verdict=verdict,
        drift=built.drift,
        reason=asked_of(run).reason,
        kind=KIND,
        seconds=seconds or {},
        planned=numbers(run, plan) if plan else None,
    )
    return Judged(verdict, reports.write(run, reported))
