"""What the tasks of a run left behind, put together into the run's result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway_airflow.steps import FAILURE, SECONDS

if TYPE_CHECKING:
    from slipway.manifest import Manifest
    from slipway.result import Steps
    from slipway.run import Run
    from slipway.stages.reconcile import Reconciled

STAGES = (
    "preflight", "extract", "clean", "snapshot", "compare", "chunk",
    "plan", "embed", "index_shards", "index_shard", "index",
    "reconcile", "evaluate", "side_by_side", "drift", "gate", "release",
)  # fmt: skip
DID_NOT_RUN = (None, "upstream_failed", "removed")
KILLED = "ended without a word: out of memory, killed, or marked as failed; see the task's log"


def gather(run: Run, ti: Any) -> dict[str, Any]:
    """The result as far as the run came (see slipway.result). A run that failed has `failed` and a `reason` besides.

    `failed` is a list of {"task", "error"}, in the order of the stages. `ti` is the reporting task instance.
    """
    from slipway.result import assemble

    left = Left(ti)
    made = assemble(run, _steps(run, left))
    failed = [{"task": stage, "error": error} for stage in STAGES for error in left.errors(stage)]
    if failed:
        made["failed"] = failed
        made["reason"] = "; ".join(one["error"] for one in failed)
    return made


def write_report(run: Run, ti: Any, reason: str) -> None:
    """Write the report on what the run judged, where it came to that (see slipway.report.nights)."""
    from slipway.report.nights import report_night

    report_night(run, _steps(run, Left(ti)), reason)


class Left:
    """The XComs of this run's tasks; those of tasks that did not run are missing, which is no error.

    A task drops its XComs when it starts, not when it is cleared: where it did not start again since, they tell of an
    attempt that counts no more, and are missing too.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti
        self._states: dict[str, str | None] = ti.get_task_states(ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})

    def errors(self, task: str) -> list[str]:
        """Why the task failed, once for each of its mapped instances that did."""
        failed = self._states_of(task).count("failed")
        said = self.many(task, FAILURE)[:failed]
        return said + [KILLED] * (failed - len(said))

    def one(self, task: str, key: str = "return_value") -> Any:
        """The value that the task left under `key`, or None."""
        return next(iter(self.many(task, key)), None)

    def many(self, task: str, key: str = "return_value") -> list[Any]:
        """The values that the task's mapped instances left under `key`."""
        states = self._states_of(task)
        if states and all(state in DID_NOT_RUN for state in states):
            return []
        return [value for value in self._ti.xcom_pull(task_ids=[task], key=key) or [] if value is not None]

    def _states_of(self, task: str) -> list[str | None]:
        """The states of the task, or of its mapped instances, which are called task_0, task_1, …"""
        return [state for name, state in self._states.items() if _base(name) == task]


def _base(name: str) -> str:
    base, _, number = name.rpartition("_")
    return base if number.isdigit() else name


def _steps(run: Run, left: Left) -> Steps:
    from slipway import checkpoint
    from slipway.evaluation.gates import GateResult, Verdict
    from slipway.planned import find_plan
    from slipway.report import report_of_run
    from slipway.result import Steps
    from slipway.stages.embed import Embedded
    from slipway.stages.release import Released

    gates, released = left.one("gate"), left.one("release", "released")
    return Steps(
        start=checkpoint.started(run),
        raw=_manifests(run, left.many("extract")),
        cleaned=_manifests(run, left.many("clean")),
        snapshot=_manifest(run, left.one("snapshot")),
        difference=_manifest(run, left.one("compare")),
        chunks=_manifest(run, left.one("chunk")),
        plan=find_plan(run.store, run.run_id),  # a plan over its budget is sealed although its task failed
        embedded=[Embedded(**one) for one in left.many("embed")],
        candidate=_manifest(run, left.one("index")),
        reconciled=_reconciled(left.one("reconcile")),
        evaluation=_manifest(run, left.one("evaluate")),
        comparison=_manifest(run, left.one("side_by_side")),
        drift=_manifest(run, left.one("drift")),
        verdict=Verdict(tuple(GateResult(**one) for one in gates)) if gates is not None else None,
        released=Released(**released) if released else None,
        report=report_of_run(run.store, run.run_id),
        seconds={stage: sum(spent) for stage in STAGES if (spent := left.many(stage, SECONDS))},
    )


def _reconciled(counts: dict[str, int] | None) -> Reconciled | None:
    if counts is None:
        return None
    from slipway.stages.reconcile import Reconciled

    return Reconciled(**counts)


def _manifests(run: Run, sealed: list[dict[str, Any]]) -> list[Manifest]:
    from slipway.manifest import load

    return [load(run.store, one["place"]) for one in sealed]


def _manifest(run: Run, sealed: dict[str, Any] | None) -> Manifest | None:
    from slipway.manifest import load

    return load(run.store, sealed["place"]) if sealed else None
