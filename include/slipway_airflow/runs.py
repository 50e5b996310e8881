"""The `Run` that a task hands to its stage: collection, store, run id, scratch folder, connections and progress."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from slipway_airflow.connections import airflow_connections, airflow_secrets
from slipway_airflow.progress import LoggedProgress

if TYPE_CHECKING:
    from airflow.sdk import Context

    from slipway.run import Run

NIGHTLY, REINDEX = "nightly", "reindex"


def dag_id(collection: str, kind: str) -> str:
    """The id of a collection's DAG: `pydocs__nightly`."""
    return f"{collection}__{kind}"


def collection_of(dag_id: str) -> str:
    """The collection that a DAG with an id from `dag_id` works on."""
    return dag_id.rpartition("__")[0]


def run_key(run_id: str) -> str:
    """A DAG run's id as it stands in the store's keys: letters, digits, "_" and "-", all else becomes "-"."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", run_id)


def stored_id(dag_id: str, run_id: str) -> str:
    """The id in the store of a run of a collection's DAG. Runs of two DAGs may have the same id in Airflow."""
    kind = dag_id.rpartition("__")[2]
    return run_key(run_id) if kind == NIGHTLY else f"{kind}-{run_key(run_id)}"


@contextmanager
def open_run(lease: bool = True) -> Iterator[Run]:
    """The run of the task at work, with the settings that its beginning gave it. Its scratch folder is its own, and is
    gone at the end.

    While it is open the collection's lease is held for the DAG run, or `RunInProgress` raised; between tasks it lasts
    for some minutes, and the run's last task gives it back.
    """
    from slipway import checkpoint, settings
    from slipway.config import load_collection
    from slipway.lease import Holder, held
    from slipway.run import Run
    from slipway.stores import collection_store

    dag_run = get_current_context()["dag_run"]
    name = collection_of(dag_run.dag_id)
    collection = load_collection(settings.collections_folder(), name)
    store = collection_store(collection)
    root = settings.scratch_root()
    if root is not None:
        root.mkdir(parents=True, exist_ok=True)
    run_id = run_key(dag_run.run_id)
    holding = held(store, Holder(run_id, who(dag_run), "DAG run")) if lease else nullcontext()
    with tempfile.TemporaryDirectory(prefix="slipway-", dir=root, ignore_cleanup_errors=True) as scratch, holding:
        run = Run(collection, store, run_id, Path(scratch), airflow_connections, LoggedProgress(), airflow_secrets)
        yield checkpoint.as_started(run)


def who(dag_run: Any) -> str:
    """Who started a DAG run."""
    return dag_run.triggering_user_name or f"airflow ({dag_run.run_type.value})"


def check_parameters(context: Context) -> None:
    """Raise `InputError` unless the DAG has all parameters that the run was started with.

    The API takes any key in a run's configuration; a misspelt one would be ignored without a word.
    """
    from slipway.errors import InputError

    dag_run = context["dag_run"]
    unknown = sorted(set(dag_run.conf or {}) - set(context["dag"].params))
    if unknown:
        raise InputError(
            f"the run was started with parameters that this DAG does not have: {', '.join(unknown)}; it has "
            f"{', '.join(sorted(context['dag'].params))}. Start it again without them"
        )
