"""The measurement of growth: its arithmetic, made vectors, and a tiny run."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import growth
from benchmarks.growths.report import MEASURES, fit, predictions
from benchmarks.indexing.corpus import drawn, made_up


def test_a_power_law_is_found_again() -> None:
    counts = [1e3, 1e4, 1e5]
    assert fit(counts, [3 * count**0.5 for count in counts]) == pytest.approx((3, 0.5))


def test_made_vectors_do_not_bend_the_line() -> None:
    rows = [{"family": "graph", "vectors": n, "real": True, **dict.fromkeys(MEASURES, 2.0 * n)} for n in (10, 20, 40)]
    made = {"family": "graph", "vectors": 200, "real": False, **dict.fromkeys(MEASURES, 9_000.0)}
    found = predictions([*rows, made], far=1_000)["graph"]["p95_ms"]
    assert found == {"exponent": pytest.approx(1), "at_100m": pytest.approx(2_000)}


def test_made_vectors_have_the_covariance_of_those_they_are_made_after() -> None:
    real = made_up(4_000, 10, 16, seed=1).vectors
    made = drawn(real, 20_000, seed=2)
    assert np.linalg.norm(made, axis=1) == pytest.approx(np.ones(len(made)), abs=1e-5)
    spread = np.cov(real, rowvar=False)
    assert np.abs(np.cov(made, rowvar=False) - spread).max() < 0.15 * spread.max()


def test_a_tiny_run_tells_every_index_and_what_it_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = growth.main(["--quick", "--cores", "1", "--output", str(tmp_path)])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == told
    assert [row["vectors"] for row in told["rows"]] == [500, 500, 1_000, 1_000, 2_000, 2_000, 4_000]
    assert told["predictions"][growth.GRAPH]["file_bytes"]["exponent"] == pytest.approx(1, abs=0.1)
    assert "What it predicts" in (tmp_path / "growth.md").read_text()
