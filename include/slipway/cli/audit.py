"""The command `slipway audit`, and what it prints."""

from __future__ import annotations

from typing import Any

import click

from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME, STORE, collection_url
from slipway.cli.show_reindex import approval


@main.command()
@NAME
@COLLECTIONS
@STORE
@click.option("--last", default=20, show_default=True, type=click.IntRange(1), help="Newest changes to show.")
@JSON
def audit(collection: str, collections: str | None, store: str | None, last: int, as_json: bool) -> None:
    """Say who changed what serves of COLLECTION, when, why, from which run, and from which release to which.

    Each change of serving.json is a record that is written once, and so is each decision of a person on a candidate:
    an approval stands below the change that was made by it.
    Oldest first. A record that cannot be read is told with its generation and why.
    """
    with guarded(as_json) as output:
        from slipway import decisions
        from slipway.pointer import audit_trail
        from slipway.storage import open_store

        objects = open_store(collection_url(collection, collections, store))
        decided = decisions.all(objects)
        changes = [_with_approval(change, decided) for change in audit_trail(objects, last)]
        found = {"changes": changes, "decisions": _led_to_no_change(decided, changes)[-last:]}
        output.write({"collection": collection, **found, "damaged": decisions.damaged(objects)}, trail)


def _led_to_no_change(decided: list[dict[str, Any]], changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rejections, and approvals by which nothing went live, since the first of the changes."""
    since = changes[0].get("at", "") if changes and changes[0]["generation"] > 1 else ""
    runs = {(change.get("changed") or {}).get("run_id") for change in changes}
    return [one for one in decided if one["at"] >= since and not (one["approved"] and one["run_id"] in runs)]


def _with_approval(change: dict[str, Any], decided: list[dict[str, Any]]) -> dict[str, Any]:
    """The change with, as `approval`, the decision that it was made by, where it was made by one."""
    from slipway.pointer import APPROVAL

    made = change.get("changed") or {}
    if APPROVAL not in made.get("allowed", ()):
        return change
    given = [one for one in decided if one["approved"] and one["run_id"] == made["run_id"]]
    before = [one for one in given if one["at"] <= change["at"]] or given[:1]  # clocks of two machines may differ
    return change | {"approval": before[-1] if before else None}


def trail(found: dict[str, Any]) -> str:
    """The changes and the decisions that led to none, for people, in the order of time; then what cannot be read."""
    decided = list(found.get("decisions", []))
    lines = []
    for change in found["changes"]:
        while decided and decided[0]["at"] < change.get("at", ""):
            lines.append(_decision(decided.pop(0)))
        lines.append(_line(change))
    lines += [_decision(one) for one in decided]
    lines += [f"{'-':>6}  damaged: {one['unreadable']}" for one in found.get("damaged", [])]
    return "\n".join(lines) or f"{found['collection']}: nothing was ever released"


def _decision(one: dict[str, Any]) -> str:
    what = "approved, and not released" if one["approved"] else "rejected"
    return (
        f"{'-':>6}  {one['at']}  {what}: the candidate of run {one['run_id']}\n"
        f"        by {one['who']}, the verdict was {one['outcome']}: {one['comment']}"
    )


def _line(change: dict[str, Any]) -> str:
    if "unreadable" in change:
        return f"{change['generation']:>6}  damaged: {change['unreadable']}"
    made = change["changed"] or {}
    left, reached = made.get("from_release") or "nothing", made.get("to_release") or "nothing"
    share = f" at {change['shift']['percent']} %" if change.get("shift") else ""
    run = f", run {made['run_id']}" if made.get("run_id") else ""
    allowed = f", allowed {', '.join(made['allowed'])}" if made.get("allowed") else ""
    asked = f"\n        {approval(change['approval'])}" if change.get("approval") else ""
    return (
        f"{change['generation']:>6}  {change['at']}  {made.get('action', '?')}{share}: {left} → {reached}\n"
        f"        by {made.get('who', '?')}{run}{allowed}: {made.get('why', '?')}{asked}"
    )
