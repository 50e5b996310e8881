"""What the tasks of a reindex campaign left behind, put together into its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from slipway_airflow.report import Left
from slipway_airflow.steps import SECONDS

if TYPE_CHECKING:
    from slipway.run import Run

PARTS = ("preflight", "sample", "shards", "embed", "build", "judge", "approve", "release")
_OWN = ("collection", "run_id", "released", "release_id", "plan", "seconds")
_WORDS = {"pass": "passed", "fail": "failed", "undecided": "undecided"}
SAID_NO = (  # as slipway.reindex.ends_campaign has it
    "BreakerTripped",
    "BudgetExceeded",
    "GateRefused",
    "IndexRefused",
    "NotApproved",
    "ReconcileRefused",
    "ReleaseRefused",
    "SourceRefused",
)
JUDGES = ("sample", "build", "approve", "release")


def gather(run: Run, ti: Any) -> dict[str, Any]:
    """The campaign's result as far as it came; keys of parts that did not run are missing.

    A campaign that ended red has `failed`, a list of {"task", "error"} in the order of the work, and a `reason`.
    """
    left = Left(ti)
    made = _begun(run, left) | _built(run, left) | (left.one("release", "released") or {})
    failed = [{"task": part, "error": error} for part in PARTS for error in left.errors(part)]
    if failed:
        made |= {"failed": failed, "reason": "; ".join(one["error"] for one in failed)}
    return made | {"seconds": _seconds(left)}


def spent_by(ti: Any) -> dict[str, float]:
    """The seconds that each part of the campaign took so far. `ti` is a task instance of its run."""
    return _seconds(Left(ti))


def _seconds(left: Left) -> dict[str, float]:
    return {part: round(sum(spent), 3) for part in PARTS if (spent := left.many(part, SECONDS))}


def is_refused(result: Mapping[str, Any]) -> bool:
    """Whether it was refused, by a person or a check, so that it cannot go on; else something has gone wrong."""
    failed = result.get("failed", [])
    return any(one["task"] in JUDGES and one["error"].startswith(SAID_NO) for one in failed)


def _begun(run: Run, left: Left) -> dict[str, Any]:
    from slipway import checkpoint, decisions
    from slipway.reindex import asked_of

    made: dict[str, Any] = {"collection": run.collection.name, "run_id": run.run_id, "kind": "reindex"}
    made |= {"released": False, "release_id": None}
    if start := checkpoint.started(run):
        made |= {"asked": asdict(asked_of(run)), "note": start.note, "allowed": list(start.allowed)}
    decided = [one for one in decisions.all(run.store) if one["run_id"] == run.run_id]
    parts = {
        "plan": left.one("preflight", "plan"),
        "sample": left.one("sample"),
        "approval": decided[-1] if decided else None,  # the last, where a cleared task asked again
    }
    return made | {name: value for name, value in parts.items() if value is not None}


def _built(run: Run, left: Left) -> dict[str, Any]:
    """What was embedded and built, and the verdict on it, as a night's result tells it."""
    from slipway import result
    from slipway.evaluation.gates import GateResult, Verdict
    from slipway.manifest import find
    from slipway.planned import find_plan
    from slipway.result import Steps
    from slipway.stages.embed import Embedded

    places, judged = left.one("build"), left.one("judge")
    steps = Steps(plan=find_plan(run.store, run.run_id), embedded=[Embedded(**one) for one in left.many("embed")])
    if places:
        # None where an earlier attempt of the report has cleared up what was refused
        steps.candidate, steps.evaluation = (find(run.store, places[part]) for part in ("candidate", "evaluation"))
    if judged:
        steps.verdict = Verdict(tuple(GateResult(**one) for one in judged["gates"]))
    made = {name: value for name, value in result.assemble(run, steps).items() if name not in _OWN}
    if judged:
        made = {"metrics": judged["metrics"]} | made
        made |= {"comparison": judged["comparison"], "report": judged["report"], "verdict": _WORDS[judged["outcome"]]}
    return made
