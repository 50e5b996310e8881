"""The command `slipway audit`, and what it prints."""

from __future__ import annotations

from typing import Any

import click

from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME, STORE, collection_url


@main.command()
@NAME
@COLLECTIONS
@STORE
@click.option("--last", default=20, show_default=True, type=click.IntRange(1), help="Newest changes to show.")
@JSON
def audit(collection: str, collections: str | None, store: str | None, last: int, as_json: bool) -> None:
    """Say who changed what serves of COLLECTION, when, why, from which run, and from which release to which.

    Each change of serving.json is a record that is written once. Oldest first. A record that cannot be read is told
    with its generation and why.
    """
    with guarded(as_json) as output:
        from slipway.pointer import audit_trail
        from slipway.storage import open_store

        changes = audit_trail(open_store(collection_url(collection, collections, store)), last)
        output.write({"collection": collection, "changes": changes}, trail)


def trail(found: dict[str, Any]) -> str:
    """The changes for people: a line each, and its reason below."""
    lines = [_line(change) for change in found["changes"]]
    return "\n".join(lines) or f"{found['collection']}: nothing was ever released"


def _line(change: dict[str, Any]) -> str:
    if "unreadable" in change:
        return f"{change['generation']:>6}  damaged: {change['unreadable']}"
    made = change["changed"] or {}
    left, reached = made.get("from_release") or "nothing", made.get("to_release") or "nothing"
    share = f" at {change['shift']['percent']} %" if change.get("shift") else ""
    run = f", run {made['run_id']}" if made.get("run_id") else ""
    allowed = f", allowed {', '.join(made['allowed'])}" if made.get("allowed") else ""
    return (
        f"{change['generation']:>6}  {change['at']}  {made.get('action', '?')}{share}: {left} → {reached}\n"
        f"        by {made.get('who', '?')}{run}{allowed}: {made.get('why', '?')}"
    )
