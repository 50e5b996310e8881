"""The report of a run of the pipeline."""

from __future__ import annotations

from slipway import planned
from slipway.manifest import Manifest
from slipway.report.writing import Reported, write
from slipway.result import Steps
from slipway.run import Run
from slipway.stages.release import name_release


def report_night(run: Run, steps: Steps, reason: str) -> Manifest | None:
    """Write the report on what the run judged; None where it did not come to that, and where nothing changed.

    `reason` is why the run was started. Raises what `write` does.
    """
    if not (steps.candidate and steps.evaluation and steps.verdict) or _is_live(steps):
        return None
    reported = Reported(
        candidate=steps.candidate,
        evaluation=steps.evaluation,
        comparison=steps.comparison,
        verdict=steps.verdict,
        drift=steps.drift,
        reason=reason,
        kind="nightly",
        seconds=steps.seconds,
        planned=planned.numbers(steps.plan) if steps.plan else None,
    )
    return write(run, reported)


def _is_live(steps: Steps) -> bool:
    """Whether the candidate passed, and is what was live when the run began."""
    if not (steps.start and steps.candidate and steps.evaluation and steps.verdict and steps.verdict.passed):
        return False
    return name_release(steps.candidate, steps.evaluation) == steps.start.live_release
