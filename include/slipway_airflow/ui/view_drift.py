"""Drift of a run's result → what its page shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway_airflow.ui.formats import mappings, number, sequence


def drift_rows(drift: Mapping[str, Any]) -> dict[str, Any]:
    """The alarms' sentences, and a row a measure, alarms first; {} when the result has none."""
    if not drift:
        return {}
    rows = [_row(one) for one in mappings(drift.get("measures"))]
    against = drift.get("against")
    return {
        "against": f"against release {against}" if against else "(nothing was live to compare with)",
        "alarms": [str(said) for said in sequence(drift.get("alarms"))],
        "rows": sorted(rows, key=lambda row: not row["alarm"]),
    }


def _row(measure: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: number(measure.get(name)) for name in ("value", "before", "threshold")}
    name = str(measure.get("name") or "").replace("_", " ")
    return {"name": name, "alarm": measure.get("alarm") is True, **numbers}
