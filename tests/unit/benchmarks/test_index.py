"""The measurement of indexes, on few made-up vectors; and its arithmetic."""

import json
from pathlib import Path

import pytest

from benchmarks import index
from benchmarks.indexing import building, eighth
from benchmarks.indexing.corpus import made_up
from benchmarks.indexing.sweep import Point, front, speed_at, worth_timing
from benchmarks.indexing.systems import systems
from slipway.errors import IndexRefused
from slipway.index.contract import Found, Settings, Tried
from slipway.index.contract.refusal import refusal


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


def test_graphs_of_peers_have_16_and_32_links() -> None:
    peers = [one.name for one in systems(1_000, 32) if not one.name.startswith("slipway")]
    for library in ("hnswlib M", "usearch bf16 M", "FAISS HNSW"):
        assert {f"{library}16", f"{library}32"} <= set(peers)


def test_a_refused_contract_is_given_what_is_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the time of both counts."""
    tried = Tried("SQ8", memory_bytes=100, measured_on=2_000, recall_at_10=0.9, p95_ms=1.0, build_seconds=1.0)
    asked: list[float] = []

    def search(vectors: object, queries: object, settings: Settings) -> Found:
        asked.append(settings.contract.recall_at_10)
        if settings.contract.recall_at_10 > 0.9:
            raise IndexRefused(refusal([tried], settings.contract))
        return Found([tried], [tried], 1.0)

    monkeypatch.setattr(eighth, "search", search)
    led = eighth.contract(made_up(2_000, 200, 16, seed=1), 2_000_000, 1, least=0.97)
    assert asked == [0.97, 0.895]
    assert (led.asked, led.spec) == (0.895, "SQ8")
    assert led.recall is not None
    assert led.recall > 0.9
    assert "no index keeps the contract recall_at_10 0.97" in led.refused


def test_building_is_compared_in_whole_and_in_part(tmp_path: Path) -> None:
    ratios = building.build_ratios("IVF8,SQ8", made_up(2_000, 1, 16, seed=1).vectors, 2, 1, tmp_path)
    assert len(ratios.whole) == len(ratios.adding) == 2
    assert min(ratios.whole + ratios.adding) > 0
    assert (tmp_path / "index.faiss").stat().st_size == (tmp_path / "bare.faiss").stat().st_size


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
