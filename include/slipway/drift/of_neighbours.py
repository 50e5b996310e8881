"""How much of what golden queries find has changed, from the comparison with the live release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway.drift.measure import NEIGHBOURS, Measure, percent

EXPLAINED = 3  # golden queries ask for what is news as well, so a changed document takes more than its share of places
FLOOR = 0.05  # one neighbour in twenty: an index that was trained anew changes as many


def neighbours(facts: Mapping[str, Any], before: str, churn: float | None) -> list[Measure]:
    """Overlap@10, rank-biased overlap and the share of queries that find something else.

    `facts` are those of slipway.stages.comparison. `churn` is the number of documents that were added, changed or
    deleted against the live release, as a share of all; None: unknown. Neighbours that changed far more than it
    explains raise the alarm, between two releases of the same encoder.
    """
    found = facts["neighbours"]
    kept, rbo, changed = found["overlap_at_10"], found["rank_biased_overlap"], found["changed_share"]
    said = f"of ten neighbours of a golden query, {10 * kept:.1f} are those of {before}"
    same = facts["encoders"]["candidate"]["fingerprint"] == facts["encoders"]["live"]["fingerprint"]
    least = None
    if not same:
        said += "; another encoder finds others"
    elif churn is not None:
        least = max(0.0, 1 - EXPLAINED * churn - FLOOR)
        said += f"; {percent(churn)} of the documents changed"
    alarm = least is not None and kept < least
    ranked = f"the rankings' rank-biased overlap with those of {before} is {rbo:.3f}"
    others = f"{percent(changed)} of the golden queries find another top ten"
    return [
        Measure("overlap_at_10", NEIGHBOURS, kept, said, threshold=least, alarm=alarm),
        Measure("rank_biased_overlap", NEIGHBOURS, rbo, ranked),
        Measure("changed_share", NEIGHBOURS, changed, others),
    ]
