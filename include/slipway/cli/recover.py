"""The command `slipway recover`, and what it prints."""

from __future__ import annotations

from typing import Any

import click

from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME, STORE, person, writable


@main.command()
@NAME
@COLLECTIONS
@STORE
@click.option("--reason", required=True, help="Why; kept in the audit trail.")
@JSON
def recover(collection: str, collections: str | None, store: str | None, reason: str, as_json: bool) -> None:
    """Put COLLECTION's serving.json back from its audit trail, after it was lost, damaged or set back.

    Taken is the newest record whose live release is whole, with a generation above all that is known, so that readers
    follow it. Refused when serving.json is sound.
    """
    with guarded(as_json) as output:
        from slipway.recover import recover as put_back

        done = put_back(writable(collection, collections, store), person(), reason)
        output.write({"collection": collection, **done.as_json()}, recovered)


def recovered(done: dict[str, Any]) -> str:
    """What is live again, and below it what was found and left out."""
    line = (
        f"{done['collection']}: release {done['live']} is live again (generation {done['generation']}, from "
        f"the record of generation {done['record']})"
    )
    wrong, *notes = done["notes"]
    return "\n".join([line, f"  what was wrong: {wrong}", *(f"  {note}" for note in notes)])
