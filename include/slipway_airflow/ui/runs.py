"""What the pages read of Airflow's database: how a DAG run stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from slipway_airflow.campaign_report import PARTS
from slipway_airflow.report import STAGES
from slipway_airflow.runs import REINDEX

_UNFINISHED = frozenset({"queued", "running"})


@dataclass(frozen=True, slots=True)
class TaskCount:
    """How many instances of a task are in a state (None: not scheduled yet)."""

    task_id: str
    state: str | None
    count: int


@dataclass(frozen=True, slots=True)
class RunState:
    """A DAG run's state, when it started (ISO 8601 or None), and its tasks in the order in which they began."""

    state: str
    started_at: str | None
    tasks: tuple[TaskCount, ...]

    @property
    def going(self) -> bool:
        """Whether the run has not ended."""
        return self.state in _UNFINISHED

    @property
    def failed_tasks(self) -> list[str]:
        """The tasks that failed by themselves, not for want of another."""
        return sorted({task.task_id for task in self.tasks if task.state == "failed"})


def find_run(session: Session, dag_id: str, run_id: str) -> RunState | None:
    """The DAG run's state, or None when Airflow knows no such run."""
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    if run is None:
        return None
    started = run.start_date.isoformat(timespec="seconds") if run.start_date else None
    return RunState(str(run.state), started, _tasks(session, dag_id, run_id))


def _tasks(session: Session, dag_id: str, run_id: str) -> tuple[TaskCount, ...]:
    first = func.min(TaskInstance.start_date)
    rows = session.execute(
        select(TaskInstance.task_id, TaskInstance.state, func.count(), first)
        .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
        .group_by(TaskInstance.task_id, TaskInstance.state)
    ).all()
    begun = sorted((row for row in rows if row[3]), key=lambda row: str(row[3]))
    order = PARTS if dag_id.endswith(f"__{REINDEX}") else STAGES
    waiting = sorted((row for row in rows if not row[3]), key=lambda row: _turn(str(row[0]), order))
    return tuple(TaskCount(row[0], str(row[1]) if row[1] else None, row[2]) for row in [*begun, *waiting])


def _turn(task: str, order: Sequence[str]) -> tuple[int, str]:
    """When a task that has not begun has its turn: in the order of the work, and others after that."""
    return (order.index(task) if task in order else len(order), task)
