"""Which share of all known rows was turned away, and why. Every row is counted: there is no sample."""

from __future__ import annotations

from slipway.cleaning.reasons import MEANINGS
from slipway.drift.measure import REJECTS, Measure, Rules, Sample, percent
from slipway.drift.shares import by_chance

FLOOR = 0.01  # share of rows: one in a hundred; a source brings fewer odd rows every other night


def rejects(now: Sample, before: Sample | None, rules: Rules) -> list[Measure]:
    """A measure a reason, repeated documents among them. The error rate is that of all reasons together."""
    reasons = sorted({*now.rejected, *(before.rejected if before else ())})
    return [_reason(reason, now, before, rules.alpha / len(reasons)) for reason in reasons]


def _reason(reason: str, now: Sample, before: Sample | None, alpha: float) -> Measure:
    here, share = now.rejected.get(reason, 0), now.rejected.get(reason, 0) / now.rows
    said = f"{percent(share)} of the rows were turned away as {reason} ({MEANINGS.get(reason, 'unknown reason')})"
    if before is None or not before.rows:
        return Measure(f"rejected:{reason}", REJECTS, share, said)
    there = before.rejected.get(reason, 0)
    earlier = there / before.rows
    limit = max(by_chance(here, now.rows, there, before.rows, alpha), FLOOR)
    said += f", {percent(earlier)} in {before.name}"
    return Measure(f"rejected:{reason}", REJECTS, share, said, earlier, limit, abs(share - earlier) > limit)
