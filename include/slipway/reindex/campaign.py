"""A whole campaign in one process: what `slipway reindex` does, and the order that the DAG follows too."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway import layout, lease
from slipway.checkpoint import Start
from slipway.config.index import Index
from slipway.decisions import Approval
from slipway.errors import BudgetExceeded, Refused, SlipwayError
from slipway.lease import Holder
from slipway.manifest import Manifest, load
from slipway.pointer import read_serving
from slipway.reindex.approving import Answer, decide
from slipway.reindex.asking import Asked
from slipway.reindex.beginning import begin
from slipway.reindex.building import Built, build, numbers, plan
from slipway.reindex.discarding import discard, ends_campaign
from slipway.reindex.judging import Judged, judge
from slipway.reindex.releasing import WHAT, release
from slipway.reindex.sampling import sample
from slipway.run import Run
from slipway.stages.release import Released

PLANNED, WAITING, RELEASED, REFUSED, FAILED = "planned", "waiting", "released", "refused", "failed"
Ask = Callable[[dict[str, Any], Judged], Answer | None]
"""Asks a person, who sees the result so far and the verdict; None: nobody is there to answer now."""


@dataclass(slots=True)
class Progress:
    """What the parts of one campaign returned, as far as it came. `seconds` is wall time by part."""

    start: Start | None = None
    plan: Manifest | None = None
    sample: dict[str, Any] | None = None
    built: Built | None = None
    judged: Judged | None = None
    approval: Approval | None = None
    released: Released | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the block's wall time to the part's."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] = round(self.seconds.get(part, 0.0) + time.monotonic() - began, 3)


def run_campaign(
    run: Run, asked: Asked, folder: Path, ask: Ask, *, only_plan: bool = False, take_over: bool = False
) -> dict[str, Any]:
    """Plan, try, build, judge, ask, release; the result is kept in the store as well.

    `status` is "planned", "waiting" (nobody could be asked: begin it again, and everything is found that was made), or
    "released". What is refused or rejected is an error whose `result` says how far it came and, as `why`, what refused
    it; it leaves vectors and its record, where it cannot go on. Raises `RunInProgress` when another campaign is at
    work, or a night when it is to be released.
    """
    holder, done = Holder(run.run_id, asked.who, WHAT, lease.this_process()), Progress()
    with lease.alone(run.store, holder, take_over=take_over, key=layout.REINDEX_LEASE) as hold:
        try:
            status = _carry_out(run, asked, folder, ask, done, only_plan, hold.confirm)
        except SlipwayError as error:
            status = REFUSED if isinstance(error, Refused) else FAILED
            error.result = assemble(run, asked, done) | {"status": status, "why": str(error)}
            if ends_campaign(error):
                discard(run)
            if isinstance(error, Refused) and done.start is not None:
                write(run, error.result)
            raise
    made = assemble(run, asked, done) | {"status": status}
    write(run, made)
    return made


def assemble(run: Run, asked: Asked, done: Progress) -> dict[str, Any]:
    """The campaign's result. Keys of parts that did not run are missing; `released` and `seconds` are always there."""
    made: dict[str, Any] = {
        "collection": run.collection.name,
        "run_id": run.run_id,
        "encoder": asked.encoder,
        "index": asked.index or (Index.model_validate(done.start.settings["index"]).named if done.start else ""),
        "reason": asked.reason,
        "released": False,
        "release_id": None,
        "generation": None,
    }
    if done.plan:
        made["plan"] = numbers(run, done.plan)
    if done.sample:
        made["sample"] = done.sample
    if done.built:
        made |= _built(done.built)
    if done.judged:
        made["verdict"] = done.judged.verdict.outcome
        made["gates"] = done.judged.verdict.as_json()
        made["report"] = done.judged.report.place if done.judged.report else None
    if done.approval:
        made["approval"] = done.approval.as_json()
    if done.released:
        released, release_id, generation = done.released.released, done.released.release_id, done.released.generation
        made |= {"released": released, "release_id": release_id, "generation": generation}
    return made | {"seconds": done.seconds}


def write(run: Run, made: dict[str, Any]) -> None:
    """Keep the result in the store."""
    run.store.put(layout.result(run.run_id), json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False).encode())


def _built(built: Built) -> dict[str, Any]:
    facts = built.evaluation.facts
    return {
        "candidate": built.candidate.place,
        "evaluation": built.evaluation.place,
        "metrics": dict(facts["metrics"]),
        "by_slice": facts.get("by_slice", {}),
        "comparison": built.comparison.place if built.comparison else None,
        "drift": built.drift.place if built.drift else None,
    }


def _carry_out(
    run: Run,
    asked: Asked,
    folder: Path,
    ask: Ask,
    done: Progress,
    only_plan: bool,
    confirm: Callable[[], None],
) -> str:
    with done.timed("plan"):
        done.start = begin(run, asked, folder)
        try:
            done.plan = plan(run)
        except BudgetExceeded:
            done.plan = load(run.store, layout.plan(run.run_id))  # sealed before it was refused, to be looked at
            raise
    if only_plan:
        return PLANNED
    with done.timed("sample"):
        done.sample = sample(run)
    with done.timed("build"):
        done.built = build(run, confirm)
    with done.timed("judge"):
        done.judged = judge(run, done.built, done.seconds)
    generation = read_serving(run.store)[0].generation
    answer = ask(assemble(run, asked, done), done.judged) if asked.approval else None
    if asked.approval and answer is None:
        return WAITING
    done.approval = decide(run, done.judged, answer)
    confirm()
    with done.timed("release"):
        done.released = release(run, asked, done.approval, generation, seconds=done.seconds)
    return RELEASED
