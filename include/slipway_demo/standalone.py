"""Airflow's own standalone mode as one process tree that can be started, waited for and ended."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from slipway_demo.airflow_api import AirflowApi
from slipway_demo.session import AlreadyRunning, Session

USER = "admin"
READY_S = 240.0
DAG_S = 60.0
POLL_S = 1.0
LOG_LINES = 25


class NotUp(Exception):
    """Airflow could not be brought up; the message says why and what to do."""


class Standalone:
    """Airflow below the folder `home`: its database, its log, its password, and the record of its processes."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.session = Session(home / "up.pid")
        self.log = home / "up.log"
        self.password_file = home / "simple_auth_manager_passwords.json.generated"

    @property
    def password(self) -> str:
        """Of the user `USER`; "" before Airflow made one."""
        try:
            return str(json.loads(self.password_file.read_text())[USER])
        except (OSError, ValueError, KeyError):
            return ""

    def start(self, environment: Mapping[str, str], url: str, dag: str) -> AirflowApi:
        """Start it, and return once it is healthy, has Slipway's pools and has read the DAG. Raises `NotUp`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        command = [sys.executable, "-m", "airflow", "standalone"]
        try:
            started = self.session.start(command, environment, self.log, url)
        except AlreadyRunning:
            raise NotUp("Another `make up` is at work; wait for it.") from None
        try:
            return self._ready(AirflowApi(url), started, environment, dag)
        except BaseException:
            self.session.stop()
            raise

    def _ready(
        self, api: AirflowApi, started: subprocess.Popen[bytes], environment: Mapping[str, str], dag: str
    ) -> AirflowApi:
        self._wait_until_healthy(api, started)
        made = subprocess.run(
            [sys.executable, "-m", "slipway_airflow.pools"],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise NotUp(f"The pools could not be created:\n{made.stderr[-2000:]}")
        if not api.sign_in(USER, self.password):
            raise NotUp(f"Airflow refused the login in {self.password_file}; delete that file and try again.")
        _wait_for_dag(api, dag)
        return api

    def _wait_until_healthy(self, api: AirflowApi, started: subprocess.Popen[bytes]) -> None:
        say("Starting Airflow (most of a minute on two cores) …")
        began, said = time.monotonic(), ""
        while True:
            spent = time.monotonic() - began
            if started.poll() is not None:
                raise NotUp(f"Airflow ended by itself. Its last words:\n{self._last_words()}")
            if spent > READY_S:
                raise NotUp(f"Airflow is not healthy after {READY_S:.0f} s. Its last words:\n{self._last_words()}")
            health = api.health()
            waiting = [name for name, state in health.items() if state != "healthy"]
            if health and not waiting and api.serves_tasks():
                say(f"  {spent:3.0f} s  healthy")
                return
            now = f"waiting for {', '.join(waiting) or 'the API for tasks'}" if health else "waiting for the API server"
            if now != said:
                say(f"  {spent:3.0f} s  {now}")
                said = now
            time.sleep(POLL_S)

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])


def say(text: str) -> None:
    """Print, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _wait_for_dag(api: AirflowApi, dag: str) -> None:
    """The DAG is usually there by now. One that does not come is no reason to stop: the UI says why."""
    until = time.monotonic() + DAG_S
    while not api.has_dag(dag):
        if time.monotonic() > until:
            say("\n".join([f"The DAG {dag} is not there yet; the UI shows import errors.", *api.import_errors()]))
            return
        time.sleep(POLL_S)
