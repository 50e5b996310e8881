"""The verdict on what a campaign built."""

from __future__ import annotations

from dataclasses import dataclass

from slipway import checkpoint, pipeline
from slipway.evaluation.gates import Verdict
from slipway.manifest import Manifest
from slipway.reindex.building import Built
from slipway.run import Run


@dataclass(frozen=True, slots=True)
class Judged:
    """All gates' results, and the report on the candidate."""

    verdict: Verdict
    report: Manifest | None = None


def judge(run: Run, built: Built) -> Judged:
    """Judge what was built against what is live."""
    run = checkpoint.as_started(run)
    return Judged(pipeline.verdict(run, built.evaluation))
