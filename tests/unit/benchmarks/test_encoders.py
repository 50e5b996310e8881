"""The comparison of encoders, on made-up systems: the second is twice as fast and turns its vectors a little."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.encoders import last_line, works
from benchmarks.encoding import arithmetic, fastembed_peer, report
from benchmarks.encoding.report import Section
from benchmarks.encoding.rounds import Measured, Work, measured
from benchmarks.encoding.systems import Absent, System
from tests.support.encoders import packaged_model


def a_system(name: str, seconds: Sequence[float], turn: float = 0.0) -> System:
    """Takes these seconds, call by call, and makes vectors at this angle to those of the others."""
    left = iter(seconds)

    def encode(texts: Sequence[str]) -> tuple[np.ndarray, float]:
        vector = np.array([np.cos(turn), np.sin(turn)], dtype=np.float32)
        return np.tile(vector, (len(texts), 1)), next(left)

    return System(name, "float32", encode)


WORKS = [Work(["a", "b"], 100, 2e9), Work(["c", "d"], 300, 6e9), Work(["e", "f"], 200, 4e9)]


def rows() -> list[Measured]:
    pair = [a_system("stock", [1.0, 3.0, 4.0]), a_system("slipway torch", [0.5, 1.0, 4.0], turn=0.01)]
    return measured(pair, WORKS, lambda: None)


def test_ratios_are_taken_round_by_round_on_the_same_texts() -> None:
    first, second = rows()
    assert first.tokens_per_second == [100.0, 100.0, 50.0]
    assert second.ratios == [2.0, 3.0, 1.0]
    assert (first.ratio, second.ratio, second.speed) == (1.0, 2.0, 200.0)
    assert second.flops == [4e9, 6e9, 1e9]


def test_the_smallest_cosine_to_stock_is_told() -> None:
    first, second = rows()
    assert first.cosine_min == pytest.approx(1)
    assert second.cosine_min == pytest.approx(np.cos(0.01))


def test_the_order_turns_and_the_matrix_product_is_timed_in_every_round() -> None:
    seen: list[str] = []

    def heard(name: str) -> System:
        silent = a_system(name, [1.0] * 3)

        def encode(texts: Sequence[str]) -> tuple[np.ndarray, float]:
            seen.append(name)
            return silent.encode(texts)

        return System(name, "float32", encode)

    measured([heard("stock"), heard("other")], WORKS, lambda: seen.append("product"))
    assert seen == ["stock", "other", "product", "other", "stock", "product", "stock", "other", "product"]


def a_section() -> Section:
    gains = {"stock": 0.8, "slipway torch": 0.796}
    return Section(
        "On the CPU", rows(), [Absent("slipway openvino", "it is not installed")], [2e10], gains, ["3 texts."]
    )


def test_the_last_line_has_the_figures_by_backend() -> None:
    told = json.loads(json.dumps(last_line([a_section()])))
    assert told["ratio_to_stock"] == {"torch": 2.0}
    assert told["cosine_min"]["torch"] == pytest.approx(0.99995, abs=1e-6)
    assert told["ndcg_loss"] == {"torch": 0.005}
    assert (told["fastembed"], told["gpu"]) == (None, {})


def test_what_was_not_measured_is_null() -> None:
    told = last_line([Section("On the CPU", rows(), [], [2e10], {}, [])])
    assert told["ndcg_loss"] == {"torch": None}


def test_the_page_and_its_plot_are_written(tmp_path: Path) -> None:
    report.write(tmp_path, [a_section()], "python benchmarks/encoders.py --rounds 3")
    page = (tmp_path / "encoders.md").read_text()
    for shown in (
        "| slipway torch | float32 | 200 (50 – 300) | 2.00 (1.00 – 3.00) |",
        "| 20% | 0.7960 | +0.50% |",
        "slipway openvino did not run: it is not installed",
        "`python benchmarks/encoders.py --rounds 3`",
    ):
        assert shown in page
    assert "<svg" in (tmp_path / "encoders.svg").read_text()


def test_work_is_cut_into_equal_rounds_and_counted_as_the_model_reads_it() -> None:
    made = works(["a word", "word " * 1_000, "x", "y", "left over"], 2)
    assert [list(work.texts) for work in made] == [["a word", "word " * 1_000], ["x", "y"]]
    assert [work.tokens for work in made] == [4 + 256, 6]


def test_a_token_of_minilm_costs_twenty_one_million_operations() -> None:
    alone = arithmetic.flops([1], packaged_model().folder)
    assert alone == pytest.approx(21.2e6, rel=0.01)
    assert arithmetic.flops([256], packaged_model().folder) / (256 * alone) == pytest.approx(1.11, abs=0.01)


def test_a_matrix_product_has_a_speed() -> None:
    assert arithmetic.peak() > 1e8


def test_a_peer_that_does_not_load_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("raise SystemExit(3)")
    monkeypatch.setattr(fastembed_peer, "installed", lambda _: Path(sys.executable))
    monkeypatch.setattr(fastembed_peer, "exported", lambda _: tmp_path)
    monkeypatch.setattr(fastembed_peer, "WORKER", worker)
    with fastembed_peer.fastembed(tmp_path, 16) as peer:
        assert isinstance(peer, Absent)
        assert "ended with status 3" in peer.reason


def test_without_the_data_ndcg_is_not_measured(tmp_path: Path) -> None:
    from benchmarks.encoders import compared

    asked = argparse.Namespace(rounds=3, data=tmp_path / "none", seed=1, questions=1, paragraphs=1)
    pair = [a_system("stock", [1.0] * 4), a_system("slipway torch", [1.0] * 4)]
    made = compared(asked, list("abcdef"), "On the CPU", pair, "cpu", "float32")
    assert made.ndcg == {}
    assert "nDCG@10 was not measured" in made.notes[-1]
