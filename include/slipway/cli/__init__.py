"""The command `slipway`: the same stages and the same reader as the DAGs and the serving team use, without Airflow."""

from slipway.cli.commands import main

__all__ = ["main"]
