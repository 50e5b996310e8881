"""The command `slipway`: the same stages and the same reader as the DAGs and the serving team use, without Airflow."""

from slipway.cli import maintain as maintain  # its command belongs to main
from slipway.cli.commands import main

__all__ = ["main"]
