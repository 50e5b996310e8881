"""The command `slipway drift`."""

from __future__ import annotations

import click

from slipway.cli import drifts
from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME, STORE, collection_url


@main.command()
@NAME
@COLLECTIONS
@STORE
@click.option("--last", default=30, show_default=True, type=click.IntRange(1), help="Newest records to show.")
@JSON
def drift(collection: str, collections: str | None, store: str | None, last: int, as_json: bool) -> None:
    """Say how COLLECTION's documents and vectors differ from those that were live, and how that went of late.

    The newest record comes first, alarms before the rest, each with what was seen and against what; then a line a
    measure over the last records. Alarms stop no run, and the exit status is 0 with alarms too.
    """
    with guarded(as_json) as output:
        from slipway.drift import history
        from slipway.storage import open_store

        records = history(open_store(collection_url(collection, collections, store)), last)
        output.write({"collection": collection, "records": records}, drifts.page)
