"""DAG runs of a real scheduler, started, watched and answered over Airflow's REST API."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from slipway_demo.airflow_api import AirflowApi

POLL_S = 1.0
STARTED_S = 120.0  # that a busy server may take to accept a run
ENDED = ("success", "failed")
WAITING = "awaiting_input"


class RunTrouble(Exception):
    """A run that could not be started, or did not end in time; the message says which, and where it stood."""


class Runs:
    """The runs of an Airflow that `api` is signed in to."""

    def __init__(self, api: AirflowApi) -> None:
        self._api = api

    def start(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:
        """Switch the DAG on and start a run of it. Raises `RunTrouble`."""
        self._api.ask(f"/api/v2/dags/{dag_id}", {"is_paused": False}, "PATCH")
        asked = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
        until = time.monotonic() + STARTED_S
        while self.state(dag_id, run_id) is None:  # an answer that was lost is no reason to ask twice
            if time.monotonic() > until:
                raise RunTrouble(f"Airflow did not accept the run {run_id} of {dag_id}; its log says why")
            if self._api.ask(f"/api/v2/dags/{dag_id}/dagRuns", asked) is None:
                time.sleep(POLL_S)

    def state(self, dag_id: str, run_id: str) -> str | None:
        """The run's state ("queued", "running", "success", "failed"); None where there is no such run, or no answer."""
        found = self._api.ask(_run(dag_id, run_id))
        return str(found["state"]) if found else None

    def tasks(self, dag_id: str, run_id: str) -> dict[str, str]:
        """The states of the run's tasks; of mapped ones the last."""
        found = self._api.ask(f"{_run(dag_id, run_id)}/taskInstances") or {}
        return {one["task_id"]: str(one["state"]) for one in found.get("task_instances", [])}

    def wait(self, dag_id: str, run_id: str, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> str:
        """The state in which the run ended; `meanwhile` is called again and again. Raises `RunTrouble`."""
        until = time.monotonic() + seconds
        while (state := self.state(dag_id, run_id)) not in ENDED:
            if time.monotonic() > until:
                raise RunTrouble(f"{dag_id} did not end within {seconds:.0f} s: {self.tasks(dag_id, run_id)}")
            meanwhile()
            time.sleep(POLL_S)
        return str(state)

    def question(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any] | None:
        """What a task that waits for a person asks; None while it does not wait."""
        if self.tasks(dag_id, run_id).get(task_id) != WAITING:
            return None
        return self._api.ask(_details(dag_id, run_id, task_id))

    def answer(self, dag_id: str, run_id: str, task_id: str, chosen: str, fields: Mapping[str, str]) -> bool:
        """Answer a task that waits, as the user who is signed in. Whether that was accepted."""
        given = {"chosen_options": [chosen], "params_input": dict(fields)}
        return self._api.ask(_details(dag_id, run_id, task_id), given, "PATCH") is not None


def _run(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _details(dag_id: str, run_id: str, task_id: str) -> str:
    return f"{_run(dag_id, run_id)}/taskInstances/{task_id}/-1/hitlDetails"
