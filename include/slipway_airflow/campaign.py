"""The tasks of a reindex campaign: each opens the campaign, does one part of it, and returns places and numbers.

Their docstrings are their pages in the Airflow UI. What the parts do stands in `slipway.reindex`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from slipway_airflow import pools
from slipway_airflow.runs import check_parameters, open_run, stored_id, who
from slipway_airflow.steps import step
from slipway_airflow.tasks import shard_label

if TYPE_CHECKING:
    from airflow.sdk import Context

    from slipway.decisions import Approval
    from slipway.manifest import Manifest
    from slipway.reindex import Asked, Built, Judged
    from slipway.run import Run

BUILD_HOURS = 6
SHOWN = ("live", "encoders", "queries", "metrics", "neighbours")  # facts of a comparison that an approval is asked with
PARTS = ("candidate", "evaluation", "comparison", "drift")


@contextmanager
def open_campaign(lease: bool = True) -> Iterator[Run]:
    """The campaign of the task at work, in its own settings once it has begun (see `open_run`).

    While it is open the campaign's lease is held, or `RunInProgress` raised; nights have another one and go on.
    """
    from slipway import checkpoint, layout
    from slipway.lease import Holder, held

    dag_run = get_current_context()["dag_run"]
    with open_run(lease=False) as opened:
        run = replace(opened, run_id=stored_id(dag_run.dag_id, dag_run.run_id))
        holder = Holder(run.run_id, who(dag_run), "reindex campaign")
        with held(run.store, holder, key=layout.REINDEX_LEASE) if lease else nullcontext():
            yield checkpoint.as_started(run)


def release_time(release: timedelta) -> timedelta:
    """The most time that the release of a campaign may take: it catches up with the nights first."""
    return timedelta(hours=BUILD_HOURS) + release


@step(hours=1)
def preflight() -> dict[str, Any]:
    """### Find what is wrong before any work, and say what it will cost

    Checks the form, the encoder's model, the index, the golden file and the store. Then cuts the documents of the
    newest night with the new encoder's tokenizer, and prints **the plan** below: chunks, tokens, hours on
    `embed.workers` workers, bytes. Nothing is embedded yet. Waits where another campaign is at work.

    **Red?** The last line of the log names the parameter or the file, and what was expected. Start a new run with the
    right ones: a campaign keeps the form that it was started with. `BudgetExceeded`: it would take longer than *Budget
    in hours*; the plan is in the log.
    """
    from slipway import reindex, settings
    from slipway.errors import BudgetExceeded
    from slipway.layout import plan as plan_place
    from slipway.manifest import load

    context = get_current_context()
    check_parameters(context)
    with open_campaign() as run:
        begun = reindex.begin(run, _asked(context), settings.collections_folder())
        try:
            made = reindex.plan(run)
        except BudgetExceeded:
            _tell_plan(run, load(run.store, plan_place(run.run_id)))  # sealed before it was refused
            raise
        _tell_plan(run, made)
    return {"encoder": begun.encoder, "generation": begun.generation, "plan": made.place}


@step(hours=6)
def sample() -> dict[str, Any]:
    """### Try the encoder on some documents first

    Embeds the documents that golden queries judge, and others drawn beside them up to *Sample first*; then searches
    them exactly, in the new space and in the live one. The vectors are kept, and nothing is embedded twice.

    **Skipped** when the sample is 0. **Red?** `GateRefused`: on the sample the encoder is certainly worse than
    `reindex.margin` allows; the log has the interval. Nothing else was embedded.
    """
    from slipway import reindex

    with open_campaign() as run:
        if not reindex.asked_of(run).sample:
            raise AirflowSkipException("the run was started with a sample of 0 documents")
        tried = reindex.sample(run)
    print(tried.get("says", tried))  # noqa: T201
    return tried


@step(hours=0.5, trigger_rule=TriggerRule.NONE_FAILED)
def shards() -> list[dict[str, int]]:
    """### The shards of the plan

    What the plan that `preflight` froze was cut into: one mapped task of `embed` each. None when every vector is there.

    **Red?** The store did not answer; clear it to try again.
    """
    from slipway.layout import plan
    from slipway.manifest import load

    with open_campaign() as run:
        return list(load(run.store, plan(run.run_id)).facts["shards"])


@step(hours=6, pool=pools.EMBED_CPU, map_index_template="{{ label }}")
def embed(shard: dict[str, int]) -> dict[str, Any]:
    """### Embed one shard of the plan

    Vectors go into the store group by group, so that a killed task loses seconds, and a retry goes on where it ended.
    Shares its pool with the nights: raise its slots, or the weight of the nights, where they wait too long.

    **Red?** `EncoderError`: the model is missing on this worker, was altered, or made unsound vectors; see the log.
    **Scheduled for ever?** The pool has no free slot, or does not exist: `python -m slipway_airflow.pools` creates it.
    """
    from slipway.layout import plan
    from slipway.manifest import load
    from slipway.stages.embed import embed

    get_current_context()["label"] = shard_label(shard)  # type: ignore[typeddict-unknown-key]
    with open_campaign() as run:
        return asdict(embed(run, load(run.store, plan(run.run_id)), shard["shard"]))


@step(hours=BUILD_HOURS, pool=pools.INDEX, trigger_rule=TriggerRule.NONE_FAILED)
def build() -> dict[str, Any]:
    """### Build the candidate, measure it, and compare it with what serves

    Takes the newest night's documents again, and embeds what has changed since the plan. Builds the index, compares
    the ids in all its parts, measures recall, relevance, latency and size; then searches every golden query in the
    candidate and in the live release, side by side.

    **Red?** `IndexRefused`: the vectors at hand cannot carry the index that was asked for. `ReconcileRefused`: its
    parts do not hold the same ids; clear this task. `EncoderError`: the model of the live release is not on this worker
    any more, so nothing can be compared with it. `GoldenError`: the golden file is missing or malformed.
    """
    from slipway import reindex
    from slipway.pointer import read_serving

    with open_campaign() as run:
        return {**_places(reindex.build(run)), "generation": read_serving(run.store)[0].generation}


@step(hours=1)
def judge(built: Mapping[str, str | None]) -> dict[str, Any]:
    """### Judge it, and write the report

    Each gate with its value and threshold; against the live release by the interval of the difference on the same
    golden queries. What cannot be told from so few queries is **undecided**, which is not a pass. This task is green
    whatever the verdict is: the task after it asks a person, or refuses.

    **Red?** An error of the store or of this program; the log's last lines say which. Clear it to try again.
    """
    from slipway import reindex
    from slipway_airflow.campaign_report import spent_by

    with open_campaign() as run:
        made = _loaded(run, built)
        judged = reindex.judge(run, made, spent_by(get_current_context()["ti"]))
    for gate in judged.verdict.gates:
        print(f"{'pass' if gate.passed else 'undecided' if gate.undecided else 'FAIL'}  {gate.reason}")  # noqa: T201
    compared = made.comparison.facts if made.comparison else {}
    return {
        "outcome": judged.verdict.outcome,
        "candidate": built["candidate"],
        "gates": judged.verdict.as_json(),
        "report": judged.report.place if judged.report else None,
        "metrics": dict(made.evaluation.facts["metrics"]),
        "comparison": {name: compared[name] for name in SHOWN if name in compared},
    }


@step(hours=BUILD_HOURS)
def release(built: Mapping[str, Any], approval: Mapping[str, Any]) -> dict[str, Any]:
    """### Make it live

    Takes the collection's lease, so no night is at work meanwhile. Catches up with the nights once more, judges again
    what came of that, and then does what the release of a night does: copies the artifact, reads it back, shifts where
    the collection file says `release.shift`, and swaps `serving.json`. The encoder of queries changes in that swap.

    **Up for retry?** `RunInProgress`: a night is at work; this waits for it, for hours if it must.

    **Red?** `GateRefused`: after the catch-up a gate fails that had passed, so the approval does not hold: start a new
    run, and decide again; nothing is embedded again. `ReleaseRefused`: the artifact is not whole, readers took it back
    during a shift, or another vector space is live than was compared; the log says which. The live release serves on.
    """
    from slipway import reindex
    from slipway_airflow.assets import release_asset, release_facts
    from slipway_airflow.campaign_report import spent_by

    context = get_current_context()
    ti = context["ti"]
    with open_campaign() as run:
        done = reindex.release(
            run, reindex.asked_of(run), approval_of(approval), built["generation"], seconds=spent_by(ti)
        )
        asset = release_asset(run.collection.name)
    context["ti"].xcom_push("released", asdict(done))
    if not done.released:
        raise AirflowSkipException(done.reason)  # a skipped task sends no asset event
    context["outlet_events"][asset].extra = release_facts(done.release_id, done.generation, {})
    return asdict(done)


@step(hours=0.5)
def report() -> str:
    """### Say what the campaign did, and clear up

    Runs whatever happened before. Writes `runs/<run>/result.json`, prints it below, gives the campaign's lease back and
    lets the next one begin. Of a campaign that was **refused or rejected** it removes the candidate and what was
    measured on it; the vectors, the plan, the report and the decision stay. After an error nothing is removed, so that
    clearing the red task goes on from there.

    **Red?** Only this is missing: the outcome is that of the other tasks. Clear it to do it again.
    """
    from slipway import layout, lease, reindex
    from slipway.result import write
    from slipway.rollout import end_left_behind
    from slipway_airflow.campaign_report import gather, is_refused

    ti = get_current_context()["ti"]
    with open_campaign(lease=False) as run:
        end_left_behind(run.store, run.run_id)  # of a release task that no retry will come to
        made = gather(run, ti)
        write(run, made)
        print(json.dumps(made, indent=1, ensure_ascii=False))  # noqa: T201
        if is_refused(made):
            reindex.discard(run)
        for key in (layout.LEASE, layout.REINDEX_LEASE):
            lease.release(run.store, run.run_id, key=key)
        return layout.result(run.run_id)


def judged_of(run: Run, told: Mapping[str, Any]) -> Judged:
    """What `judge` returned, as `slipway.reindex` has it."""
    from slipway.evaluation.gates import GateResult, Verdict
    from slipway.manifest import load
    from slipway.reindex import Judged

    report = load(run.store, told["report"]) if told["report"] else None
    return Judged(Verdict(tuple(GateResult(**one) for one in told["gates"])), report)


def approval_of(given: Mapping[str, Any]) -> Approval:
    """What `approve` returned, as `slipway.decisions` has it: an XCom may hold a list where that has a tuple."""
    from slipway.decisions import Approval

    return Approval.from_json(given)


def _asked(context: Context) -> Asked:
    from slipway.reindex import Asked

    params = context["params"]
    asked = {name: params[name] for name in ("encoder", "index", "reason", "sample", "approval", "budget_hours")}
    return Asked(who=who(context["dag_run"]), **asked | {"index": asked["index"] or ""})


def _tell_plan(run: Run, made: Manifest) -> None:
    from slipway import reindex
    from slipway.checkpoint import as_started
    from slipway.cli import show

    numbers = reindex.numbers(as_started(run), made)
    told = {"collection": run.collection.name, "run_id": run.run_id, "plan": numbers, "seconds": {}}
    print(show.plan(told))  # noqa: T201
    print(f"  hours: about {numbers['hours']:g} on {numbers['workers']} workers (embed.workers)")  # noqa: T201
    get_current_context()["ti"].xcom_push("plan", numbers)


def _places(built: Built) -> dict[str, str | None]:
    return {part: made.place if (made := getattr(built, part)) else None for part in PARTS}


def _loaded(run: Run, places: Mapping[str, Any]) -> Built:
    from slipway.manifest import load
    from slipway.reindex import Built

    return Built(**{part: load(run.store, place) if (place := places[part]) else None for part in PARTS})
