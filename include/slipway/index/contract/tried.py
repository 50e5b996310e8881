"""What one candidate gave, which clauses of the contract it breaks, and which of many are on the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from slipway.config.index import Contract
from slipway.sizes import size

HEADROOM = 0.8  # of p95_ms: a reader does more than search the index, and machines have their moments
TIE = 1.1  # indexes within this factor of the least memory cost the same


@dataclass(frozen=True, slots=True)
class Tried:
    """One candidate with the parameters it was searched with.

    `memory_bytes`, `p95_ms` and `build_seconds` are for all vectors: measured on `measured_on` of them and estimated
    from there; the memory is that of the index's file, which a reader holds. Where nothing was measured, `measured_on`
    is 0, the memory is estimated for a reader that searches, and the others are None. `why` says what became of it.
    """

    spec: str
    memory_bytes: int
    measured_on: int = 0
    parameters: Mapping[str, int] | None = None
    recall_at_10: float | None = None
    p95_ms: float | None = None
    build_seconds: float | None = None
    kept: bool = False
    on_front: bool = False
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """As it stands in the facts of a choice."""
        return asdict(self)

    def judged(self, contract: Contract) -> Tried:
        """The same, with whether it keeps the contract, and which clauses it breaks."""
        broken = breaks(self, contract)
        return replace(self, kept=not broken, why="; ".join(broken.values()) or "keeps every clause")


def aim(recall: float, queries: int) -> float:
    """The recall@10 to tune for, so that other queries will find `recall`.

    Two standard errors more, if each of the ten neighbours of so many queries were found by itself; at most half of
    what is missing from 1.
    """
    error = math.sqrt(recall * (1 - recall) / (10 * max(queries, 1)))
    return round(recall + min(2 * error, (1 - recall) / 2), 6)


def breaks(one: Tried, contract: Contract) -> dict[str, str]:
    """By clause, what is wrong with what was measured; a clause that was not measured is not broken."""
    broken: dict[str, str] = {}
    if one.recall_at_10 is not None and one.recall_at_10 < contract.recall_at_10:
        broken["recall_at_10"] = f"recall@10 is {one.recall_at_10:.3f}"
    if contract.p95_ms is not None and one.p95_ms is not None and one.p95_ms > contract.p95_ms * HEADROOM:
        broken["p95_ms"] = (
            f"p95 is {one.p95_ms:.3g} ms, of {contract.p95_ms:g} ms with headroom for the rest of a search"
        )
    if contract.memory is not None and one.memory_bytes > contract.memory:
        broken["memory"] = f"it takes {size(one.memory_bytes)}"
    if contract.build_minutes is not None and (one.build_seconds or 0) > contract.build_minutes * 60:
        broken["build_minutes"] = f"building takes {(one.build_seconds or 0) / 60:.3g} minutes"
    return broken


def dominates(one: Tried, other: Tried) -> bool:
    """Whether `one` is at least as good in recall, p95 and memory, and better in one of them. Both were measured."""
    mine, others = _goods(one), _goods(other)
    return all(a >= b for a, b in zip(mine, others, strict=True)) and mine != others


def with_front(tried: Sequence[Tried]) -> list[Tried]:
    """The same, each measured one marked whether no other dominates it."""
    measured = [one for one in tried if one.measured_on]
    return [
        replace(one, on_front=bool(one.measured_on) and not any(dominates(other, one) for other in measured))
        for one in tried
    ]


def fronted(tried: Sequence[Tried]) -> list[dict[str, Any]]:
    """As it stands in the facts of a choice, from cheap to dear."""
    return [one.as_json() for one in sorted(tried, key=lambda one: (one.memory_bytes, one.spec))]


def _goods(one: Tried) -> tuple[float, float, float]:
    assert one.recall_at_10 is not None
    assert one.p95_ms is not None
    return one.recall_at_10, -one.p95_ms, -float(one.memory_bytes)


def by_cost(kept: Sequence[Tried]) -> list[Tried]:
    """Those that keep the contract, the cheapest first: by memory, and by p95 where the memory is as good as equal.

    The first is never dominated: what dominates it needs no more memory, and has no higher p95.
    """
    left = sorted(kept, key=lambda one: (one.memory_bytes, one.p95_ms or 0.0, -(one.recall_at_10 or 0.0)))
    ordered: list[Tried] = []
    while left:
        tied = [one for one in left if one.memory_bytes <= left[0].memory_bytes * TIE]
        best = min(tied, key=lambda one: (one.p95_ms or 0.0, -(one.recall_at_10 or 0.0), one.memory_bytes))
        ordered.append(best)
        left.remove(best)
    return ordered
