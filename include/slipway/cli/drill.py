"""The command `slipway drill`, and what it prints."""

from __future__ import annotations

from typing import Any

import click

from slipway import settings
from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME, STORE, collection_url, scratch_folder


@main.command()
@NAME
@COLLECTIONS
@STORE
@click.option("--from", "origin", metavar="URL", help="Root of the backup store [release.backup].")
@JSON
def drill(collection: str, collections: str | None, store: str | None, origin: str | None, as_json: bool) -> None:
    """Restore COLLECTION's newest backup into an empty store on this machine, serve from it, and say how long it took.

    Without a backup store the live release is taken. Nothing is written to the real stores, and the copy is removed.
    """
    with guarded(as_json) as output, scratch_folder() as scratch:
        from slipway.config import load_collection
        from slipway.drill import drill as rehearse
        from slipway.signing import trusted_here
        from slipway.storage import open_store
        from slipway.stores import backup_store, named_backup_store

        folder = settings.collections_folder(collections)
        described = load_collection(folder, collection) if origin is None else None
        backups = backup_store(described) if described else named_backup_store(collection, folder, origin)
        done = rehearse(open_store(collection_url(collection, collections, store)), backups, scratch, trusted_here())
        output.write({"collection": collection, **done.as_json()}, drilled)


def drilled(done: dict[str, Any]) -> str:
    """What came back and how fast, and whether it is what serves."""
    at = done["backed_up_at"]
    made = f"backed up {at}" if at else "the live release, as no backup is configured"
    lines = [
        f"{done['collection']}: release {done['release_id']} came back from {done['source']} ({made})",
        f"  {done['documents']:,} documents, {done['vectors']:,} vectors; "
        f"{done['smoke_queries']:,} smoke queries agreed",
        f"  copied and checked in {done['restore_seconds']:.1f} s, opened in {done['open_seconds']:.1f} s",
    ]
    if not done["is_live"]:
        lines.append(f"  it is not what serves now, {done['live'] or 'which is nothing'}; to back up: slipway backup")
    return "\n".join(lines)
