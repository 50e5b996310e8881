"""A quick form of `make bench-night`, where its data is: samples and a static encoder keep the same promises."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks/night.py"
NAMED = os.environ.get("SLIPWAY_TEST_DATA")
DATA = Path(NAMED) / "oewn" if NAMED else ROOT.parent / "shared/data/oewn"
STAGES = {"extract", "clean", "snapshot", "chunk", "embed"}
SECONDS = {"full_seconds", "one_percent_seconds", "full_embed_seconds", "one_percent_embed_seconds"}
PROMISES: dict[str, Any] = {
    "embedded_beyond_new_texts": 0,
    "deleted_still_found": 0,
    "breaker_refused": True,
    "unchanged_embedded": 0,
    "unchanged_released": False,
}


def night(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there: no editions of Open English WordNet")
def test_the_quick_form_keeps_every_promise() -> None:
    done = night("--quick", "--data", str(DATA))
    assert done.returncode == 0, done.stdout + done.stderr[-3_000:]
    last = json.loads(done.stdout.splitlines()[-1])
    assert set(last) == {*PROMISES, *SECONDS, "peak_mib_100k", "peak_mib_1m"}
    assert {name: last[name] for name in PROMISES} == PROMISES
    assert all(last[name] > 0 for name in SECONDS)
    assert set(last["peak_mib_100k"]) == set(last["peak_mib_1m"]) == STAGES
    assert all(peak > 0 for peaks in (last["peak_mib_100k"], last["peak_mib_1m"]) for peak in peaks.values())


def test_without_data_it_says_so(tmp_path: Path) -> None:
    done = night("--quick", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "name the folder with --data or SLIPWAY_TEST_DATA" in done.stderr
