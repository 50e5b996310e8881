"""Airflow on this machine with the demo collection, ready to look at: ``python -m slipway_demo.up``, and ``… --down``.

Run it in the project's folder. SLIPWAY_PORT chooses the port of the UI. Everything it writes is below .slipway/.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from dotenv import load_dotenv

from slipway_demo.standalone import USER, NotUp, Standalone, say
from slipway_demo.surroundings import HOST, airflow_environment, airflow_home, demo_sources

DAG = "pydocs__nightly"

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
    airflow = _airflow(project)
    if airflow.session.running():
        say("Airflow is running already.")
        say(_welcome(project, airflow.session.note()))
        return 0
    load_dotenv(project / ".env")
    port = _port()
    url = f"http://{HOST}:{port}"
    environment = airflow_environment(project, port)
    _fill(project)
    airflow.start(environment, url, DAG)
    say(_welcome(project, url))
    return 0


def down(project: Path) -> int:
    """End every process that `up` started."""
    session = _airflow(project).session
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
    from slipway import layout, lease, settings
    from slipway.config import collection_files, load_file
    from slipway.stores import collection_store

    for file in collection_files(settings.collections_folder()):
        store = collection_store(load_file(file))
        for key in (layout.LEASE, layout.REINDEX_LEASE):
            found, _ = lease.read_lease(store, key)
            if found is not None and found.holder.process is None:
                lease.release(store, found.holder.run_id, key=key)


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


def _airflow(project: Path) -> Standalone:
    return Standalone(airflow_home(project))


def _welcome(project: Path, url: str) -> str:
    airflow = _airflow(project)
    password = airflow.password or f"(not yet in {airflow.password_file})"
    return WELCOME.format(url=url, user=USER, password=password, dag=DAG, log=airflow.log)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
