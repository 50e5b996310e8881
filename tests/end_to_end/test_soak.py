"""A short form of `make soak`: some swaps under threads and processes that search without pause."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/soak.py"


@pytest.mark.parametrize(("store", "swaps"), [("local", 30), ("s3", 10)])
def test_swaps_under_searches_fail_and_mix_none(store: str, swaps: int) -> None:
    command = [sys.executable, str(SCRIPT), "--swaps", str(swaps), "--seed", "1", "--store", store]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    first, *told, last = done.stdout.splitlines()
    assert first == "seed 1"
    made = json.loads(last)
    assert made.pop("queries") > 100
    assert 0 < made.pop("p50_ms") <= made.pop("p99_ms")
    assert made == {"swaps": swaps, "failed_queries": 0, "mixed_answers": 0}, done.stdout
    assert done.returncode == 0
    readers = [line for line in told if line.split(":")[0] in {"here", "process-0", "process-1"}]
    assert len(readers) == 3, done.stdout
