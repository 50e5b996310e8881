"""What the command line prints of an index contract: what was tried for it, and what was confirmed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from slipway.config.index import Contract
from slipway.report import fronts
from slipway.sizes import size

FRONT = "* on the Pareto front: no other is at least as good in recall, p95 and memory"
LABEL = f"  {'contract':<11} "


def lines(contract: Mapping[str, Any] | None, *, nothing_changed: bool = False) -> list[str]:
    """The clauses with what was confirmed, and a line for each index that was tried; none without a contract.

    `nothing_changed`: what was tried was tried for an earlier run, whose page has it.
    """
    if contract is None:
        return []
    asked = Contract.model_validate(contract["clauses"])
    seen = contract["confirmed"]
    measured = f"recall@10 {seen['recall_at_10']:.3f}, p95 {seen['p95_ms']:.3g} ms, {size(seen['memory_bytes'])}"
    source = f"{seen['queries']} held-out queries ({seen['source']})"
    said = [f"{LABEL}{asked}", f"{LABEL}confirmed by {source}: {measured}"]
    if nothing_changed:
        return said
    if not fronts.was_tried(contract):
        return [*said, f"{LABEL}nothing was tried: {contract['reason']}"]
    return [*said, *table(contract["front"], contract["spec"])]


def table(tried: Sequence[Mapping[str, Any]], chosen: str = "") -> list[str]:
    """A line for each index that was tried, and how many were not, by reason."""
    measured = [one for one in tried if one["measured_on"]]
    left = Counter(_kind(one["why"]) for one in tried if not one["measured_on"])
    marks = ["> chosen"] if chosen else []
    legend = [", ".join([*marks, FRONT])] if measured else []
    reasons = [f"  {count} not tried: {why}" for why, count in left.most_common()]
    return [f"{LABEL}{row}" for row in [*(_row(one, chosen) for one in measured), *reasons, *legend]]


def _kind(why: str) -> str:
    """Why an index was not tried, without what is said of it alone."""
    return why.removeprefix("not tried: ").partition(": ")[0]


def _row(one: Mapping[str, Any], chosen: str) -> str:
    mark = ">" if one["spec"] == chosen and one["kept"] else "*" if one["on_front"] else " "
    numbers = f"recall@10 {one['recall_at_10']:.3f}  p95 {one['p95_ms']:>8.3g} ms  {size(one['memory_bytes']):>12}"
    return f"{mark} {one['spec']:<32} {numbers}  {one['build_seconds']:>8.3g} s  {one['why']}"


def refused(made: Mapping[str, Any]) -> str:
    """What `slipway choose` prints before a refusal: what was tried."""
    return "\n".join(table(made["front"]))


def page(made: Mapping[str, Any]) -> str:
    """What `slipway choose` prints: the chosen index with the reason, and the table."""
    asked = Contract.model_validate(made["contract"])
    queries = made["queries"]
    return "\n".join(
        [
            f"{made['collection']}  contract {asked}, tried on release {made['release_id']} in {made['seconds']:.1f} s",
            "",
            f"{made['spec']}: {made['reason']}",
            f"{made['vectors']:,} vectors, {queries['tuning']} tuning queries: {queries['source']}",
            "",
            *table(made["front"], made["spec"]),
        ]
    )
