"""The maintenance of a collection's store in Airflow: the DAG without its tasks, the tasks, and their pages."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, get_current_context

from slipway_airflow.nightly import SINCE
from slipway_airflow.runs import dag_id, open_run, who
from slipway_airflow.steps import step

if TYPE_CHECKING:
    from slipway.config import Collection
    from slipway.lease import Holder
    from slipway.run import Run

MAINTENANCE = "maintenance"

# Growing delays would let run after run go first: the gaps between them are short.
STEADY = {"retry_delay": timedelta(minutes=10), "retry_exponential_backoff": 0}

PAGE = """
### {collection}: maintenance of the store

Proves that every release is whole, removes what nobody needs any more, and proves that what serves can be brought back.
Nothing is removed while a release is damaged: an older one may be needed yet. How long things are kept is said by
`maintenance` and `release` in the collection file.

| task | does |
|---|---|
| `verify` | reads every object of every release, and compares it with what was sealed |
| `retention` | removes releases that are too old and in nobody's use; says of each why it is kept or goes |
| `maintain` | removes what nothing kept is made of, and merges small parts of the vector store |
| `backup` | copies the live release to `release.backup`; skipped where none is configured |
| `drill` | restores the newest backup into an empty store beside, and serves from it |

`retention` and `maintain` wait while a run is at work. All can be killed and cleared at any time.

**Red?** What serves was not touched. The log says what is missing or damaged; see the task's page.

**See first what would go:** `slipway retention {collection} --dry-run`, `slipway maintain {collection} --dry-run`.
"""


def maintenance_dag(collection: Collection) -> DAG:
    """The DAG `<collection>__maintenance`, to be filled with its tasks in a `with` block."""
    return DAG(
        dag_id(collection.name, MAINTENANCE),
        description=f"Proves the releases of {collection.name}, and removes what nobody needs",
        schedule=collection.maintenance.schedule,
        start_date=SINCE,
        catchup=False,
        max_active_runs=1,
        tags=["slipway", collection.name, MAINTENANCE],
        doc_md=PAGE.format(collection=collection.name),
    )


@step(hours=2)
def retention() -> dict[str, Any]:
    """### Remove releases that are too old

    Keeps the newest `release.keep` whole releases, and in any case what is live, on standby or on trial, what is
    pinned, and what a reader has loaded that is alive. Each that goes is marked in `serving.json` first, so that no
    rollback can come back to it half-way. Every release is printed below with its fate and all reasons.

    **Up for retry?** `RunInProgress`: a run is at work on the collection; this waits for it, for hours if it must.

    **Red?** `ReleaseRefused`: somebody changed `serving.json` at the same moment: clear this task. `CorruptObject`: it
    cannot be read what serves, so nothing was removed: see `slipway recover`.
    """
    from slipway import maintenance
    from slipway.cli.retention import retained

    with open_run(lease=False) as run:
        done = maintenance.retain_alone(run, _holder(run)).as_json()
        print(retained({"collection": run.collection.name, **done}))  # noqa: T201
    return done


@step(hours=6)
def maintain() -> dict[str, Any]:
    """### Remove what nobody needs, merge what is small

    Marks what the retained releases, the newest checkpoints and recent runs are made of, and removes the rest once it
    is older than `maintenance.keep_days`; then merges small vector parts and drops vectors that nothing kept needs.
    What went, by kind, is printed below in the log.

    **Up for retry?** `RunInProgress`: a run is at work on the collection; this waits for it, for hours if it must.

    **Red?** `ObjectMissing`, `CorruptObject`: something that decides what is needed is not there or cannot be read, so
    nothing of what depends on it was removed; the log names it: restore it, then clear this task. `EncoderError`: the
    collection's model is not on this worker, so it cannot be told whose vectors are still in use.
    """
    from slipway import maintenance
    from slipway.cli.maintain import maintained

    with open_run(lease=False) as run:
        done = maintenance.maintain_alone(run, _holder(run)).as_json()
        print(maintained({"collection": run.collection.name, **done}))  # noqa: T201
    return done


@step(hours=6)
def verify() -> dict[str, Any]:
    """### Compare every object of every release with what was sealed

    Reads all of it from the store: sizes, SHA-256, each manifest against `serving.json` and the audit trail and, where
    `SLIPWAY_PUBLIC_KEY` is set, its signature. Nothing is written.

    **Red?** `CorruptObject` names each object and what is wrong with it. When it is the live release: roll back first.
    Then bring it back from a backup: `slipway restore <collection> --release <release id> --add --reason "…"`.
    """
    from slipway.cli.verify import table
    from slipway.errors import CorruptObject
    from slipway.signing import trusted_here
    from slipway.verification import verify as scrub

    with open_run(lease=False) as run:
        found = scrub(run.store, run.scratch, trusted=trusted_here())
        print(table({"collection": run.collection.name, **found.as_json()}))  # noqa: T201
    if not found.sound:
        raise CorruptObject("; ".join(found.damaged))
    return found.as_json()


@step(hours=6)
def backup() -> dict[str, Any]:
    """### Copy the live release to the backup store

    To `release.backup` of the collection file, with every object checked on the way. What is there already is not
    copied again. **Skipped** where no backup store is configured, or nothing is released yet.

    **Red?** `CorruptObject`, `ObjectMissing`: the live release is damaged. `ReleaseRefused`: the backup store holds
    another history, of a store that was begun anew, say.
    """
    from slipway.backup import back_up
    from slipway.cli.backup import backed_up
    from slipway.signing import trusted_here
    from slipway.stores import backup_store

    with open_run(lease=False) as run:
        target = backup_store(run.collection)
        if target is None:
            raise _skipped("no backup store is configured; release.backup names one")
        _check_released(run)
        done = back_up(run.store, target, run.scratch, trusted=trusted_here()).as_json()
        print(backed_up({"collection": run.collection.name, **done}))  # noqa: T201
    return done


@step(hours=6, trigger_rule="none_failed")
def drill() -> dict[str, Any]:
    """### Bring a backup back, to know that it can be done

    Restores the newest backup (without a backup store: the live release) into an empty store on this worker, opens it
    as a reader does, runs its smoke queries and counts what is in it. The seconds it took are printed below. Nothing is
    written to the real stores, and the copy is removed.

    **Skipped** where nothing is released yet.

    **Red?** The backup is not worth what it should be; the message says what is wrong with it.
    """
    from slipway.cli.drill import drilled
    from slipway.drill import drill as rehearse
    from slipway.signing import trusted_here
    from slipway.stores import backup_store

    with open_run(lease=False) as run:
        _check_released(run)
        done = rehearse(run.store, backup_store(run.collection), run.scratch, trusted_here()).as_json()
        print(drilled({"collection": run.collection.name, **done}))  # noqa: T201
    return done


def _holder(run: Run) -> Holder:
    """Who wants the lease. A nightly run may have the same DAG run id: it must not take this for itself."""
    from slipway.lease import Holder

    return Holder(f"{MAINTENANCE}-{run.run_id}", who(get_current_context()["dag_run"]), MAINTENANCE)


def _check_released(run: Run) -> None:
    """Skip the task where nothing was released yet: a new collection is no failure."""
    from slipway.pointer import read_serving

    if read_serving(run.store)[0].live_release is None:
        raise _skipped("nothing is released yet")


def _skipped(why: str) -> Exception:
    from airflow.sdk.exceptions import AirflowSkipException

    return AirflowSkipException(why)
