"""The commands `slipway pin` and `slipway unpin`, and what they print."""

from __future__ import annotations

from typing import Any

import click

from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME, STORE, person, writable

RELEASE = click.argument("release")


@main.command()
@NAME
@RELEASE
@COLLECTIONS
@STORE
@click.option("--reason", required=True, help="Why it must stay; shown by slipway releases and slipway retention.")
@JSON
def pin(collection: str, release: str, collections: str | None, store: str | None, reason: str, as_json: bool) -> None:
    """Keep RELEASE of COLLECTION, whatever its age, until it is unpinned."""
    with guarded(as_json) as output:
        from dataclasses import asdict

        from slipway import pins

        made = pins.pin(writable(collection, collections, store), release, person(), reason)
        output.write({"collection": collection, "pinned": True, **asdict(made)}, pinned)


@main.command()
@NAME
@RELEASE
@COLLECTIONS
@STORE
@JSON
def unpin(collection: str, release: str, collections: str | None, store: str | None, as_json: bool) -> None:
    """Leave RELEASE of COLLECTION to retention again."""
    with guarded(as_json) as output:
        from slipway import pins

        pins.unpin(writable(collection, collections, store), release)
        output.write({"collection": collection, "pinned": False, "release_id": release}, pinned)


def pinned(done: dict[str, Any]) -> str:
    """One line."""
    if not done["pinned"]:
        return f"{done['collection']}: release {done['release_id']} is not pinned any more; retention judges it by age"
    return f"{done['collection']}: release {done['release_id']} is kept until it is unpinned: {done['why']}"
