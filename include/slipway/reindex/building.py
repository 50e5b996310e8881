"""What a campaign embeds and builds: from the newest checkpoint's snapshot, whenever it is asked."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from slipway import checkpoint, layout, planned
from slipway.config.collection import Budget
from slipway.errors import BudgetExceeded, InputError
from slipway.maintenance.places import delete_place, find_place
from slipway.manifest import Draft, Manifest, find, fingerprint, load
from slipway.pipeline import live_snapshot
from slipway.pointer import read_serving
from slipway.reindex.asking import Asked, campaign_of
from slipway.run import Run
from slipway.stages import plan as planning
from slipway.stages import shards
from slipway.stages.chunk import chunk
from slipway.stages.comparison import compare
from slipway.stages.difference import check_breaker, difference
from slipway.stages.drift import observe
from slipway.stages.embed import embed, planned_shards
from slipway.stages.evaluate import evaluate
from slipway.stages.index import index
from slipway.stages.reconcile import reconcile
from slipway.stages.release import check_not_withdrawn, name_release

Confirm = Callable[[], None]
_NIGHT = "start a nightly run (a campaign allows no such thing; begin it anew after that)"


@dataclass(frozen=True, slots=True)
class Built:
    """What a campaign built. `comparison` is None where there are no golden queries to compare by."""

    candidate: Manifest
    evaluation: Manifest
    comparison: Manifest | None = None
    drift: Manifest | None = None


def unwatched() -> None:
    """Nobody else can be at work."""


def plan(run: Run) -> Manifest:
    """The campaign's embedding plan: what the newest checkpoint's documents lack in the new space.

    As slipway.stages.plan seals it; `numbers` makes a result's "plan" of it. Changes are counted against the live
    release. A retry gets the plan that the first attempt sealed. Raises `BreakerTripped` where the newest documents are
    not such as a night may release, and `BudgetExceeded` when the estimate passes the hours that were asked for; the
    plan is sealed before that.
    """
    run = checkpoint.as_started(run)
    snapshot = newest_snapshot(run)
    changes = _checked_changes(run, snapshot)
    made = find(run.store, layout.plan(run.run_id)) or planning.plan(_unbounded(run), chunk(run, snapshot), changes)
    _check_budget(run, made, campaign_of(run).asked)
    return made


def numbers(run: Run, made: Manifest) -> dict[str, Any]:
    """The plan's numbers (slipway.planned), and `workers`, the `hours` on so many, and `index_bytes` where known."""
    workers = run.collection.embed.workers
    more = {"workers": workers, "hours": _hours(made, workers), "index_bytes": made.facts["estimate"]["index_bytes"]}
    return planned.numbers(made) | more


def build(run: Run, confirm: Confirm = unwatched) -> Built:
    """The candidate of the newest checkpoint's documents in the new space, with all that it is judged by.

    Embeds what is missing, in this process: nothing, where the plan's shards are embedded and no night came since. Each
    part is found again where it is there. `confirm` is called before each part and may raise to stop. Raises
    `BreakerTripped` where the documents are not such as a night may release, and `ReleaseRefused` where the candidate
    was live and was withdrawn.
    """
    run = checkpoint.as_started(run)
    campaign_of(run)
    confirm()
    snapshot = newest_snapshot(run)
    changes = _checked_changes(run, snapshot)
    chunks = chunk(run, snapshot)
    _embed_missing(run, snapshot, chunks, changes, confirm)
    confirm()
    if begun := shards.cut(run, chunks):
        for entry in begun.facts["shards"]:
            confirm()
            shards.add(run, begun, entry["shard"])
    candidate = index(run, chunks)
    reconcile(run, snapshot, chunks, candidate)
    confirm()
    evaluation = evaluate(run, candidate)
    confirm()
    comparison = compare(run, candidate, evaluation, noise=True)
    built = Built(candidate, evaluation, comparison, observe(run, snapshot, candidate, comparison))
    _note(run, built, chunks)
    check_not_withdrawn(read_serving(run.store)[0], name_release(candidate, evaluation), candidate)
    return built


def _embed_missing(run: Run, snapshot: Manifest, chunks: Manifest, changes: Manifest, confirm: Confirm) -> None:
    """Embed the chunks that have no vector now.

    Planned anew each time, under a name of its own: what an earlier plan counted on may have gone since, and what it
    had to embed may be there.
    """
    part = replace(run, run_id=f"{run.run_id}-{snapshot.fingerprint[:8]}-{secrets.token_hex(3)}")
    missing = planning.plan(_unbounded(part), chunks, changes)
    for shard, told in planned_shards(part, missing):
        confirm()
        embed(told, missing, shard)
    if done := find_place(run.store, missing.place):  # a list of work, and the work is done
        delete_place(run.store, done, confirm)


def newest_snapshot(run: Run) -> Manifest:
    """The newest checkpoint's snapshot. Raises `InputError` before the first."""
    newest = checkpoint.newest(run.store)
    if newest is None:
        raise InputError(f"collection {run.collection.name} has no checkpoint; start with a nightly run (slipway run)")
    return load(run.store, newest.snapshot)


def _checked_changes(run: Run, snapshot: Manifest) -> Manifest:
    """What the snapshot changes against the live release's: held to the nights' limits, as this may go live."""
    changes = difference(run, snapshot, live_snapshot(run))
    check_breaker(run, snapshot, changes, _NIGHT)
    return changes


def _unbounded(run: Run) -> Run:
    """The run without the nights' budget: a campaign has its own."""
    embedding = run.collection.embed.model_copy(update={"budget": Budget()})
    return replace(run, collection=run.collection.model_copy(update={"embed": embedding}))


def _hours(made: Manifest, workers: int) -> float:
    return float(f"{made.facts['estimate']['minutes'] / 60 / workers:.4g}")


def _check_budget(run: Run, made: Manifest, asked: Asked) -> None:
    hours = _hours(made, run.collection.embed.workers)
    if asked.budget_hours is None or hours <= asked.budget_hours:
        return
    raise BudgetExceeded(
        f"{made.counts['to_embed']:,} of the {made.counts['chunks']:,} chunks would be embedded: about {hours:,.2f} "
        f"hours on {run.collection.embed.workers} workers (embed.workers), but the campaign was given "
        f"{asked.budget_hours:g} hours. Nothing was embedded; the plan is in {made.place}. Begin another campaign with "
        "more hours (--budget-hours, or the DAG's parameter), or without a budget"
    )


def _note(run: Run, built: Built, chunks: Manifest) -> None:
    """Keep what was built in the campaign's name, so that it can be removed if it is refused."""
    named = {
        "candidate": built.candidate,
        "evaluation": built.evaluation,
        "comparison": built.comparison,
        "drift": built.drift,
        "chunks": chunks,
    }
    places = {name: manifest.place for name, manifest in named.items() if manifest is not None}
    name = fingerprint(places)
    Draft(run.store, layout.built(run.run_id, name), "built", name).seal({}, places)
