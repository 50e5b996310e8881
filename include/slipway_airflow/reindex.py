"""An upgrade of the model in Airflow: the DAG without its tasks, its form, and the page that the Airflow UI shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import DAG, Param

from slipway_airflow.nightly import SINCE
from slipway_airflow.runs import REINDEX, dag_id

if TYPE_CHECKING:
    from slipway.config import Collection

PAGE = """
### {collection}: upgrade of the model or the index

Embeds the whole collection anew with another encoder, or builds it with another index, **beside** what serves. Judges
the result against what serves on the same golden queries, asks a person, and only then makes it live. No source is
read: it builds from what the newest night left, and catches up with the nights that ran meanwhile. Nights go on.

| task | does |
|---|---|
| `preflight` | checks the form, the model and the index; prints the plan: chunks, tokens, hours, bytes |
| `sample` | tries the encoder on some documents first; stops where it is certainly worse |
| `shards` | says which shards of the plan there are |
| `embed` | one mapped task a shard; skipped when every vector is there already |
| `build` | catches up with the nights, builds the index, measures it, compares it with what serves |
| `judge` | judges that, and writes the report; green whatever the verdict is |
| `approve` | waits for a person, without a worker slot; red when rejected |
| `release` | catches up again, judges again, and makes it live as a night does |
| `report` | writes `runs/<run>/result.json`, gives the lease back, clears up what was refused or rejected |

**Clearing a red task and letting it run again is always safe**, and so is a new run with the same encoder: what is
embedded is found again, whatever happened. But one run asks about one verdict only: what has to be judged anew once a
person was asked, needs a new run. One upgrade of a collection runs at a time.

**To answer:** *Required Actions* of the run, or of the navigation; the run's page *Report* shows what is decided on.
Whoever may edit the DAG's runs in Airflow may answer. No answer in time is a rejection.

**The run is red:** nothing was released, and the live release serves on as before. Open the first red task: its page
says what to do. A run that was **refused by its gates or rejected by a person is red too**: a green run means that the
new index is live, or that what was asked for was live already. The vectors are kept, so that another try costs little.

**Afterwards** change `encoder` (or `index`) in the collection file: until then each night says that they disagree, and
follows what is live. **To go back:** trigger `{collection}__rollback`; the former encoder comes back with its index.

**Without Airflow:** `slipway reindex {collection} --encoder … --reason "…"`.
"""


def reindex_dag(collection: Collection) -> DAG:
    """The DAG `<collection>__reindex`, to be filled with its tasks in a `with` block.

    It has no schedule and is not paused when it is new, as whoever triggers it means it.
    """
    return DAG(
        dag_id(collection.name, REINDEX),
        description=f"Moves {collection.name} to another encoder or index: built beside, judged, approved by a person",
        schedule=None,
        start_date=SINCE,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        params=_params(collection),
        tags=["slipway", collection.name, REINDEX],
        doc_md=PAGE.format(collection=collection.name),
    )


def _params(collection: Collection) -> dict[str, Param]:
    from slipway import settings
    from slipway.config import named_encoders

    return {
        "encoder": Param(  # without a default the form does not start before a person has chosen
            type="string",
            enum=named_encoders(settings.collections_folder()),
            title="Encoder",
            description="The model to go to: one of the files in the folder `encoders`. The one that serves now is "
            "right when only the index is to change.",
        ),
        "reason": Param(
            type="string",
            minLength=3,
            maxLength=500,
            title="Reason",
            description="Why this is done. Kept in the audit trail of the release, and shown to whoever approves it.",
        ),
        "index": Param(
            None,
            type=["null", "string"],
            maxLength=4_000,
            format="multiline",
            title="Index",
            description="Empty: as the collection file has it. Else a FAISS factory string such as `HNSW32`, or what "
            "the collection file would have under `index`, in YAML: `{spec: IVF256, search: {nprobe: 16}}`, or a "
            "contract that chooses the index: `{contract: {recall_at_10: 0.95, p95_ms: 10, memory: 2GiB}}`.",
        ),
        "sample": Param(
            collection.reindex.sample,
            type="integer",
            minimum=0,
            title="Sample first",
            description="The number of documents to try the encoder on before all are embedded; 0: none. The run stops "
            "there when the encoder is certainly worse.",
        ),
        "approval": Param(
            True,
            type="boolean",
            title="Ask for approval",
            description="On: a person decides, whatever the verdict is. Off: it is released if it passes every gate, "
            "and refused if not.",
        ),
        "budget_hours": Param(
            None,
            type=["null", "number"],
            exclusiveMinimum=0,
            title="Budget in hours",
            description="Stop before any embedding when it would take longer than this. Empty: no limit.",
        ),
    }
