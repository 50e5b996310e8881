"""The nightly DAG of a collection, without its tasks: schedule, parameters and the page that the Airflow UI shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk import DAG, Param

from slipway_airflow.runs import NIGHTLY, dag_id

if TYPE_CHECKING:
    from slipway.config import Collection

SINCE = datetime(2026, 1, 1, tzinfo=UTC)  # a cron schedule needs a beginning; nothing is caught up

RELEASE_HOURS = 2  # without the time of a shift

PAGE = """
### {collection}: the nightly run

{description}

Reads the sources, embeds what is new, builds an index, proves it, and makes it live. Work is in proportion to what
changed, and what is finished is not done twice: **clearing a red task and letting it run again is always safe**.

| task | does |
|---|---|
| `preflight` | waits for other runs; finds wrong settings, a missing connection, model or golden file |
| `extract` | reads what changed in a source, or every row; one mapped task a source |
| `clean` | turns rows into documents; rejected rows are kept with their reason |
| `snapshot` | one state of the whole collection, without duplicates |
| `compare` | the difference to the live release; stops a night that would delete or change too much |
| `chunk` | cuts documents into passages |
| `plan` | finds the passages without a vector, says what they cost, and cuts the work into shards |
| `embed` | one mapped task a shard; skipped when nothing is new |
{shards}| `index` | updates the live index or builds one: the candidate |
| `reconcile` | compares the ids in snapshot, chunks, vectors, index and payload |
| `evaluate` | measures it against exact search and golden queries |
| `side_by_side` | asks the live release the same golden queries, and compares the two query by query |
| `drift` | compares documents and vectors with those of the live release; its alarms stop nothing |
| `gate` | judges the measurements; a failed gate ends the run here |
| `release` | makes the candidate live, in one swap or by a gradual shift; skipped when the live release is the same |
| `report` | writes `runs/<run>/result.json` and prints the result, whatever happened before |

**The run is red:** nothing was released, and the live release serves on as before. Open the first red task: its page
says what to do, and the last lines of its log say what happened. `report` is green even then, since it did its work:
its log shows how far the run came. The run's colour is that of `release` and all before it.

**Go back to the release before:** trigger `{collection}__rollback`, or `slipway rollback {collection} --reason "…"`.
"""

SHARDS = """\
| `index_shards` | trains an index that is built anew, and shares its vectors out; none where it is updated |
| `index_shard` | one mapped task a shard of the index; skipped where there is none |
"""


def nightly_dag(collection: Collection) -> DAG:
    """The DAG `<collection>__nightly`, to be filled with tasks in a `with` block."""
    return DAG(
        dag_id(collection.name, NIGHTLY),
        description=collection.description or f"Builds, proves and releases the index of {collection.name}",
        schedule=collection.schedule,
        start_date=SINCE,
        catchup=False,
        max_active_runs=1,
        params=_params(),
        tags=["slipway", collection.name, NIGHTLY],
        doc_md=PAGE.format(
            collection=collection.name,
            description=collection.description,
            shards=SHARDS if collection.index.shards.vectors else "",
        ),
    )


def release_limit(collection: Collection) -> timedelta:
    """The most time that the release task may take: each share of a shift is waited for, and then watched."""
    settings = collection.release
    shift = len(settings.shift) * timedelta(minutes=settings.wait_minutes + settings.step_minutes)
    return timedelta(hours=RELEASE_HOURS) + shift


def _params() -> dict[str, Param]:
    return {
        "reason": Param(
            "",
            type="string",
            maxLength=500,
            title="Reason",
            description="Why this run is started by hand; kept in the audit trail of the release.",
        ),
        "full": Param(
            False,
            type="boolean",
            title="Read everything",
            description="Read every row of every source and compare it, where a watermark or a change feed would do. "
            "Texts that did not change are not embedded again.",
        ),
        "allow_deletes": Param(
            False,
            type="boolean",
            title="Allow mass deletes",
            description="Let this run remove more documents than limits.deleted_share of the collection file. Only "
            "after you have seen that the source really lost them.",
        ),
        "allow_changes": Param(
            False,
            type="boolean",
            title="Allow mass changes",
            description="Let this run change more documents than limits.changed_share of the collection file.",
        ),
        "allow_over_budget": Param(
            False,
            type="boolean",
            title="Allow more than the budget",
            description="Let this run embed more than embed.budget of the collection file.",
        ),
        "allow_undecided": Param(
            False,
            type="boolean",
            title="Allow undecided gates",
            description="Let this run release although the golden queries are too few to tell whether something was "
            "lost against the live release, or although that cannot be searched any more.",
        ),
        "allow_encoder_change": Param(
            False,
            type="boolean",
            title="Allow another encoder",
            description="Let this run move the collection to another vector space. Everything is embedded again, and "
            "readers that search by vector must change with it.",
        ),
    }
