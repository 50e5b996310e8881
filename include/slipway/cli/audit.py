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

    Each change of serving.json is a record that is written once, and so is each rejection of a candidate by a person.
    Oldest first. A record that cannot be read is told with its generation and why.
    """
    with guarded(as_json) as output:
        from slipway import decisions
        from slipway.pointer import audit_trail
        from slipway.storage import open_store

        objects = open_store(collection_url(collection, collections, store))
        changes = audit_trail(objects, last)
        rejected = [one for one in decisions.all(objects) if not one["approved"]][-last:]
        output.write({"collection": collection, "changes": changes, "rejections": rejected}, trail)


def trail(found: dict[str, Any]) -> str:
    """The changes and the rejections for people, in the order of time: a line each, and its reason below."""
    rejected = list(found.get("rejections", []))
    lines = []
    for change in found["changes"]:
        while rejected and rejected[0]["at"] < change.get("at", ""):
            lines.append(_rejection(rejected.pop(0)))
        lines.append(_line(change))
    return (
        "\n".join(lines + [_rejection(one) for one in rejected]) or f"{found['collection']}: nothing was ever released"
    )


def _rejection(one: dict[str, Any]) -> str:
    return (
        f"{'-':>6}  {one['at']}  rejected: the candidate of run {one['run_id']}\n"
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
    asked = f"\n        {approval(made['approval'])}" if made.get("approval") else ""
    return (
        f"{change['generation']:>6}  {change['at']}  {made.get('action', '?')}{share}: {left} → {reached}\n"
        f"        by {made.get('who', '?')}{run}{allowed}: {made.get('why', '?')}{asked}"
    )
