"""Where marks stand in the plots."""

import pytest

from slipway.report import plots
from slipway.report.scale import Scale, around


def difference(value, low=None, high=None):
    return {"difference": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("low", "high", "value", "floor", "tone"),
    [
        (None, None, -0.3, None, "open"),
        (-0.1, 0.1, 0.0, None, "plain"),
        (0.01, 0.1, 0.05, None, "better"),
        (-0.1, -0.01, -0.05, None, "worse"),
        (-0.1, -0.06, -0.08, 0.05, "worse"),
        (-0.1, -0.01, -0.05, 0.05, "plain"),
        (-0.011, -0.001, -0.006, 0.005, "plain"),
        (0.001, 0.011, 0.006, 0.005, "plain"),
    ],
    ids=[
        "too few queries",
        "both signs",
        "gain",
        "loss",
        "loss beyond the noise",
        "within the noise",
        "loss that may be within the noise",
        "gain that may be within the noise",
    ],
)
def test_a_difference_is_only_called_a_gain_or_a_loss_where_it_is_certain(low, high, value, floor, tone):
    (row,) = plots.forest([("ndcg", difference(value, low, high))], [None], [floor]).rows
    assert row.tone == tone
    assert (row.interval is None) == (low is None)


def test_a_forest_holds_everything_and_keeps_its_order():
    drawn = plots.forest(
        [("a", difference(-0.05, -0.1, 0.0)), ("b", difference(0.02, 0.01, 0.03))], [0.2, None], [0.3, None]
    )
    first, second = drawn.rows
    assert first.y < second.y
    assert first.margin is not None
    left, right = first.noise
    for place in (left, right, first.margin, *first.interval, first.x, drawn.zero):
        assert plots.LABELS < place < plots.VALUES
    assert first.interval[0] < first.x < first.interval[1] < second.x
    assert first.margin < first.x


def test_a_long_label_is_cut_and_whole_in_its_title():
    (row,) = plots.forest([("x" * 60, difference(0.0))], [None], [None]).rows
    assert (len(row.label), row.name) == (plots.LETTERS, "x" * 60)


SWEEP = [
    {"parameters": {"nprobe": probes}, "recall_at_10": recall, "p50_ms": probes / 20, "p95_ms": probes / 10}
    for probes, recall in ((4, 0.8), (8, 0.9), (16, 0.99))
]


def test_the_chosen_setting_and_the_live_release_are_marked():
    drawn = plots.curve(SWEEP, {"nprobe": 8}, {"recall_at_10": 0.9, "p95_ms": 0.8})
    assert [point.kind for point in drawn.points] == ["rung", "chosen", "rung", "live"]
    chosen, live = drawn.points[1], drawn.points[3]
    assert (chosen.name, live.name) == ("nprobe 8", "live release")
    assert (chosen.x, chosen.y) == (live.x, live.y)
    assert live.note.y - chosen.note.y == pytest.approx(plots.LINE)
    heights = [point.y for point in drawn.points[:3]]
    assert heights == sorted(heights, reverse=True)


def test_one_setting_alone_can_be_drawn_and_none_is_no_plot():
    assert len(plots.curve(SWEEP[:1], {"nprobe": 4}, None).points) == 1
    assert plots.curve([], {}, None) is None


def test_a_trend_marks_its_alarms():
    seen = [{"value": value, "threshold": 0.5, "before": None, "alarm": value > 0.5} for value in (0.1, 0.2, 0.9)]
    drawn = plots.trend(seen)
    assert drawn.alarms == (drawn.last,)
    assert drawn.last[1] < drawn.thresholds[0]


def test_a_trend_may_differ_from_before_by_its_threshold_to_both_sides():
    seen = [{"value": value, "threshold": 0.1, "before": 0.5, "alarm": False} for value in (0.45, 0.52)]
    upper, lower = plots.trend(seen).thresholds
    assert upper < plots.trend(seen).last[1] < lower


def test_what_was_measured_less_than_twice_has_no_trend():
    missing = {"value": None, "threshold": None, "before": None, "alarm": False}
    assert plots.trend([missing, {**missing, "value": 1.0}, missing]) is None


@pytest.mark.parametrize("values", [(0.0,), (1.0, 1.0), (3.0, -2.0)])
def test_a_scale_holds_all_its_values(values):
    scale = around(values, 10, 110)
    assert all(10 < scale(value) < 110 for value in values)
    assert scale.ticks()


def test_ticks_are_round_and_few():
    assert Scale(-0.1065, 0.0065, 0, 1).ticks() == [-0.1, -0.05, 0.0]
    assert all(2 <= len(Scale(-0.1, high / 97, 0, 1).ticks()) <= 5 for high in range(1, 200))
    assert Scale(-0.031, 0.042, 0, 1).ticks() == [-0.02, 0.0, 0.02, 0.04]
    assert Scale(0.3, 25, 0, 1, log=True).ticks() == [0.5, 1, 2, 5, 10, 20]
