"""The few questions that set-up and the demo ask Airflow's REST API, with nothing but the standard library."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

TIMEOUT_S = 5
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


class AirflowApi:
    """The API server at `url` ("http://127.0.0.1:8080")."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._token = ""

    def health(self) -> dict[str, str]:
        """The state of each component ("healthy", …); empty while the server does not answer."""
        found = self.ask("/api/v2/monitor/health") or {}
        return {name: str((found.get(name) or {}).get("status")) for name in COMPONENTS} if found else {}

    def serves_tasks(self) -> bool:
        """Whether the part of the server that tasks talk to answers.

        Airflow makes that part when it is first asked, which takes seconds and, on a busy machine, longer than a task
        waits for an answer.
        """
        return self.ask("/execution/health") is not None

    def sign_in(self, user: str, password: str) -> bool:
        """Whether the user could be signed in; the questions below need it."""
        answer = self.ask("/auth/token", {"username": user, "password": password}) or {}
        self._token = str(answer.get("access_token", ""))
        return bool(self._token)

    def has_dag(self, dag_id: str) -> bool:
        """Whether the DAG has been read."""
        return self.ask(f"/api/v2/dags/{dag_id}") is not None

    def import_errors(self) -> list[str]:
        """The files that could not be read as DAGs, with their last line of trouble."""
        found = (self.ask("/api/v2/importErrors") or {}).get("import_errors", [])
        return [f"{one['filename']}: {one['stack_trace'].strip().splitlines()[-1]}" for one in found]

    def ask(self, path: str, body: Mapping[str, Any] | None = None, method: str | None = None) -> dict[str, Any] | None:
        """The answer to a GET, or to a POST (or `method`) with a body; None when there is none or it is a refusal."""
        request = urllib.request.Request(  # noqa: S310 - the URL is our own
            self._url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {self._token}"} if self._token else {}),
        )
        try:
            with _DIRECT.open(request, timeout=TIMEOUT_S) as answer:
                found = json.load(answer)
        except (urllib.error.URLError, OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine is never behind its own proxy
