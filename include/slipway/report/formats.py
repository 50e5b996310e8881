"""Numbers as a report shows them."""

from __future__ import annotations

from slipway.config.metrics import METRICS
from slipway.sizes import size

MINUS = "−"


def metric(value: float | None, name: str) -> str:
    """A metric's value with its unit: 0.512, 1.23 ms, 16.0 MiB, 12 min, 6,543."""
    unit = METRICS[name].unit if name in METRICS else "share"
    if value is None:
        return "–"
    if unit == "bytes":
        return size(value)
    if unit == "ms":
        return f"{value:,.2f} ms"
    if unit == "minutes":
        return seconds(60 * value)
    return share(value) if unit == "share" else count(value)


def share(value: float | None) -> str:
    """0.512; a dash for None."""
    return "–" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """+0.012, −0.012, 0.000; a dash for None."""
    if value is None:
        return "–"
    text = f"{abs(value):.3f}"
    if float(text) == 0:
        return text
    return f"+{text}" if value > 0 else f"{MINUS}{text}"


def interval(low: float | None, high: float | None) -> str:
    """−0.031 to +0.007; words where there is none."""
    return "too few queries" if low is None or high is None else f"{signed(low)} to {signed(high)}"


def percent(value: float) -> str:
    """12 %; two digits below ten."""
    return f"{100 * value:.0f} %" if value >= 0.1 else f"{100 * value:.1f} %"


def count(value: float) -> str:
    """6,543."""
    return f"{value:,.0f}"


def short(value: float | None) -> str:
    """A number of any unit in at most four digits, thousands separated."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}".replace("-", MINUS)


def seconds(value: float) -> str:
    """0.4 s, 75 s, 12 min, 3 h 20 min."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    hours, minutes = divmod(round(value / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def moment(at: str) -> str:
    """2026-11-21 02:15 UTC, of an ISO time or of one such as 20261121T021500Z, in UTC both."""
    if len(at) >= 15 and at[8] == "T":
        return f"{at[:4]}-{at[4:6]}-{at[6:8]} {at[9:11]}:{at[11:13]} UTC"
    return f"{at[:10]} {at[11:16]} UTC"
