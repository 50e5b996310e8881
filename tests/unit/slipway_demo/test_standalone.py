"""Airflow brought up: what counts as ready."""

import subprocess
from pathlib import Path

import pytest

from slipway_demo import standalone
from slipway_demo.airflow_api import COMPONENTS, AirflowApi
from slipway_demo.standalone import Standalone


class Answering(AirflowApi):
    """A server that is healthy at once; its part for tasks answers from the third question on."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.asked: list[str] = []

    def ask(self, path, body=None, method=None):
        self.asked.append(path)
        if path == "/api/v2/monitor/health":
            return {name: {"status": "healthy"} for name in COMPONENTS}
        return {"status": "healthy"} if self.asked.count(path) > 2 else None


class Running(subprocess.Popen):
    """A process that has not ended."""

    def __init__(self) -> None:
        pass

    def __del__(self) -> None:
        pass

    def poll(self) -> None:
        return None


def test_ready_is_what_answers_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(standalone, "POLL_S", 0.0)
    api = Answering()
    Standalone(tmp_path)._wait_until_healthy(api, Running())
    assert api.asked.count("/execution/health") == 3
    assert "waiting for the API for tasks" in capsys.readouterr().out
