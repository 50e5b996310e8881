"""A night through Airflow's own scheduler and executor, in a folder of its own, and what Airflow tells of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.nights.project import CONNECTION, NAME, Project
from benchmarks.overheads.timeline import Task, Timeline
from slipway import layout
from slipway_airflow.runs import NIGHTLY, dag_id
from slipway_demo.airflow_api import AirflowApi
from slipway_demo.airflow_runs import Runs
from slipway_demo.standalone import Standalone
from slipway_demo.surroundings import airflow_environment
from slipway_demo.upgrade_place import free_port

DAG_ID, RUN_ID = dag_id(NAME, NIGHTLY), "overhead"
MOST_S = 4 * 3600.0
# Whatever the caller's environment says of these is about another installation.
_OTHERS = ("AIRFLOW", "SLIPWAY_ROOT", "SLIPWAY_COLLECTIONS", "SLIPWAY_STORE", "SLIPWAY_PORT")


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A night by the scheduler: its time line, its result, and the seconds in which Airflow came up before it."""

    timeline: Timeline
    result: Mapping[str, Any]
    start_seconds: float


def run_scheduled(project: Project, code: Path) -> Scheduled:
    """Bring up Airflow for the DAGs of `code`, run one night of the project, and end Airflow again.

    Raises `NotUp` and `RunTrouble`, and RuntimeError with the states of its tasks where the night did not succeed.
    """
    before = time.monotonic()
    with _airflow(project, code) as api:
        start_seconds = time.monotonic() - before
        runs = Runs(api)
        runs.start(DAG_ID, RUN_ID, {})
        state = runs.wait(DAG_ID, RUN_ID, MOST_S)
        if state != "success":
            raise RuntimeError(f"the night ended as {state}: {runs.tasks(DAG_ID, RUN_ID)}")
        timeline = _timeline(api)
    result = json.loads(project.store.read(layout.result(RUN_ID)).body)
    return Scheduled(timeline, result, start_seconds)


@contextmanager
def _airflow(project: Project, code: Path) -> Iterator[AirflowApi]:
    home, port = project.folder / "airflow", free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
    environment = airflow_environment(code, port, kept) | {
        "AIRFLOW_HOME": str(home),
        CONNECTION: os.environ[CONNECTION],
        "SLIPWAY_COLLECTIONS": str(project.collections),
        "SLIPWAY_STORE": project.root,
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",  # as docs/runbook.md advises for production
        "PYTHONPATH": os.pathsep.join(filter(None, (str(code / "include"), os.environ.get("PYTHONPATH", "")))),
    }
    standalone = Standalone(home)
    try:
        yield standalone.start(environment, f"http://127.0.0.1:{port}", DAG_ID)
    finally:
        standalone.session.stop()


def _timeline(api: AirflowApi) -> Timeline:
    run = f"/api/v2/dags/{DAG_ID}/dagRuns/{quote(RUN_ID, safe='')}"
    told, instances = api.ask(run), api.ask(f"{run}/taskInstances?limit=1000")
    if told is None or instances is None:
        raise RuntimeError(f"Airflow does not answer {run}, which it had just finished; its log says why")
    tasks = [
        Task(one["task_id"], _seconds(one["start_date"]), _seconds(one["end_date"]))
        for one in instances["task_instances"]
        if one["start_date"] and one["end_date"]
    ]
    return Timeline(_seconds(told["start_date"]), _seconds(told["end_date"]), tasks)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
