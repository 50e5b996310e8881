"""What the command line prints of an index contract: what was tried for it, and what was confirmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slipway.config.index import Contract
from slipway.sizes import size

LABEL = f"  {'contract':<11} "


def lines(contract: Mapping[str, Any] | None) -> list[str]:
    """The clauses with what was confirmed, and a line for each index that was tried; none without a contract."""
    if contract is None:
        return []
    asked = Contract.model_validate(contract["clauses"])
    seen = contract["confirmed"]
    measured = f"recall@10 {seen['recall_at_10']:.3f}, p95 {seen['p95_ms']:.3g} ms, {size(seen['memory_bytes'])}"
    source = f"{seen['queries']} held-out queries ({seen['source']})"
    return [f"{LABEL}{asked}", f"{LABEL}confirmed by {source}: {measured}", *table(contract["front"], contract["spec"])]


def table(tried: Sequence[Mapping[str, Any]], chosen: str) -> list[str]:
    """A line for each index that was tried: > chosen, * on the Pareto front. Then how many were not tried."""
    measured = [one for one in tried if one["measured_on"]]
    left = len(tried) - len(measured)
    rows = [_row(one, chosen) for one in measured]
    return [f"{LABEL}{row}" for row in [*rows, *([f"  {left} more were not tried"] if left else [])]]


def _row(one: Mapping[str, Any], chosen: str) -> str:
    mark = ">" if one["spec"] == chosen and one["kept"] else "*" if one["on_front"] else " "
    numbers = f"recall@10 {one['recall_at_10']:.3f}  p95 {one['p95_ms']:>8.3g} ms  {size(one['memory_bytes']):>12}"
    return f"{mark} {one['spec']:<32} {numbers}  {one['build_seconds']:>8.3g} s  {one['why']}"


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
