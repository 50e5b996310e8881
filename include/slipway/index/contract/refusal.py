"""Which clause of a contract cannot be kept, and what would be possible, in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from slipway.config.index import Contract
from slipway.index.contract.tried import HEADROOM, Tried, breaks
from slipway.sizes import size


def refusal(tried: Sequence[Tried], contract: Contract, untried: Sequence[str] = ()) -> str:
    """The message of a `ContractRefused`: the contract, and by clause the nearest that keeps all the others.

    `untried` says which candidates might have kept it and were not tried, and why.
    """
    measured = [one for one in tried if one.measured_on]
    asked = str(contract)
    begins = f"no index {'that was tried ' if untried else ''}keeps the contract {asked}"
    if untried:
        begins += f" ({'; '.join(untried)})"
    if not measured:
        smallest = min(tried, key=lambda one: one.memory_bytes, default=None)
        least = f": the smallest, {smallest.spec}, takes about {size(smallest.memory_bytes)}" if smallest else ""
        return (
            f"{begins}{least}; {'mend what left them out, or ' if untried else ''}give up some of it in index.contract"
        )
    possible = list(_possible(measured, contract)) or [_nearest(measured, contract)]
    return f"{begins}. Possible: {'; or '.join(possible)}. Change index.contract to what is possible"


def _possible(measured: Sequence[Tried], contract: Contract) -> Iterator[str]:
    """By clause: what it would have to be, where that alone is broken."""
    best: dict[str, tuple[Callable[[Tried], float], str]] = {
        "recall_at_10": (lambda one: -(one.recall_at_10 or 0), "recall_at_10 of {recall:.3f} within the other clauses"),
        "p95_ms": (lambda one: one.p95_ms or 0, "p95_ms of {p95:.3g} with the other clauses kept"),
        "memory": (lambda one: one.memory_bytes, "memory of {memory} with the other clauses kept"),
        "build_minutes": (lambda one: one.build_seconds or 0, "build_minutes of {minutes:.3g} with the others kept"),
    }
    for clause, (cost, sentence) in best.items():
        alone = [one for one in measured if set(breaks(one, contract)) == {clause}]
        if alone:
            yield _told(min(alone, key=cost), sentence)


def _nearest(measured: Sequence[Tried], contract: Contract) -> str:
    """What breaks fewest clauses, and of these finds most."""
    one = min(measured, key=lambda one: (len(breaks(one, contract)), -(one.recall_at_10 or 0)))
    return _told(one, "recall_at_10 of {recall:.3f}, p95_ms of {p95:.3g}, memory of {memory}")


def _told(one: Tried, sentence: str) -> str:
    numbers = {
        "recall": one.recall_at_10 or 0,
        "p95": (one.p95_ms or 0) / HEADROOM,
        "memory": size(one.memory_bytes),
        "minutes": (one.build_seconds or 0) / 60,
    }
    return f"{sentence.format(**numbers)} ({one.spec}, {size(one.memory_bytes)}, recall@10 {one.recall_at_10:.3f})"
