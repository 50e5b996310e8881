"""A short form of `make chaos`: some kills, each followed by a retry or a new run."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/chaos.py"


def test_killed_nights_end_as_undisturbed_ones() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "6", "--seed", "1"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    first, *_, last = done.stdout.splitlines()
    assert first == "seed 1"
    made = json.loads(last)
    assert made.pop("not_hit")  # six kills cannot hit them all
    assert made == {"kills": 6, "seed": 1, "differences": 0, "embedded_twice": 0}, done.stdout
    assert done.returncode == 0
