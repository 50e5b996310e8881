"""All stages of a run in one process: what `slipway run` does, and the order that the DAG follows too."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from slipway import agreement, checkpoint, layout, lease, result
from slipway.checkpoint import Start
from slipway.config.metrics import METRICS
from slipway.errors import BudgetExceeded, Refused, RunInProgress, SlipwayError
from slipway.evaluation.demands import demands
from slipway.evaluation.gates import Verdict, judge
from slipway.evaluation.losses import Against
from slipway.lease import Holder
from slipway.manifest import Manifest, load
from slipway.pointer import read_serving
from slipway.report.nights import report_night
from slipway.result import Steps
from slipway.rollout import end_interrupted
from slipway.run import Run
from slipway.serving.loading import read_release_manifest
from slipway.stages import shards
from slipway.stages.chunk import chunk
from slipway.stages.clean import clean
from slipway.stages.comparison import compare
from slipway.stages.difference import check_breaker, difference
from slipway.stages.drift import observe
from slipway.stages.embed import embed, planned_shards
from slipway.stages.evaluate import evaluate
from slipway.stages.extract import extract
from slipway.stages.index import index
from slipway.stages.plan import plan
from slipway.stages.preflight import preflight
from slipway.stages.reconcile import reconcile
from slipway.stages.release import release
from slipway.stages.snapshot import snapshot

logger = logging.getLogger("slipway")


@dataclass(frozen=True, slots=True)
class Options:
    """Who runs and why, what they allow this one run (checkpoint.ALLOWANCES), and whether sources are read in full."""

    who: str
    why: str
    allowed: frozenset[str] = frozenset()
    full: bool = False


def run_pipeline(run: Run, options: Options, *, take_over: bool = False) -> dict[str, Any]:
    """Run every stage and return the result (see slipway.result), which is kept in the store as well.

    A failed gate is a result, not an error: `released` is false and `reason` says why. So is a failure of drift or of
    the report, which decide nothing: `failed` names it. `take_over` ends the claim of
    another run on the collection. Raises `RunInProgress` when another run is at work, and `SlipwayError`, whose
    `result` says how far the run came.
    """
    parts = (_Work.settle, _Work.read, _Work.judge, _Work.commit, _Work.plan, _Work.build)
    made = _run_parts(run, options, take_over, parts)
    result.write(run, made)
    return made


def run_plan(run: Run, options: Options, *, take_over: bool = False) -> dict[str, Any]:
    """Read, compare and plan, and return the result as far as that goes: nothing is embedded, built or released.

    What was read and cut is kept for the next run, which finds it done. Raises what `run_pipeline` does, the breaker's
    refusal last, so that the plan can be seen all the same.
    """
    return _run_parts(run, options, take_over, (_Work.read, _Work.plan, _Work.judge))


def _run_parts(run: Run, options: Options, take_over: bool, parts: Sequence[Callable[[_Work], None]]) -> dict[str, Any]:
    steps = Steps()
    holder = Holder(run.run_id, options.who, "run", lease.this_process())
    try:
        with lease.alone(run.store, holder, take_over=take_over) as hold:
            work = _Work(run, options, steps, hold.confirm)
            for part in parts:
                part(work)
    except SlipwayError as error:
        if isinstance(error, RunInProgress) and steps.released is not None:
            return result.assemble(run, steps)  # another run took the lease after this one had done its work
        error.result = result.assemble(run, steps)
        if isinstance(error, Refused):
            result.write(run, {**error.result, "reason": str(error)})
        raise
    return result.assemble(run, steps)


@dataclass(slots=True)
class _Work:
    """The stages of one run in order. What each returned is left in `steps`, as far as the run came.

    After the preflight `run` has the settings that it gave.

    `confirm` is called before each stage: it renews the lease, and raises when another run took it.
    """

    run: Run
    options: Options
    steps: Steps
    confirm: Callable[[], None]

    def settle(self) -> None:
        """End a shift that a dead run left behind."""
        end_interrupted(self.run.store, self.run.run_id)

    def read(self) -> None:
        """What the sources hold, and what that changes."""
        steps = self.steps
        with self._timed("preflight"):
            steps.start = preflight(self.run, self.options.allowed, self.options.full)
        run = self.run = checkpoint.as_started(self.run)
        for source in run.collection.sources:
            with self._timed("extract"):
                raw = extract(run, source.name)
            steps.raw = [*steps.raw, raw]
            with self._timed("clean"):
                steps.cleaned = [*steps.cleaned, clean(run, source.name, raw)]
        with self._timed("snapshot"):
            steps.snapshot = snapshot(run, steps.cleaned)
        with self._timed("compare"):
            steps.difference = difference(run, steps.snapshot, live_snapshot(run))

    def judge(self) -> None:
        """Whether that may go on."""
        assert self.steps.snapshot
        assert self.steps.difference
        with self._timed("compare"):
            check_breaker(self.run, self.steps.snapshot, self.steps.difference)

    def commit(self) -> None:
        """From here on, later runs build on this snapshot."""
        assert self.steps.snapshot
        checkpoint.write(self.run, self.steps.snapshot, checkpoint.states(self.steps.raw))

    def plan(self) -> None:
        """What there is to embed, and what it costs."""
        run, steps = self.run, self.steps
        assert steps.snapshot
        assert steps.difference
        with self._timed("chunk"):
            steps.chunks = chunk(run, steps.snapshot)
        with self._timed("plan"):
            try:
                steps.plan = plan(run, steps.chunks, steps.difference)
            except BudgetExceeded:
                steps.plan = load(run.store, layout.plan(run.run_id))  # sealed before it was refused, to be looked at
                raise

    def build(self) -> None:
        """From vectors to a release."""
        run, steps = self.run, self.steps
        assert steps.start
        assert steps.snapshot
        assert steps.chunks
        assert steps.plan
        steps.embedded = []
        for shard, told in planned_shards(run, steps.plan):
            with self._timed("embed"):
                steps.embedded = [*steps.embedded, embed(told, steps.plan, shard)]
        with self._timed("index"):
            if begun := shards.cut(run, steps.chunks):
                for entry in begun.facts["shards"]:
                    self.confirm()
                    shards.add(run, begun, entry["shard"])
            steps.candidate = index(run, steps.chunks)
        with self._timed("reconcile"):
            steps.reconciled = reconcile(run, steps.snapshot, steps.chunks, steps.candidate)
        with self._timed("evaluate"):
            steps.evaluation = evaluate(run, steps.candidate)
        with self._timed("side_by_side"):
            steps.comparison = compare(run, steps.candidate, steps.evaluation)
        with self._timed("drift"), self._beside("drift"):
            steps.drift = observe(run, steps.snapshot, steps.candidate, steps.comparison)
        with self._timed("gate"):
            steps.verdict = verdict(run, steps.evaluation, steps.comparison)
        try:
            if steps.verdict.passed:
                who, why, generation = self.options.who, self.options.why, steps.start.generation
                judged = (steps.candidate, steps.evaluation, steps.verdict)
                with self._timed("release"):
                    steps.released = release(run, *judged, generation, who, why, comparison=steps.comparison)
                result.write(run, result.assemble(run, steps))  # what is live has its result, whatever comes after
        finally:
            with self._beside("report"):
                steps.report = report_night(run, steps, self.options.why)

    @contextmanager
    def _beside(self, task: str) -> Iterator[None]:
        """Do what the verdict does not depend on: its failure is logged, told in the result, and stops nothing."""
        try:
            yield
        except Exception as error:
            logger.exception("%s failed, and the run goes on without it", task)
            # errors that Slipway does not know are only named: they may quote secrets
            said = str(error) if isinstance(error, SlipwayError) else "see the log"
            self.steps.failed = [*self.steps.failed, {"task": task, "error": f"{type(error).__name__}: {said}"}]

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """Add the block's wall time to the stage's."""
        self.confirm()
        seconds, started = self.steps.seconds, time.monotonic()
        try:
            yield
        finally:
            seconds[stage] = seconds.get(stage, 0.0) + time.monotonic() - started


def live_snapshot(run: Run) -> Manifest | None:
    """The snapshot that the live release was built from, if there is a live release."""
    live = read_serving(run.store)[0].live_release
    if live is None:
        return None
    return load(run.store, read_release_manifest(run.store, live.release_id, live.manifest_sha256).facts["snapshot"])


def verdict(run: Run, evaluation: Manifest, comparison: Manifest | None) -> Verdict:
    """Judge an evaluation by the collection's gates (see slipway.evaluation.demands), and against the live release.

    Losses are judged query by query by the `comparison`. What is not measured query by query is compared with what the
    live release's own evaluation said: time and size always, and what golden queries measure (recall@1, exact search)
    where they are the same ones. Gates that stay undecided pass where the run was allowed that.
    """
    facts, start = evaluation.facts, checkpoint.started(run)
    metrics, live = facts["metrics"], read_serving(run.store)[0].live_release
    if live is None:
        judged = judge(demands(run.collection, metrics, upgrade=False), metrics, None)
    else:
        before = read_release_manifest(run.store, live.release_id, live.manifest_sha256).facts
        upgrade, other_golden = _is_upgrade(run, start, before), before["golden"] != facts["golden"]
        judged = judge(
            demands(run.collection, metrics, upgrade),
            metrics,
            _without_golden(before["metrics"]) if other_golden else before["metrics"],
            Against.of(comparison.facts, upgrade) if comparison else None,
            uncompared="" if comparison else _uncompared(facts, upgrade),
            other_golden=other_golden,
        )
    return judged.allowing_undecided() if start and "undecided" in start.allowed else judged


def _without_golden(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name in METRICS and not METRICS[name].needs_golden}


def _uncompared(evaluation: Mapping[str, Any], upgrade: bool) -> str:
    """Why a candidate with these facts of its evaluation was not compared with what is live; empty: as it should be."""
    if evaluation["golden"] is None:
        asked = "there are no golden queries to judge an upgrade by: add some, or approve with a comment"
        return asked if upgrade else ""
    if evaluation.get("judged_held") == 0:
        return (
            "not one judged document is in the collection, so a loss against the live release is undecided: compare "
            "the ids in the golden file with those of the documents"
        )
    return (
        "the live release could not be searched, as it is damaged or its model is not on this machine (the log says "
        "which), so a loss against it is undecided: repair it (slipway verify names what is damaged) or put the model "
        "back, or allow it (a night by --allow-undecided, in Airflow the parameter allow_undecided; an upgrade by an "
        "approval with a comment)"
    )


def _is_upgrade(run: Run, start: Start | None, live: Mapping[str, Any]) -> bool:
    """Whether the run has settings of its own (see slipway.checkpoint.Start) that differ from what is live.

    `live` holds the facts of the live release.
    """
    if start is None or not start.settings:
        return False
    index = run.collection.index.model_dump(mode="json")
    return bool(live["encoder"] != start.encoder or agreement.as_now(live.get(agreement.INDEX, index)) != index)
