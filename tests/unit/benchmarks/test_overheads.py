"""The overhead's arithmetic: where a DAG run's seconds went, medians, and what is told of them."""

from pathlib import Path

import pytest

from benchmarks.nights.project import Night
from benchmarks.overheads.report import Setting, last_line, markdown
from benchmarks.overheads.rounds import Medians, Round, middle
from benchmarks.overheads.scheduled import Scheduled
from benchmarks.overheads.timeline import Line, Task, Timeline

#         0    2         7  8        11   13 14
#  extract     |---------|
#  embed                    |--------|
#  embed                        |---------|
TASKS = (Task("embed", 9, 13), Task("extract", 2, 7), Task("embed", 8, 11))


def test_waiting_is_the_time_in_which_nothing_ran() -> None:
    run = Timeline(0, 14, TASKS)
    assert run.seconds == 14
    assert run.idle() == 2 + 1 + 1


def test_work_around_and_waiting_by_stage() -> None:
    lines = Timeline(0, 14, TASKS).lines({"extract": 4.5, "embed": 6})
    assert lines == [Line("extract", 1, 4.5, 0.5, 2), Line("embed", 2, 6, 1, 1)]


def test_a_stage_that_told_nothing_is_all_around() -> None:
    assert Timeline(0, 3, [Task("report", 1, 3)]).lines({}) == [Line("report", 1, None, 2, 1)]


def test_a_run_without_tasks_waited_all_the_time() -> None:
    assert Timeline(5, 9, []).idle() == 4


def _round(bare: float, dag: float) -> Round:
    night = Night({"seconds": {"extract": 1.0, "embed": 6.0}}, bare, None)
    tasks = [Task("extract", 1, 3), Task("embed", 4, dag - 0.5)]
    return Round(night, Scheduled(Timeline(0, dag, tasks), {"seconds": {"extract": 1.5, "embed": 5.0}}, 40.0))


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    rounds = [_round(10, 11), _round(10, 15), _round(20, 24)]
    medians = Medians.of(rounds)
    assert (medians.bare_seconds, medians.dag_seconds, medians.ratio) == (10, 15, pytest.approx(1.2))
    assert middle(rounds) is rounds[2]
    assert middle(rounds[:2]) is rounds[0]


def test_the_last_line_has_the_keys_that_scripts_read() -> None:
    last = last_line([_round(10, 12)], Setting(500, "static"))
    assert last == {
        "dag_seconds": 12,
        "bare_seconds": 10,
        "ratio": 1.2,
        "airflow_start_seconds": 40,
        "idle_seconds": 2.5,
        "documents": 500,
        "encoder": "static",
        "rounds": 1,
    }


def test_the_table_names_each_stage_once_and_the_rest() -> None:
    told = markdown([_round(10, 12)], Setting(500, "static"))
    assert "| extract | 1 | 1.00 | 10% | 1.50 | 0.50 | 1.00 |" in told
    assert "| embed | 1 | 6.00 | 60% | 5.00 | 2.50 | 1.00 |" in told
    assert "| imports, start and end |  | 3.00 | 30% |  |  | 0.50 |" in told


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.overheads.plot import draw

    draw(_round(10, 12), tmp_path / "overhead.svg")
    assert (tmp_path / "overhead.svg").read_text().count("<path") > 4
