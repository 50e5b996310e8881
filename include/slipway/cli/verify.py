"""The command `slipway verify`, and its table."""

from __future__ import annotations

from typing import Any

import click

from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME, STORE, collection_url, scratch_folder
from slipway.sizes import size


@main.command()
@NAME
@COLLECTIONS
@STORE
@click.option("--release", "release_id", metavar="ID", help="Only this release.")
@JSON
def verify(collection: str, collections: str | None, store: str | None, release_id: str | None, as_json: bool) -> None:
    """Read every object of COLLECTION's releases from the store, and compare it with what was sealed.

    Sizes and SHA-256, each manifest against serving.json and the audit trail and, with SLIPWAY_PUBLIC_KEY, its
    signature. With --store and the root of a backup store it looks at the backups. Nothing is written. Exit status 1
    when anything is damaged.
    """
    with guarded(as_json) as output, scratch_folder() as scratch:
        from slipway.signing import trusted_here
        from slipway.storage import open_store
        from slipway.verification import verify as scrub

        found = scrub(open_store(collection_url(collection, collections, store)), scratch, release_id, trusted_here())
        output.write({"collection": collection, **found.as_json()}, table)
        if not found.sound:
            output.exit(1)


def table(found: dict[str, Any]) -> str:
    """One line a release, and below it what was found; serving.json's trouble first."""
    lines = [] if found["serving"] is None else [f"FAIL  serving.json: {found['serving']}"]
    for one in found["releases"]:
        signed = f", signed by {one['signed_by']}" if one["signed_by"] else ""
        read = f"{one['objects']:,} objects, {size(one['bytes'])}{signed}"
        lines.append(f"{one['result'].upper():<10}  {one['release_id']}  {one['state'] or 'retained':<9}  {read}")
        lines += [f"      {finding['key']}: {finding['problem']}" for finding in one["findings"]]
    if not lines:
        return f"{found['collection']}: there are no releases"
    said = "every object is what was sealed" if found["sound"] else f"{len(found['damaged']):,} damaged"
    return "\n".join([*lines, "", f"{found['collection']}: {said}"])
