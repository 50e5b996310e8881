"""The measurement of indexes, on few made-up vectors; and its arithmetic."""

import json
from pathlib import Path

import pytest

from benchmarks import index
from benchmarks.indexing.sweep import Point, front, speed_at, worth_timing


def points(*pairs: tuple[float, float]) -> list[Point]:
    return [Point((number,), recall, [speed]) for number, (recall, speed) in enumerate(pairs)]


def test_the_front_is_what_nothing_beats() -> None:
    found = front(points((0.9, 100), (0.95, 80), (0.94, 70), (0.99, 20)))
    assert [point.recall for point in found] == [0.9, 0.95, 0.99]


def test_speed_at_a_recall_lies_on_the_line_between_its_neighbours() -> None:
    assert speed_at(points((0.9, 100), (1.0, 50)), 0.95) == pytest.approx(75)


def test_speed_at_a_recall_that_every_point_exceeds_is_the_fastest() -> None:
    assert speed_at(points((0.97, 100), (1.0, 50)), 0.95) == 100


def test_there_is_no_speed_at_a_recall_that_no_point_reaches() -> None:
    assert speed_at(points((0.9, 100)), 0.95) is None


def test_both_sides_of_an_aim_are_timed() -> None:
    kept = worth_timing(points((0.5, 900), (0.8, 500), (0.999, 100)), (0.95,))
    assert [point.recall for point in kept] == [0.8, 0.999]


def test_a_tiny_run_writes_its_page_and_tells_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = index.main(["--quick", "--vectors", "1200", "--rounds", "1", "--cores", "1", "--output", str(tmp_path)])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == told
    assert {"build_ratio_to_bare_faiss", "recall_at_eighth_memory", "ground_truth_ratio_to_gemm"} <= told.keys()
    assert told["tuning_ratio_to_autofaiss"] is None
    for key in ("qps_at_recall_95", "qps_at_recall_99"):
        assert any(name.startswith("slipway") and not name.endswith("_all_cores") for name in told[key])
        assert told[key]["hnswlib M16"] > 0
    assert "slipway HNSW32_SQ8" in (tmp_path / "index.md").read_text()
    assert (tmp_path / "index.svg").read_text().startswith("<?xml")
