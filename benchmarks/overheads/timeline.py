"""Where the seconds of a DAG run went: in the tasks' own work, in starting and ending tasks, or in waiting for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """A task instance that ran: when Airflow says that it started and ended, in seconds of one clock."""

    name: str
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class Line:
    """What one stage took in seconds, its mapped tasks together.

    `work` is the stage itself as its tasks measured it (None: not told), `around` what its task instances took besides
    (the process, the DAG file, imports, the last words to the API server), and `waited` how long nothing at all ran
    before them.
    """

    stage: str
    tasks: int
    work: float | None
    around: float
    waited: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run from `began` to `ended`, and its tasks in any order."""

    began: float
    ended: float
    tasks: Sequence[Task]

    @property
    def seconds(self) -> float:
        """From the run's beginning to its end."""
        return self.ended - self.began

    def idle(self) -> float:
        """Seconds of the run in which no task was running."""
        return sum(waited for _, waited in _gaps(self)) + max(0.0, self.ended - _last_end(self))

    def lines(self, work: Mapping[str, float]) -> list[Line]:
        """A line a stage in the order in which they first started; `work` is their own seconds by stage."""
        waited: dict[str, float] = {}
        for task, seconds in _gaps(self):
            waited[task.name] = waited.get(task.name, 0.0) + seconds
        return [_line(name, [task for task in self.tasks if task.name == name], work, waited[name]) for name in waited]


def _line(name: str, tasks: Sequence[Task], work: Mapping[str, float], waited: float) -> Line:
    taken = sum(task.ended - task.started for task in tasks)
    return Line(name, len(tasks), work.get(name), taken - work.get(name, 0.0), waited)


def _gaps(timeline: Timeline) -> Iterable[tuple[Task, float]]:
    """Each task in order of its start, with the seconds before it in which nothing ran."""
    covered = timeline.began
    for task in sorted(timeline.tasks, key=lambda task: (task.started, task.ended)):
        yield task, max(0.0, task.started - covered)
        covered = max(covered, task.ended)


def _last_end(timeline: Timeline) -> float:
    return max((task.ended for task in timeline.tasks), default=timeline.began)
