"""One run of a DAG through Airflow in this process, with its own database, and no scheduler beside it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from slipway_demo.screen import Screen

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

INTERRUPTED = 130  # the shell's exit status for Ctrl-C
ENDING_S = 5.0  # where the database is locked by what was interrupted, the next run does it


class SchedulerRunning(Exception):
    """A scheduler works on the same database, and would take the run out of this process's hands."""


def prepare(dags: str, dag_id: str) -> DAG:
    """Create Airflow's tables and Slipway's pools, and parse the DAG.

    Raises `SchedulerRunning`, and `LookupError` with Airflow's import errors when the DAG is not there.
    """
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    from slipway_airflow.pools import create_pools

    initdb()
    _refuse_a_scheduler()
    create_pools()
    bag = DagBag(dags)
    if dag_id not in bag.dags:
        raise LookupError(f"Airflow found no DAG {dag_id} in {dags}: " + "\n".join(bag.import_errors.values()))
    return bag.dags[dag_id]


def run(dag: DAG, conf: dict[str, Any], screen: Screen) -> DagRun:
    """Run the DAG to its end, every task a task instance in Airflow's database; the screen shows how far it is."""
    _fail_leftovers(dag.dag_id)
    with _watched(screen), _interruptible(dag.dag_id, screen):
        return dag.test(run_conf=conf)


def _refuse_a_scheduler() -> None:
    from airflow.jobs.job import most_recent_job

    job = most_recent_job("SchedulerJob")
    if job is not None and job.is_alive():
        raise SchedulerRunning(
            "Airflow is up already (make up): trigger the run in its UI, or stop it with `make down` first"
        )


def _fail_leftovers(dag_id: str) -> None:
    """End runs of a process that was killed: a scheduler that is started later would take them up."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, State, TaskInstanceState
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select

    left = select(DagRun).where(
        DagRun.dag_id == dag_id,
        DagRun.state == DagRunState.RUNNING,
        DagRun.triggered_by == DagRunTriggeredByType.TEST,
    )
    with create_session() as session:
        for dag_run in session.scalars(left):
            for task_instance in dag_run.get_task_instances(session=session):
                if task_instance.state not in State.finished:
                    task_instance.set_state(TaskInstanceState.FAILED, session=session)
            dag_run.set_state(DagRunState.FAILED)


@contextlib.contextmanager
def _watched(screen: Screen) -> Iterator[None]:
    from airflow.sdk.listener import get_listener_manager

    from slipway_demo.watch import Watcher

    watcher, progress, listeners = Watcher(screen), logging.getLogger("slipway.progress"), get_listener_manager()
    listeners.add_listener(watcher)
    progress.addHandler(watcher)
    try:
        yield
    finally:
        progress.removeHandler(watcher)
        listeners.pm.unregister(watcher)


@contextlib.contextmanager
def _interruptible(dag_id: str, screen: Screen) -> Iterator[None]:
    """Let Ctrl-C end the process. Airflow would take it for a failure of the task at work, and try that again."""

    def stop(number: int, frame: Any) -> None:
        screen.say("\nStopped. What was finished is kept: the next `make demo` goes on from there.")
        # In a thread, for a database session of its own; the main thread's may be in the middle of something.
        ending = threading.Thread(target=_fail_leftovers, args=(dag_id,), daemon=True)
        ending.start()
        ending.join(ENDING_S)
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
