"""A LocalExecutor whose workers have imported what tasks need, and that keeps a task's two processes apart.

Airflow forks a process for each task from a worker that knows Airflow but not the stages: each task would import them
anew. Set it by ``AIRFLOW__CORE__EXECUTOR=slipway_airflow.executor.PreloadedLocalExecutor``; the demo does. The workers
hold the code as it was when the scheduler started: after an update of Slipway, restart the scheduler.

A task that waits, for a person or a trigger, ends its process and is run by another one later, under the same key.
Where the answer comes within a second, the scheduler of Airflow 3.3 can take the end of the first process for the end
of the second, and fails the task by a "state mismatch" (apache/airflow issues 66374, 67287 and 72716).
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.executors.local_executor import LocalExecutor

if TYPE_CHECKING:
    from airflow.executors.workloads import ExecutorWorkload
    from airflow.executors.workloads.types import WorkloadKey, WorkloadState

# Nothing that starts threads when it is imported, or that only some tasks need: no torch, no runtime of an encoder.
PRELOADED = ("airflow.dag_processing.dagbag", "slipway_airflow.tasks", "slipway_airflow.report", "slipway.pipeline")


class PreloadedLocalExecutor(LocalExecutor):
    """LocalExecutor with the modules of `PRELOADED` in each worker, which tells how a task's latest process ended."""

    def start(self) -> None:
        """Import them, and fork the workers."""
        for name in PRELOADED:
            importlib.import_module(name)
        self._processes: Counter[WorkloadKey] = Counter()  # handed out and not ended
        super().start()

    def _process_workloads(self, workload_list: Sequence[ExecutorWorkload]) -> None:
        """Hand them out. What was noted of an earlier process under the same key is of no use any more."""
        for workload in workload_list:
            self._processes[workload.key] += 1
            self.event_buffer.pop(workload.key, None)
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]

    def change_state(
        self, key: WorkloadKey, state: WorkloadState, info: Any = None, remove_running: bool = True
    ) -> None:
        """Note what became of a process for the scheduler; not that one ended well whose task was started again since.

        A failure is always told: a worker that was killed tells no end, so the count may stay too high.
        """
        if state.value != "running":
            self._processes[key] -= 1
            if self._processes[key] > 0 and state.value == "success":
                return
            if self._processes[key] <= 0:
                del self._processes[key]
        super().change_state(key, state, info, remove_running)
