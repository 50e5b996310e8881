"""All stages of a run in one process: what `slipway run` does, and the order that the DAG follows too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from slipway import checkpoint, layout, lease, result
from slipway.errors import BudgetExceeded, Refused, SlipwayError
from slipway.evaluation.gates import Verdict, judge
from slipway.lease import Holder
from slipway.manifest import Manifest, load
from slipway.pointer import read_serving
from slipway.result import Steps
from slipway.run import Run
from slipway.serving.loading import read_release_manifest
from slipway.stages.chunk import chunk
from slipway.stages.clean import clean
from slipway.stages.difference import difference
from slipway.stages.embed import embed
from slipway.stages.evaluate import evaluate
from slipway.stages.extract import extract
from slipway.stages.index import index
from slipway.stages.plan import plan
from slipway.stages.preflight import preflight
from slipway.stages.reconcile import reconcile
from slipway.stages.release import release
from slipway.stages.snapshot import snapshot


@dataclass(frozen=True, slots=True)
class Options:
    """Who runs and why, what they allow this one run (checkpoint.ALLOWANCES), and whether sources are read in full."""

    who: str
    why: str
    allowed: frozenset[str] = frozenset()
    full: bool = False


def run_pipeline(run: Run, options: Options, *, take_over: bool = False) -> dict[str, Any]:
    """Run every stage and return the result (see slipway.result), which is kept in the store as well.

    A failed gate is a result, not an error: `released` is false and `reason` says why. `take_over` ends the claim of
    another run on the collection. Raises `RunInProgress` when another run is at work, and `SlipwayError`, whose
    `result` says how far the run came.
    """
    made = _kept_result(run, options, take_over, (_prepare, _build))
    result.write(run, made)
    return made


def run_plan(run: Run, options: Options, *, take_over: bool = False) -> dict[str, Any]:
    """Read, compare and plan, and return the result as far as that goes: nothing is embedded, built or released.

    What was read and cut is kept for the next run, which finds it done. Raises what `run_pipeline` does.
    """
    return _kept_result(run, options, take_over, (_prepare,))


def _kept_result(
    run: Run, options: Options, take_over: bool, parts: Sequence[Callable[[Run, Options, Steps], None]]
) -> dict[str, Any]:
    steps = Steps()
    try:
        try:
            holder = Holder(run.run_id, options.who, "run", lease.this_process())
            with lease.held(run.store, holder, take_over=take_over):
                for part in parts:
                    part(run, options, steps)
        finally:
            lease.release(run.store, run.run_id)
    except SlipwayError as error:
        error.result = result.assemble(run, steps)
        if isinstance(error, Refused):
            result.write(run, {**error.result, "reason": str(error)})
        raise
    return result.assemble(run, steps)


def _prepare(run: Run, options: Options, steps: Steps) -> None:
    """Every stage up to the plan, in order; what each returned is left in `steps`, as far as it came."""
    timed = _Timer(steps.seconds).timed
    with timed("preflight"):
        steps.start = preflight(run, options.allowed, options.full)
    for source in run.collection.sources:
        with timed("extract"):
            raw = extract(run, source.name)
        steps.raw = [*steps.raw, raw]
        with timed("clean"):
            steps.cleaned = [*steps.cleaned, clean(run, source.name, raw)]
    with timed("snapshot"):
        steps.snapshot = snapshot(run, steps.cleaned)
    with timed("compare"):
        steps.difference = difference(run, steps.snapshot, live_snapshot(run))
    with timed("chunk"):
        steps.chunks = chunk(run, steps.snapshot)
    with timed("plan"):
        try:
            steps.plan = plan(run, steps.chunks, steps.difference)
        except BudgetExceeded:
            steps.plan = load(run.store, layout.plan(run.run_id))  # sealed before it was refused, to be looked at
            raise


def _build(run: Run, options: Options, steps: Steps) -> None:
    """Every stage after the plan."""
    assert steps.start
    assert steps.snapshot
    assert steps.chunks
    assert steps.plan
    timed = _Timer(steps.seconds).timed
    checkpoint.write(run, steps.snapshot, checkpoint.states(steps.raw))
    with timed("embed"):
        steps.embedded = [embed(run, steps.plan, entry["shard"]) for entry in steps.plan.facts["shards"]]
    with timed("index"):
        steps.candidate = index(run, steps.chunks)
    with timed("reconcile"):
        steps.reconciled = reconcile(run, steps.snapshot, steps.chunks, steps.candidate)
    with timed("evaluate"):
        steps.evaluation = evaluate(run, steps.candidate)
    with timed("gate"):
        steps.verdict = verdict(run, steps.evaluation)
    if steps.verdict.passed:
        with timed("release"):
            steps.released = release(
                run,
                steps.candidate,
                steps.evaluation,
                steps.verdict,
                steps.start.generation,
                options.who,
                options.why,
            )


def live_snapshot(run: Run) -> Manifest | None:
    """The snapshot that the live release was built from, if there is a live release."""
    live = read_serving(run.store)[0].live_release
    if live is None:
        return None
    return load(run.store, read_release_manifest(run.store, live.release_id, live.manifest_sha256).facts["snapshot"])


def verdict(run: Run, evaluation: Manifest) -> Verdict:
    """Judge an evaluation by the collection's gates, against the live release where the golden queries are the same."""
    live = read_serving(run.store)[0].live_release
    metrics = None
    if live is not None:
        facts = read_release_manifest(run.store, live.release_id, live.manifest_sha256).facts
        metrics = facts["metrics"] if facts["golden"] == evaluation.facts["golden"] else None
    return judge(run.collection.gates, evaluation.facts["metrics"], metrics)


class _Timer:
    """Adds up the wall time of each stage."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.monotonic() - started
