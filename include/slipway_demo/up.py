"""Airflow on this machine with the demo collection, ready to look at: ``python -m slipway_demo.up``, and ``… --down``.

Run it in the project's folder. SLIPWAY_PORT chooses the port of the UI. Everything it writes is below .slipway/.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from dotenv import load_dotenv

from slipway_demo.airflow_api import AirflowApi
from slipway_demo.session import AlreadyRunning, Session
from slipway_demo.surroundings import HOST, airflow_environment, airflow_home, demo_sources

USER = "admin"
DAG = "pydocs__nightly"
READY_S = 240.0
DAG_S = 60.0
POLL_S = 1.0
LOG_LINES = 25

WELCOME = """
Airflow is up: {url}
  user      {user}
  password  {password}

To see a nightly run:
  1. sign in and open the DAG {dag}: {url}/dags/{dag}
  2. switch it on (the toggle beside its name). A nightly DAG that is switched on starts its latest night at once;
     later, "Trigger" starts another one.
  3. watch the tasks in the grid; the run's tab "Result" shows the numbers, "Releases" in the navigation what is live.

Log: {log}. Stop everything with: make down
"""


class NotUp(Exception):
    """Airflow could not be brought up; the message says why and what to do."""


def main(arguments: list[str]) -> int:
    """Bring Airflow up, or down when the only argument is "--down". Returns the exit status."""
    project = Path.cwd()
    if arguments not in ([], ["--down"]):
        say("usage: python -m slipway_demo.up [--down]")
        return 2
    try:
        return down(project) if arguments else up(project)
    except NotUp as error:
        say(str(error))
        return 1


def up(project: Path) -> int:
    """Fill the demo's sources, start Airflow, wait until it is healthy and has the DAG, and print the login."""
    session = _session(project)
    if session.running():
        say("Airflow is running already.")
        say(_welcome(project, session.note()))
        return 0
    load_dotenv(project / ".env")
    port = _port()
    url = f"http://{HOST}:{port}"
    environment = airflow_environment(project, port)
    _fill(project)
    log = airflow_home(project) / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    command = [sys.executable, "-m", "airflow", "standalone"]
    try:
        started = session.start(command, environment, log, url)
    except AlreadyRunning:
        raise NotUp("Another `make up` is at work; wait for it.") from None
    try:
        _make_ready(project, AirflowApi(url), started, environment)
    except BaseException:
        session.stop()
        raise
    say(_welcome(project, url))
    return 0


def down(project: Path) -> int:
    """End every process that `up` started."""
    session = _session(project)
    if not session.running():
        say("Airflow is not running; there is nothing to stop.")
        return 0
    say("Stopping Airflow …")
    session.stop()
    if session.running():
        raise NotUp("Some of Airflow's processes could not be ended; see ps.")
    _free_collections()
    say("Airflow is stopped. What it made is kept in .slipway/.")
    return 0


def _free_collections() -> None:
    """Give back the leases of runs that were cut off: nothing of this Airflow is at work any more."""
    from slipway import lease, settings
    from slipway.config import collection_files, load_file
    from slipway.stores import collection_store

    for file in collection_files(settings.collections_folder()):
        store = collection_store(load_file(file))
        found, _ = lease.read_lease(store)
        if found is not None and found.holder.process is None:
            lease.release(store, found.holder.run_id)


def say(text: str) -> None:
    """Print, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _make_ready(project: Path, api: AirflowApi, started: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    _wait_until_healthy(project, api, started)
    made = subprocess.run(
        [sys.executable, "-m", "slipway_airflow.pools"], env=environment, capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise NotUp(f"The pools could not be created:\n{made.stderr[-2000:]}")
    if not api.sign_in(USER, _password(project)):
        raise NotUp(f"Airflow refused the login in {_password_file(project)}; delete that file and try again.")
    _wait_for_dag(api)


def _wait_until_healthy(project: Path, api: AirflowApi, started: subprocess.Popen[bytes]) -> None:
    say("Starting Airflow (most of a minute on two cores) …")
    began, said = time.monotonic(), ""
    while True:
        spent = time.monotonic() - began
        if started.poll() is not None:
            raise NotUp(f"Airflow ended by itself. Its last words:\n{_last_words(project)}")
        if spent > READY_S:
            raise NotUp(f"Airflow is not healthy after {READY_S:.0f} s. Its last words:\n{_last_words(project)}")
        health = api.health()
        waiting = [name for name, state in health.items() if state != "healthy"]
        if health and not waiting:
            say(f"  {spent:3.0f} s  healthy")
            return
        now = f"waiting for {', '.join(waiting)}" if health else "waiting for the API server"
        if now != said:
            say(f"  {spent:3.0f} s  {now}")
            said = now
        time.sleep(POLL_S)


def _wait_for_dag(api: AirflowApi) -> None:
    """The DAG is usually there by now. One that does not come is no reason to stop: the UI says why."""
    until = time.monotonic() + DAG_S
    while not api.has_dag(DAG):
        if time.monotonic() > until:
            say("\n".join([f"The DAG {DAG} is not there yet; the UI shows import errors.", *api.import_errors()]))
            return
        time.sleep(POLL_S)


def _fill(project: Path) -> None:
    from slipway_demo.fill import fill

    say("Filling the demo's sources …")
    counts = fill(demo_sources(project))
    say(f"  {', '.join(f'{number:,} rows in {name}' for name, number in counts.items())}")


def _port() -> int:
    asked = os.environ.get("SLIPWAY_PORT") or "8080"
    if not asked.isdigit() or not 0 < int(asked) < 65536:
        raise NotUp(f"SLIPWAY_PORT is {asked!r}; expected a port number.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, int(asked)))
        except OSError as error:
            raise NotUp(
                f"Port {asked} cannot be used ({error.strerror}). Choose another one: SLIPWAY_PORT=8081 make up"
            ) from error
    return int(asked)


def _session(project: Path) -> Session:
    return Session(airflow_home(project) / "up.pid")


def _password_file(project: Path) -> Path:
    return airflow_home(project) / "simple_auth_manager_passwords.json.generated"


def _password(project: Path) -> str:
    try:
        return str(json.loads(_password_file(project).read_text())[USER])
    except (OSError, ValueError, KeyError):
        return ""


def _welcome(project: Path, url: str) -> str:
    password = _password(project) or f"(not yet in {_password_file(project)})"
    return WELCOME.format(url=url, user=USER, password=password, dag=DAG, log=airflow_home(project) / "up.log")


def _last_words(project: Path) -> str:
    lines = (airflow_home(project) / "up.log").read_text(errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
