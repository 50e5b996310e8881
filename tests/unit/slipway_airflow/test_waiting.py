"""Threads of tasks that share a machine must not take it from each other by waiting."""

import os
import subprocess
import sys

import pytest

SHOWN = "import slipway_airflow, os; print(os.environ['GOMP_SPINCOUNT'])"


@pytest.mark.parametrize(("preset", "shown"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_tasks_spin_a_little_unless_they_are_told_otherwise(preset: dict[str, str], shown: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"} | preset
    ran = subprocess.run([sys.executable, "-c", SHOWN], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == shown
