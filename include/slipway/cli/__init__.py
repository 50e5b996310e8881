"""The command `slipway`: the same stages and the same reader as the DAGs and the serving team use, without Airflow."""

from slipway.cli import audit as audit  # these modules' commands belong to main
from slipway.cli import backup as backup
from slipway.cli import choose as choose
from slipway.cli import doctor as doctor
from slipway.cli import drift as drift
from slipway.cli import drill as drill
from slipway.cli import keygen as keygen
from slipway.cli import maintain as maintain
from slipway.cli import pins as pins
from slipway.cli import recover as recover
from slipway.cli import reindex as reindex
from slipway.cli import report as report
from slipway.cli import retention as retention
from slipway.cli import verify as verify
from slipway.cli import warm as warm
from slipway.cli.commands import main

__all__ = ["main"]
