"""A LocalExecutor whose workers have imported what tasks need, before they are forked.

Airflow forks a process for each task from a worker that knows Airflow but not the stages: each task would import them
anew. Set it by ``AIRFLOW__CORE__EXECUTOR=slipway_airflow.executor.PreloadedLocalExecutor``; the demo does. The workers
hold the code as it was when the scheduler started: after an update of Slipway, restart the scheduler.
"""

from __future__ import annotations

import importlib

from airflow.executors.local_executor import LocalExecutor

# Nothing that starts threads when it is imported, or that only some tasks need: no torch, no runtime of an encoder.
PRELOADED = ("airflow.dag_processing.dagbag", "slipway_airflow.tasks", "slipway_airflow.report", "slipway.pipeline")


class PreloadedLocalExecutor(LocalExecutor):
    """LocalExecutor, with the modules of `PRELOADED` in each worker."""

    def start(self) -> None:
        """Import them, and fork the workers."""
        for name in PRELOADED:
            importlib.import_module(name)
        super().start()
