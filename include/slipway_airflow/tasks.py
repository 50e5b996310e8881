"""The tasks of a run: each opens the run, calls one stage, and returns where its output lies and what it counted.

Their docstrings are their pages in the Airflow UI. What passes between them is places in the store, ids, counts and
seconds: never rows, texts, vectors or secrets. Stages are imported inside, so that parsing a DAG stays light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from slipway_airflow import pools
from slipway_airflow.nightly import RELEASE_HOURS
from slipway_airflow.runs import check_parameters, open_run, who
from slipway_airflow.steps import step

if TYPE_CHECKING:
    from airflow.sdk import Context

    from slipway.manifest import Manifest
    from slipway.run import Run

RETURNED = "return_value"
# Parameters of the DAG
ALLOWED = ("allow_deletes", "allow_changes", "allow_over_budget", "allow_encoder_change", "allow_undecided")
Sealed = dict[str, Any]  # {"place": …, and counts}


@step(hours=0.5)
def preflight() -> dict[str, Any]:
    """### Find what is wrong before any work

    Checks the run's parameters, the store, the connections, the encoder's model, the golden file and the index spec, in
    seconds. Notes what this run builds on: the newest checkpoint, and the generation of `serving.json`, so that a
    release by somebody else meanwhile is noticed. Waits when another run is at work on the collection.

    **Red?** The last line of the log names the file, field, connection or parameter, and what was expected. Correct it,
    then clear this task. `EncoderError` means that the collection now names another vector space: start the run with
    *Allow another encoder* if that is meant.
    """
    from slipway.rollout import end_interrupted
    from slipway.stages.preflight import preflight

    context = get_current_context()
    check_parameters(context)
    params = context["params"]
    allowed = [name.removeprefix("allow_") for name in ALLOWED if params[name]]
    with open_run() as run:
        end_interrupted(run.store, run.run_id)
        return asdict(preflight(run, allowed, params["full"]))


@step(hours=6, map_index_template="{{ task.op_kwargs['source'] }}")
def extract(source: str) -> Sealed:
    """### Read one source

    Streams every row of the source, or those that changed since the checkpoint, as they are, into Parquet parts in the
    store. Memory stays flat. The log says which of the two, and why.

    **Red?** `SourceSchemaError`, `SourceDenied`: correct the table, column, path or permission that is named.
    `SourceRefused`: the source returned nothing; look at the source. `SourceInterrupted` is tried again by itself: what
    was read of a broken reading is never used. Then clear this task; sources that were read are not read again.
    """
    from slipway.stages.extract import extract

    with open_run() as run:
        made = extract(run, source)
        print(f"{made.facts['mode']}: {made.facts['reason']}; {made.counts}")  # noqa: T201
        return _sealed(made, source=source)


@step(hours=6, map_index_template="{{ task.op_kwargs['raw']['source'] }}")
def clean(raw: Sealed) -> Sealed:
    """### Turn rows into documents

    Repairs Unicode, strips markup, checks ids, length and language. Rows that the last snapshot knows are not cleaned
    again. Every rejected row is kept with its reason, and the counts add up, always.

    **Red?** Rejected rows never fail this task; look at the log for the column or the setting that is named.
    """
    from slipway.manifest import load
    from slipway.stages.clean import clean

    with open_run() as run:
        made = clean(run, raw["source"], load(run.store, raw["place"]))
        return _sealed(made, source=raw["source"], rejected_by_reason=made.facts["rejected_by_reason"])


@step(hours=6)
def snapshot(documents: Sequence[Sealed]) -> Sealed:
    """### One state of the whole collection

    The checkpoint's snapshot with what changed since, from all sources. Drops repeated ids and repeated texts by rules
    that depend on no order.

    **Red?** An error of the store or of this program; the log's last lines say which. Clear it to try again.
    """
    from slipway.manifest import load
    from slipway.stages.snapshot import snapshot

    with open_run() as run:
        # One slice: Airflow's lazy sequence of mapped results logs an error at the end when it is iterated.
        made = snapshot(run, [load(run.store, one["place"]) for one in documents[:]])
        return _sealed(made, rejected_by_reason=made.facts["rejected_by_reason"])


@step(hours=2)
def compare(snapshot: Sealed, raw: Sequence[Sealed]) -> Sealed:
    """### What changes against the live release: the breaker

    Counts what was added, changed and deleted since the live release. When that is allowed, a checkpoint is written:
    only now do watermarks move, and the next run builds on this snapshot.

    **Red?** `BreakerTripped`: more documents would vanish or change, or more rows were turned away, than `limits` in
    the collection file allows. The log names the first of them. Look at the source. If it is right, start a new run
    with *Allow mass deletes* or *Allow mass changes*, or raise the limit.
    """
    from slipway import checkpoint
    from slipway.manifest import load
    from slipway.pipeline import live_snapshot
    from slipway.stages.difference import check_breaker, difference

    with open_run() as run:
        new = load(run.store, snapshot["place"])
        made = difference(run, new, live_snapshot(run))
        check_breaker(run, new, made)
        checkpoint.write(run, new, checkpoint.states(load(run.store, one["place"]) for one in raw[:]))
        return _sealed(made)


@step(hours=6)
def chunk(snapshot: Sealed) -> Sealed:
    """### Cut documents into passages

    With the encoder's own tokenizer, at sentence and paragraph boundaries. A document that did not change is not cut
    twice.

    **Red?** `EncoderError`: the model's tokenizer cannot be loaded on this worker; the log says where it was sought.
    """
    from slipway.manifest import load
    from slipway.stages.chunk import chunk

    with open_run() as run:
        return _sealed(chunk(run, load(run.store, snapshot["place"])))


@step(hours=2)
def plan(chunks: Sealed, difference: Sealed) -> list[dict[str, int]]:
    """### Find the passages that have no vector yet, and what they will cost

    Prints the plan: what changed, what will be embedded, estimated minutes and bytes. Cuts the work into shards of
    about the same number of tokens, at most 1,000, and freezes it in the store, so that retries see the same shards. No
    shard at all means that nothing is new.

    **Red?** `BudgetExceeded`: more would be embedded than `embed.budget` in the collection file allows. The plan is in
    the log and on the run's Result page. If it is meant, start a new run with *Allow more than the budget*.
    """
    from slipway.errors import BudgetExceeded
    from slipway.layout import plan as plan_place
    from slipway.manifest import load
    from slipway.stages.plan import plan

    with open_run() as run:
        try:
            made = plan(run, load(run.store, chunks["place"]), load(run.store, difference["place"]))
        except BudgetExceeded:
            _tell_plan(run, load(run.store, plan_place(run.run_id)))  # sealed before it was refused
            raise
        _tell_plan(run, made)
        return list(made.facts["shards"])


def _tell_plan(run: Run, made: Manifest) -> None:
    from slipway.cli import show
    from slipway.result import Steps, assemble

    print(show.plan(assemble(run, Steps(plan=made))))  # noqa: T201
    get_current_context()["ti"].xcom_push("plan", _sealed(made))


def shard_label(shard: dict[str, int]) -> str:
    """What a mapped shard is called in the UI: "shard 3: 2,048 chunks, 311k tokens"."""
    tokens = shard["tokens"]
    short = f"{tokens / 1000:,.0f}k" if tokens >= 1000 else str(tokens)
    return f"shard {shard['shard']}: {shard['chunks']:,} chunks, {short} tokens"


@step(hours=6, pool=pools.EMBED_CPU, map_index_template="{{ label }}")
def embed(shard: dict[str, int]) -> dict[str, Any]:
    """### Embed one shard of the plan

    Vectors go into the store group by group, so that a killed task loses seconds, and a retry goes on where it ended.
    Runs in the pool `slipway_embed_cpu` or `slipway_embed_gpu`: its slots say how many shards run at once.

    **Red?** `EncoderError`: the model is missing on this worker, was altered, or made unsound vectors; see the log.
    **Scheduled for ever?** The pool has no free slot, or does not exist: `python -m slipway_airflow.pools` creates it.
    """
    from slipway.layout import plan
    from slipway.manifest import load
    from slipway.stages.embed import embed

    get_current_context()["label"] = shard_label(shard)  # type: ignore[typeddict-unknown-key]
    with open_run() as run:
        return asdict(embed(run, load(run.store, plan(run.run_id)), shard["shard"]))


@step(hours=6, pool=pools.INDEX, trigger_rule=TriggerRule.NONE_FAILED)
def index(chunks: Sealed) -> Sealed:
    """### Update the live index, or build one anew: the candidate

    Takes the changes into a copy of the live index, or trains and fills a new one where a trigger asks for it or that
    is cheaper; the log names each trigger with its value. Not live yet. Runs even when `embed` was skipped, since
    documents may have been deleted; the same chunks and settings are not built twice.

    **Red?** `IndexRefused`: the vectors at hand cannot carry the index spec; the log says how many are needed.
    """
    from slipway.manifest import load
    from slipway.stages.index import index

    with open_run() as run:
        made = index(run, load(run.store, chunks["place"]))
        return _sealed(made, spec=made.facts["spec"]["factory"])


@step(hours=2, pool=pools.INDEX)
def reconcile(snapshot: Sealed, chunks: Sealed, candidate: Sealed) -> dict[str, Any]:
    """### Compare what every part holds

    The ids in the snapshot, in its chunks, in the vector store, in the index and in the payload must be the same.

    **Red?** `ReconcileRefused`: they are not; the log names how many, and the first. Nothing was released, and the
    candidate was discarded: start a new run, which makes it again. If that is refused too, set
    `index: {update: {enabled: false}}` in the collection file, and report it.
    """
    from slipway.manifest import load
    from slipway.stages.reconcile import reconcile

    with open_run() as run:
        places = (snapshot["place"], chunks["place"], candidate["place"])
        return asdict(reconcile(run, *(load(run.store, place) for place in places)))


@step(hours=2, pool=pools.INDEX)
def evaluate(candidate: Sealed) -> Sealed:
    """### Measure the candidate

    Recall against exact search over the same vectors; relevance against the golden queries; latency; size. Shares the
    pool of `index`, so that no build on the same worker disturbs the latency.

    **Red?** `GoldenError`: the golden file is missing or malformed; the log names the line.
    """
    from slipway.manifest import load
    from slipway.stages.evaluate import evaluate

    with open_run() as run:
        made = evaluate(run, load(run.store, candidate["place"]))
        return {"place": made.place, "metrics": dict(made.facts["metrics"])}


@step(hours=2, pool=pools.INDEX)
def side_by_side(candidate: Sealed, evaluation: Sealed) -> Sealed | None:
    """### Ask the live release the same questions

    Searches the live release with its own encoder for the golden queries of today, and compares the two query by query:
    each difference with the interval in which it lies, by slice, and how alike the rankings are. Judged documents that
    were deleted at the source are left out on both sides. Nothing to do on a first run, or without golden queries.

    A live release of which an object is damaged or missing is not compared, with a warning in the log: the gates are
    undecided then, and a run with *Allow undecided gates* replaces it.

    **Red?** `EncoderError`: the model of the live release is not on this worker; put it back, or start a run with
    *Allow undecided gates*, which releases without this comparison. `GoldenError`: the golden file changed meanwhile.
    """
    from slipway.manifest import load
    from slipway.stages.comparison import compare

    with open_run() as run:
        made = compare(run, load(run.store, candidate["place"]), load(run.store, evaluation["place"]))
        return _sealed(made, neighbours=made.facts["neighbours"]) if made else None


@step(hours=1)
def drift(snapshot: Sealed, candidate: Sealed, comparison: Sealed | None = None) -> Sealed:
    """### Compare the candidate's documents and vectors with those of the live release

    Draws some of either by hash and compares norms, equal vectors, where the vectors lie, languages, lengths, filled
    fields and rejected rows; embeds some passages anew and holds them beside their stored vectors. What is seen is kept
    in the store, so that a trend shows: `slipway drift` prints it. Runs beside the gates.

    **An alarm** is a line `ALARM` in the log, and stands on the run's Result page. It stops nothing: the gates decide.
    It means that something differs by more than chance gives and by enough to matter, and its sentence says what,
    against which release. Look at what changed in the sources, the templates of the collection file or the model;
    "a drift alarm" in the runbook has a paragraph for each. If the change is meant, there is nothing to do: the next
    night is compared with the release that has it.

    **Red?** Nothing was measured, and the release is not held up. `EncoderError`: the model changed during the run, or
    is missing on this worker. Clear the task to measure again.
    """
    from slipway.manifest import load
    from slipway.stages.drift import observe

    with open_run() as run:
        compared = load(run.store, comparison["place"]) if comparison else None
        made = observe(run, load(run.store, snapshot["place"]), load(run.store, candidate["place"]), compared)
        for one in made.facts["measures"]:
            print(f"{'ALARM' if one['alarm'] else 'quiet'}  {one['says']}")  # noqa: T201
        return _sealed(made)


@step(hours=0.5)
def gate(evaluation: Sealed, comparison: Sealed | None) -> list[dict[str, Any]]:
    """### Judge the measurements

    Each gate of the collection file compares one metric with its threshold, and with the live release where asked for:
    a loss is within the margin, certainly beyond it, or undecided, where the golden queries are too few to tell.

    **Red?** The candidate failed the gates that the log names, each with its value and threshold. Nothing was released.
    Look at what changed (`compare`), at `by_slice` in the result, and decide: mend the source or the settings, or move
    the gate. **UNDECIDED**: add golden queries, or start a run with *Allow undecided gates*. The candidate, its
    evaluation and its comparison are kept in the store.
    """
    from slipway.cli.show import mark
    from slipway.errors import GateRefused
    from slipway.pipeline import verdict

    with open_run() as run:
        judged = verdict(run, _load(run, evaluation), _load(run, comparison) if comparison else None)
    for one in judged.as_json():
        print(f"{mark(one)}  {one['reason']}")  # noqa: T201
    if not judged.passed:
        get_current_context()["ti"].xcom_push(RETURNED, judged.as_json())
        raise GateRefused("the candidate was refused, the live release is untouched: " + "; ".join(judged.reasons))
    return judged.as_json()


@step(hours=RELEASE_HOURS)
def release(
    began: dict[str, Any],
    candidate: Sealed,
    evaluation: Sealed,
    gates: list[dict[str, Any]],
    comparison: Sealed | None,
) -> None:
    """### Make the candidate live

    Copies the artifact under one manifest, reads it back through the reader, asks its smoke queries, and swaps
    `serving.json` in one step. The release before stays on standby.

    **A gradual shift** comes before that swap where the collection file says `release.shift`. The release is on trial:
    readers give it a growing share of the requests. Each share waits until every reader has acknowledged the release,
    which means that it has loaded and verified it, and is then watched for `release.step_minutes`; the log below has a
    line for each. When a reader refuses the release, falls silent or does not acknowledge in time, or when errors or
    latency pass the limits, it is **taken back** at once: all requests go to the live release again. Without readers
    the swap is made at once.

    **Skipped?** Nothing changed: the candidate is the live release. **Red?** `ReleaseRefused`: the artifact is not
    whole; or it was taken back, and the log says at which share and why: see "a shift was taken back" in the runbook;
    or somebody released or rolled back while this run was at work: start a new run. The live release serves on.
    Cleared or tried again after a kill, it goes on at the share that it had reached.
    """
    from slipway.evaluation.gates import GateResult, Verdict
    from slipway.stages.release import release
    from slipway_airflow.assets import release_asset, release_facts

    context = get_current_context()
    with open_run() as run:
        done = release(
            run,
            _load(run, candidate),
            _load(run, evaluation),
            Verdict(tuple(GateResult(**one) for one in gates)),
            began["generation"],
            who(context["dag_run"]),
            _why(context),
            comparison=_load(run, comparison) if comparison else None,
        )
        asset = release_asset(run.collection.name)
    context["ti"].xcom_push("released", asdict(done))
    if not done.released:
        raise AirflowSkipException(done.reason)  # a skipped task sends no asset event
    context["outlet_events"][asset].extra = release_facts(done.release_id, done.generation, evaluation["metrics"])


@step(hours=0.5)
def report() -> str:
    """### Say what the run did

    Runs whatever happened before. Writes the candidate's report, where one was judged that is not live already: the tab
    *Report* of the run shows it, and `slipway report` finds it. Writes `runs/<run>/result.json` to the store, prints it
    below in the log, and lets the next run begin.

    **Red?** Only a report is missing: the run's outcome is that of the other tasks. Clear it to write it again.
    """
    from slipway import lease
    from slipway.cli import show
    from slipway.layout import result as result_key
    from slipway.result import write
    from slipway.rollout import end_left_behind
    from slipway_airflow.report import gather, write_report

    context = get_current_context()
    with open_run(lease=False) as run:
        end_left_behind(run.store, run.run_id)  # of a release task that no retry will come to
        try:
            write_report(run, context["ti"], context["params"]["reason"])
        finally:  # without it, the result is told all the same, and the next run begins
            made = gather(run, context["ti"])
            write(run, made)
            print(show.result(made))  # noqa: T201
            lease.release(run.store, run.run_id)
        return result_key(run.run_id)


def _load(run: Run, sealed: Sealed) -> Manifest:
    from slipway.manifest import load

    return load(run.store, sealed["place"])


def _sealed(manifest: Manifest, **facts: Any) -> Sealed:
    return {"place": manifest.place, **manifest.counts, **facts}


def _why(context: Context) -> str:
    return context["params"]["reason"] or f"run {context['dag_run'].run_id} of {context['dag_run'].dag_id}"
