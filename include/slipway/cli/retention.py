"""The command `slipway retention`, and what it prints."""

from __future__ import annotations

from typing import Any

import click

from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME, STORE, TAKE_OVER, begun, person
from slipway.sizes import size


@main.command()
@NAME
@COLLECTIONS
@STORE
@click.option("--dry-run", is_flag=True, help="Say what would go and why, and remove nothing.")
@TAKE_OVER
@JSON
def retention(
    collection: str, collections: str | None, store: str | None, dry_run: bool, take_over: bool, as_json: bool
) -> None:
    """Remove COLLECTION's oldest releases, and say of each release why it is kept or goes.

    Kept are the newest release.keep whole ones, and in any case: what is live, on standby or on trial, what is pinned,
    and what a reader has loaded that is alive. It can be killed and run again at any time. The maintenance does the
    same first.
    """
    with guarded(as_json) as output:
        from slipway import maintenance
        from slipway.lease import Holder, this_process

        with begun(collection, collections, store) as this:
            if dry_run:
                done = maintenance.preview(this)
            else:
                holder = Holder(this.run_id, person(), "retention", this_process())
                done = maintenance.retain_alone(this, holder, take_over=take_over)
        output.write({"collection": collection, **done.as_json()}, retained)


def retained(done: dict[str, Any]) -> str:
    """Every release, newest first: kept or gone, and all reasons, a line each."""
    verb = "would go" if done["dry_run"] else "went"
    freed = f" ({size(done['bytes_freed'])})" if done["removed"] else ""
    title = (
        f"{done['collection']}: {len(done['removed'])} of {len(done['releases'])} releases {verb}{freed}; the newest "
        f"{done['keep']} are kept, and what is in use"
    )
    return "\n".join([title, "", *(line for one in done["releases"] for line in _lines(one, verb))]).rstrip()


def _lines(one: dict[str, Any], verb: str) -> list[str]:
    first, *others = one["why"]
    fate = "kept" if one["kept"] else verb
    head = f"  {fate:<9} {one['release_id']}  "
    return [f"{head}{first}", *(f"{'':{len(head)}}{why}" for why in others)]
