"""The environment in which the demo's Airflow runs. What is set already, by the Makefile or by hand, stays as it is."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

HOST = "127.0.0.1"  # the demo's login is meant for this machine only


def airflow_home(project: Path) -> Path:
    """Where the demo's Airflow keeps its database, its logs and its configuration."""
    return Path(os.environ.get("AIRFLOW_HOME") or project / ".slipway" / "airflow")


def demo_sources(project: Path) -> Path:
    """Where the demo's two sources lie."""
    return project / ".slipway" / "demo"


def airflow_environment(project: Path, port: int, set_already: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment `set_already`, this process's, and whatever Airflow needs besides."""
    defaults = _airflow(project) | _slipway(project)
    # Airflow starts its parts by the name "airflow", and they must be those of this Python.
    path = f"{Path(sys.executable).parent}{os.pathsep}{set_already.get('PATH', '')}"
    return defaults | dict(set_already) | _address(port) | {"PATH": path}


def _airflow(project: Path) -> dict[str, str]:
    settings = {
        "AIRFLOW_HOME": str(airflow_home(project)),
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__EXECUTOR": "slipway_airflow.executor.PreloadedLocalExecutor",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
    }
    if sys.platform == "darwin":  # forked tasks would crash in system libraries otherwise
        settings |= {"OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES", "NO_PROXY": "*"}
    return settings


def _slipway(project: Path) -> dict[str, str]:
    return {
        "AIRFLOW_CONN_PYDOCS_DB": f"sqlite:///{demo_sources(project) / 'pydocs.db'}",
        "SLIPWAY_ROOT": str(project),
    }


def _address(port: int) -> dict[str, str]:
    """Where the API server listens, where tasks find it, and two ports for the servers of task logs."""
    return {
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{port}/execution/",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(_free_port(8793)),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(_free_port(8794)),
    }


def _free_port(preferred: int) -> int:
    """`preferred`, or any free port where something else listens on it."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return preferred
