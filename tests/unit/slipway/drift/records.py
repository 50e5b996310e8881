"""Facts of records of drift, for what shows them."""

from typing import Any


def a_measure(name: str, value: float | None, *, alarm: bool = False, **other: Any) -> dict[str, Any]:
    said = f"what {name} says"
    made = {"name": name, "group": "vectors", "value": value, "before": None, "threshold": None, "says": said}
    return {**made, "alarm": alarm, **other}


def a_record(number: int, *measures: dict[str, Any], against: str | None = "r1") -> dict[str, Any]:
    alarms = sum(one["alarm"] for one in measures)
    facts = {"at": f"202601{number:02d}T021500Z", "run_id": f"night-{number}", "against": against}
    return {**facts, "measures": list(measures), "alarms": alarms, "candidate": "candidates/1", "encoder": "e"}
