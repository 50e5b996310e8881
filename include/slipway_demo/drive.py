"""The demo, from installed sources to a live index: what `make demo` runs once everything is installed.

Fills the two embedded sources, prepares Airflow's database and pools, runs the DAG `pydocs__nightly` in this process
(every task a task instance of Airflow, recorded in its database), and searches the release that is live then.

    python -m slipway_demo.drive [FOLDER]          FOLDER: .slipway/demo, sources and log
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotenv import load_dotenv

from slipway_demo import local_run
from slipway_demo.screen import Screen, quiet

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

COLLECTION = "pydocs"
FOLDER = Path(".slipway/demo")
QUERIES = ("join two tables on a key", "read a parquet file in batches", "retry a failed task with a delay")
HITS = 3
NEEDED = (
    "AIRFLOW_HOME",
    "AIRFLOW__CORE__DAGS_FOLDER",
    "AIRFLOW_CONN_PYDOCS_DB",
    "SLIPWAY_ROOT",
)


def main(arguments: list[str]) -> int:
    """Run the demo. 0: the run went through; 1: it failed or was refused; 2: the environment is not set."""
    load_dotenv(".env")
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        print(f"{', '.join(missing)} not set: start the demo with `make demo`", file=sys.stderr)  # noqa: T201
        return 2
    folder = Path(arguments[0]) if arguments else FOLDER
    log = folder / "demo.log"
    with quiet(log) as terminal:
        screen = Screen(terminal)
        screen.say(f"Slipway demo: search over the documentation of the installed packages (log: {log})\n")
        try:
            return _demo(screen, folder, log)
        except Exception as error:
            traceback.print_exc()  # into the log
            screen.say(f"\nThe demo stopped: {type(error).__name__}: {error}\nThe log has the rest: {log}")
            return 1


def _demo(screen: Screen, folder: Path, log: Path) -> int:
    started = time.monotonic()
    _fill(screen, folder)
    dag = _prepare(screen)
    screen.say(f"\n  Airflow runs the DAG {dag.dag_id}\n")
    dag_run = local_run.run(dag, {"reason": "make demo"}, screen)
    made = _result(dag_run)
    if made is None or dag_run.state != "success":
        _explain(screen, dag_run, made, log)
        return 1
    _show(screen, made)
    _search(screen)
    screen.say(
        f"\nDone in {time.monotonic() - started:.0f} s. Search yourself:  .venv/bin/slipway search {COLLECTION} "
        '"your words"\nLook at the run in the Airflow UI:  make up'
    )
    return 0


def _fill(screen: Screen, folder: Path) -> None:
    from slipway_demo.fill import fill

    began = time.monotonic()
    screen.start("  … reading the installed packages")
    rows = fill(folder)
    counts = ", ".join(f"{name} {count:,} rows" for name, count in rows.items())
    screen.say(f"  ✓ {'sources':<18} {time.monotonic() - began:6.1f} s   {counts}")


def _prepare(screen: Screen) -> DAG:
    from slipway_airflow.runs import NIGHTLY, dag_id

    began = time.monotonic()
    screen.start("  … preparing Airflow")
    dag = local_run.prepare(os.environ["AIRFLOW__CORE__DAGS_FOLDER"], dag_id(COLLECTION, NIGHTLY))
    screen.say(f"  ✓ {'airflow':<18} {time.monotonic() - began:6.1f} s   database, pools and DAG are ready")
    return dag


def _store_url() -> str:
    from slipway import settings

    return settings.store_url(COLLECTION, settings.store_root())


def _result(dag_run: DagRun) -> dict[str, Any] | None:
    """What the run's report wrote, or None when there is none."""
    from slipway import layout
    from slipway.errors import ObjectMissing
    from slipway.storage import open_store
    from slipway_airflow.runs import run_key

    try:
        found = open_store(_store_url()).read(layout.result(run_key(dag_run.run_id)))
    except ObjectMissing:
        return None
    made: dict[str, Any] = json.loads(found.body)
    return made


def _show(screen: Screen, made: dict[str, Any]) -> None:
    from slipway.cli import show
    from slipway.pointer import read_serving
    from slipway.storage import open_store

    screen.say(f"\n{show.result(made)}")
    serving, _ = read_serving(open_store(_store_url()))
    if serving.live_release:
        screen.say(f"  {'live now':<11} {serving.live_release.release_id}, generation {serving.generation}")
    if not made["embedded"]:
        screen.say("\nNothing was new since the last run: every vector was reused, and the live release serves on.")


def _search(screen: Screen) -> None:
    from dataclasses import asdict

    from slipway import serving
    from slipway.cli import show

    screen.start("  … opening the live release")
    with serving.open(_store_url()) as reader:
        about = {"collection": COLLECTION, "release_id": reader.release.release_id}
        for query in QUERIES:
            hits = [asdict(hit) for hit in reader.search(query, HITS)]
            screen.say("\n" + show.hits({**about, "query": query, "hits": hits}))


def _explain(screen: Screen, dag_run: DagRun, made: dict[str, Any] | None, log: Path) -> None:
    screen.say(f"\nThe run {dag_run.run_id} failed; what was live before is live still.")
    for failed in (made or {}).get("failed", []):
        screen.say(f"  {failed['task']}: {failed['error']}")
    screen.say(f"The whole log: {log}. The run in the Airflow UI: make up")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
