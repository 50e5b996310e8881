"""What `slipway doctor` asks of Airflow: pools, DAGs, and files that Airflow could not read.

It looks into Airflow's database, as set-up does and tasks must not: run it where `airflow pools list` works.
``python -m slipway_airflow.doctor [COLLECTION]...`` is `slipway doctor` with Airflow's connections instead of those of
the environment alone.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.doctor import Finding, Outcome, examine, failed, passed, skipped, warned
from slipway_airflow.pools import INDEX, POOLS, embed_pool

if TYPE_CHECKING:
    from slipway.config import Collection

_MAKE_POOLS = "python -m slipway_airflow.pools"
_SUBJECT = "Airflow"
_PROCESS = "_AIRFLOW_PROCESS_CONTEXT"  # "server": connections are looked up in the database, as by Airflow's own CLI

Slots = dict[str, int]
"""How many tasks each pool lets run at once, by its name; -1 sets no bound."""


def checks(collections: Sequence[Collection]) -> list[Finding]:
    """Airflow's part of the doctor's findings (an entry point of the group `slipway.checks`)."""
    if why := _not_here():
        return [examine("airflow", _SUBJECT, partial(skipped, why))]
    try:
        with _session() as session:
            return list(_of_database(collections, session))
    except Exception as error:  # whatever the database's driver raises; its message may hold the password
        return [examine("airflow", _SUBJECT, partial(skipped, _unreached(error)))]


def _not_here() -> str:
    """Why Airflow cannot be asked here; empty if it can. Importing it where it is not set up leaves files behind."""
    if importlib.util.find_spec("airflow") is None:
        return "Airflow is not installed here"
    home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
    if not home.is_dir() and "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in os.environ:
        return (
            f"Airflow is not set up here: there is no {home}; set AIRFLOW_HOME (that of make up is .slipway/airflow), "
            "or run this where Airflow runs"
        )
    return ""


def _session() -> Any:
    from airflow.utils.session import create_session

    return create_session()


def _unreached(error: Exception) -> str:
    return f"Airflow's database cannot be asked from here ({type(error).__name__}); run this where Airflow runs"


def _of_database(collections: Sequence[Collection], session: Any) -> Iterator[Finding]:
    from airflow.models.errors import ParseImportError
    from airflow.models.pool import Pool
    from sqlalchemy import select

    from slipway_airflow.runs import NIGHTLY, dag_id

    slots = {pool.pool: int(pool.slots) for pool in Pool.get_pools(session=session)}
    for name in pools_of(collections):
        yield examine("pool", name, partial(pool, name, slots))
    broken = [str(name) for name in session.scalars(select(ParseImportError.filename))]
    yield examine("DAG files", _SUBJECT, partial(dag_files, broken))
    for collection in collections:
        name = dag_id(collection.name, NIGHTLY)
        yield examine("DAG", name, partial(dag, collection, _is_paused(name, session)))


def _is_paused(dag_id: str, session: Any) -> bool | None:
    """Whether a DAG is paused; None where Airflow does not know it, or no longer finds it in any file."""
    from airflow.models.dag import DagModel

    found = session.get(DagModel, dag_id)
    return None if found is None or found.is_stale else bool(found.is_paused)


def pools_of(collections: Sequence[Collection]) -> list[str]:
    """The pools that the tasks of these collections name."""
    return sorted({INDEX, *(embed_pool(collection) for collection in collections)}) if collections else []


def pool(name: str, slots: Slots) -> Outcome:
    """Whether the pool is there, with a number of slots that tasks can run in."""
    guards = next(one.description for one in POOLS if one.name == name)
    if name not in slots:
        return failed("it is not there: tasks that name it wait for ever", f"create the pools: {_MAKE_POOLS}")
    if slots[name] == 0:
        return failed("it has no slot: its tasks wait for ever", "give it a slot (Admin, Pools, in the Airflow UI)")
    if slots[name] < 0:
        return warned("it has no bound: heavy tasks run beside each other", f"give it a number of slots. {guards}")
    return passed(f"{slots[name]} slot{'s' if slots[name] > 1 else ''}")


def dag_files(broken: Sequence[str]) -> Outcome:
    """Whether Airflow could read its DAG files."""
    if broken:
        return failed(f"{len(broken)} cannot be read: {', '.join(broken)}", "see the import errors in the Airflow UI")
    return passed("no import errors")


def dag(collection: Collection, paused: bool | None) -> Outcome:
    """Whether Airflow knows the collection's nightly DAG, and will run it. `paused` is None where it does not."""
    if paused is None:
        return failed(
            "Airflow does not know it", "set SLIPWAY_COLLECTIONS for the DAG processor, and dags/ as its DAG folder"
        )
    if paused:
        return warned("it is paused: no night will run", "switch it on in the Airflow UI")
    if collection.schedule is None:
        return passed("it runs on demand only: the collection has no schedule")
    return passed(f"it runs at {collection.schedule!r}")


def main(names: Sequence[str]) -> int:
    """Print the doctor's table with Airflow's connections; 1 when a check fails."""
    os.environ.setdefault(_PROCESS, "server")
    from slipway import settings
    from slipway.cli.doctor import summary, table
    from slipway.config import collection_files
    from slipway.doctor import Means, look_over
    from slipway_airflow.connections import airflow_connections, airflow_secrets

    folder = settings.collections_folder()
    files = [folder / f"{name}.yaml" for name in names] or collection_files(folder)
    document = summary([one.as_json() for one in look_over(files, Means(airflow_connections, airflow_secrets))])
    print(table(document))  # noqa: T201
    return 0 if document["healthy"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
