"""Drift of a result → what the page shows."""

from slipway_airflow.ui.view_drift import drift_rows
from tests.unit.slipway.drift.records import a_measure


def test_alarms_stand_first():
    measures = [a_measure("mean_norm", 1.0), a_measure("mmd", 0.01234567, alarm=True, threshold=0.0003)]
    shown = drift_rows({"against": "r1", "alarms": ["it moved"], "measures": measures})
    assert shown["against"] == "against release r1"
    assert shown["alarms"] == ["it moved"]
    assert shown["rows"][0] == {"name": "mmd", "alarm": True, "value": "0.01235", "before": "–", "threshold": "0.0003"}
    assert shown["rows"][1]["name"] == "mean norm"


def test_a_result_without_drift_and_one_that_is_damaged_show_nothing_wrong():
    assert drift_rows({}) == {}
    assert drift_rows({"alarms": "x", "measures": [3, {"name": 4}]})["rows"] == [
        {"name": "4", "alarm": False, "value": "–", "before": "–", "threshold": "–"}
    ]
