"""The command `slipway maintain`, and what it prints."""

from __future__ import annotations

from typing import Any

import click

from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME, STORE, begun, person
from slipway.sizes import size

_COLUMNS = "  {kind:<17} {places:>7} {objects:>8} {size:>12}  {why}"


@main.command()
@NAME
@COLLECTIONS
@STORE
@click.option("--dry-run", is_flag=True, help="Say what would go and why, and remove nothing.")
@click.option("--take-over", is_flag=True, help="Begin although another run seems to be at work on the collection.")
@JSON
def maintain(
    collection: str, collections: str | None, store: str | None, dry_run: bool, take_over: bool, as_json: bool
) -> None:
    """Remove from COLLECTION's store what nobody needs any more, and merge small parts of its vector store.

    Old releases go first, as slipway retention says. What the others, the newest checkpoints and recent runs are made
    of stays; see maintenance in the collection file. What goes beside releases can be made again from the sources. It
    can be killed and run again at any time.
    """
    with guarded(as_json) as output:
        from slipway import maintenance
        from slipway.lease import Holder, this_process

        with begun(collection, collections, store) as this:
            if dry_run:
                done = maintenance.maintain(this, dry_run=True)
            else:
                holder = Holder(this.run_id, person(), "maintenance", this_process())
                done = maintenance.maintain_alone(this, holder, take_over=take_over)
        output.write({"collection": collection, **done.as_json()}, maintained)


def maintained(done: dict[str, Any]) -> str:
    """A table of what went, or would go, by kind: objects, bytes, and why; and what became of the vectors."""
    would = "would be " if done["dry_run"] else ""
    title = f"{done['collection']}: {size(done['bytes_freed'])} {would}freed"
    gone = done["releases"]["removed"]
    if not gone and not done["removed"] and not any(_changed(one) for one in done["compacted"]):
        return f"{title}; nothing to remove and nothing to merge"
    lines = [title, "", _COLUMNS.format(kind="kind", places="places", objects="objects", size="bytes", why="why")]
    lines += [_releases(done["releases"])] if gone else []
    lines += [
        _COLUMNS.format(
            kind=one["kind"],
            places=f"{one['places']:,}" if one["places"] else "-",
            objects=f"{one['objects']:,}",
            size=size(one["bytes"]),
            why=one["why"],
        )
        for one in done["removed"]
    ]
    return "\n".join(lines + [_vectors(one) for one in done["compacted"] if _changed(one)])


def _releases(retained: dict[str, Any]) -> str:
    gone = retained["removed"]
    why = f"too old and not in use: {', '.join(gone)}; see slipway retention --dry-run for those that are kept"
    freed = size(retained["bytes_freed"])
    return _COLUMNS.format(kind="releases", places=f"{len(gone):,}", objects="-", size=freed, why=why)


def _changed(compacted: dict[str, Any]) -> bool:
    return bool(compacted["unwanted"] or compacted["repeated"] or compacted["merged"])


def _vectors(one: dict[str, Any]) -> str:
    gone = one["parts_before"] - one["parts_after"]
    why = (
        f"{one['merged']:,} of {one['parts_before']:,} parts into larger ones, {one['parts_after']:,} then; "
        f"{one['unwanted']:,} vectors that nothing kept needs, {one['repeated']:,} that stood twice "
        f"(encoder {one['encoder']})"
    )
    return _COLUMNS.format(
        kind="vectors", places=f"{gone:,}", objects=f"{one['objects']:,}", size=size(one["bytes_freed"]), why=why
    )
