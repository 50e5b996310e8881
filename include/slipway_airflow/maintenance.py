"""The maintenance of a collection's store in Airflow: the DAG without its task, the task, and their pages."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, get_current_context

from slipway_airflow.nightly import SINCE
from slipway_airflow.runs import dag_id, open_run, who
from slipway_airflow.steps import step

if TYPE_CHECKING:
    from slipway.config import Collection

MAINTENANCE = "maintenance"

# Growing delays would let run after run go first: the gaps between them are short.
STEADY = {"retry_delay": timedelta(minutes=10), "retry_exponential_backoff": 0}

PAGE = """
### {collection}: maintenance of the store

Removes what nobody needs any more, and merges small parts of the vector store. Releases are never removed; what they,
the newest checkpoints and recent runs are made of stays. How long things are kept is said by `maintenance` in the
collection file.

| task | does |
|---|---|
| `maintain` | all of it; waits while a run is at work, and can be killed and cleared at any time |

**Red?** Nothing that serves was touched. The log says what is missing or damaged; see the task's page.

**See first what would go:** `slipway maintain {collection} --dry-run`.
"""


def maintenance_dag(collection: Collection) -> DAG:
    """The DAG `<collection>__maintenance`, to be filled with its task in a `with` block."""
    return DAG(
        dag_id(collection.name, MAINTENANCE),
        description=f"Removes what nobody needs any more from the store of {collection.name}",
        schedule=collection.maintenance.schedule,
        start_date=SINCE,
        catchup=False,
        max_active_runs=1,
        tags=["slipway", collection.name, MAINTENANCE],
        doc_md=PAGE.format(collection=collection.name),
    )


@step(hours=6)
def maintain() -> dict[str, Any]:
    """### Remove what nobody needs, merge what is small

    Marks what the releases, the newest checkpoints and recent runs are made of, and removes the rest once it is older
    than `maintenance.keep_days`; then merges small vector parts and drops vectors that nothing kept needs. What went,
    by kind, is printed below in the log.

    **Up for retry?** `RunInProgress`: a run is at work on the collection; this waits for it, for hours if it must.

    **Red?** `ObjectMissing`, `CorruptObject`: something that decides what is needed is not there or cannot be read, so
    nothing of what depends on it was removed; the log names it: restore it, then clear this task. `EncoderError`: the
    collection's model is not on this worker, so it cannot be told whose vectors are still in use.
    """
    from slipway import maintenance
    from slipway.cli.maintain import maintained
    from slipway.lease import Holder

    dag_run = get_current_context()["dag_run"]
    with open_run(lease=False) as run:
        # A nightly run may have the same DAG run id: it must not take this for itself.
        holder = Holder(f"{MAINTENANCE}-{run.run_id}", who(dag_run), MAINTENANCE)
        done = maintenance.maintain_alone(run, holder).as_json()
        print(maintained({"collection": run.collection.name, **done}))  # noqa: T201
    return done
