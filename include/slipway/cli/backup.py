"""The commands `slipway backup` and `slipway restore`, and what they print."""

from __future__ import annotations

from typing import Any

import click

from slipway import settings
from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import (
    COLLECTIONS,
    JSON,
    NAME,
    STORE,
    TAKE_OVER,
    collection_url,
    new_run_id,
    person,
    scratch_folder,
    writable,
)
from slipway.errors import InputError
from slipway.sizes import size

_RELEASE = click.option("--release", "release_id", metavar="ID", help="This release.")


@main.command()
@NAME
@COLLECTIONS
@STORE
@click.option("--to", metavar="URL", help="Root of the backup store [release.backup of the collection file].")
@_RELEASE
@click.option("--all", "whole", is_flag=True, help="Everything that the collection's store holds.")
@TAKE_OVER
@JSON
def backup(
    collection: str,
    collections: str | None,
    store: str | None,
    to: str | None,
    release_id: str | None,
    whole: bool,
    take_over: bool,
    as_json: bool,
) -> None:
    """Copy COLLECTION's live release to another store, every object checked on the way.

    What is there already is not copied again, so a second backup costs little, and one that was killed goes on.
    With --all nobody else may be at work on the collection. Exit status 1 when something could not be copied.
    """
    with guarded(as_json) as output, scratch_folder() as scratch:
        from slipway.backup import back_up, back_up_all
        from slipway.lease import Holder, alone, this_process
        from slipway.signing import trusted_here
        from slipway.storage import open_store
        from slipway.stores import named_backup_store

        _check_one_of(release_id, whole)
        target = named_backup_store(collection, settings.collections_folder(collections), to)
        if whole:
            source = writable(collection, collections, store)
            with alone(source, Holder(new_run_id(), person(), "backup", this_process()), take_over=take_over):
                done = back_up_all(source, target, scratch, trusted_here())
        else:
            source = open_store(collection_url(collection, collections, store))
            done = back_up(source, target, scratch, release_id, trusted_here())
        output.write({"collection": collection, **done.as_json()}, backed_up)
        if done.damaged:
            output.exit(1)


@main.command()
@NAME
@COLLECTIONS
@STORE
@click.option("--from", "origin", metavar="URL", help="Root of the backup store [release.backup].")
@_RELEASE
@click.option("--all", "whole", is_flag=True, help="Everything that a backup --all holds, serving.json last.")
@click.option("--as", "other", metavar="NAME", help="Restore it as a collection of another name.")
@click.option("--add", is_flag=True, help="Put back or mend the objects only, and leave serving.json as it is.")
@click.option("--reason", required=True, help="Why; kept in the audit trail.")
@TAKE_OVER
@JSON
def restore(
    collection: str,
    collections: str | None,
    store: str | None,
    origin: str | None,
    release_id: str | None,
    whole: bool,
    other: str | None,
    add: bool,
    reason: str,
    take_over: bool,
    as_json: bool,
) -> None:
    """Bring COLLECTION's newest backup back, check every byte, open it as a reader does, and make it live.

    It is made live only where nothing serves: in an empty store, or where serving.json is lost. Beside a live release,
    --add puts the objects there; slipway rollback --to makes them live then. Objects that are there and damaged are
    mended. Exit status 1 when something could not be brought back.
    """
    with guarded(as_json) as output, scratch_folder() as scratch:
        from slipway.backup import Restoring
        from slipway.lease import Holder, alone, this_process
        from slipway.signing import trusted_here
        from slipway.stores import named_backup_store, store_restored_as

        _check_one_of(release_id, whole)
        folder = settings.collections_folder(collections)
        source = named_backup_store(collection, folder, origin)
        target = store_restored_as(collection, other, folder, store)
        with alone(target, Holder(new_run_id(), person(), "restore", this_process()), take_over=take_over):
            restoring = Restoring(source, target, scratch, person(), reason, add, trusted_here())
            done = restoring.everything() if whole else restoring.release(release_id)
        output.write({"collection": other or collection, **done.as_json()}, restored)
        if done.damaged:
            output.exit(1)


def _check_one_of(release_id: str | None, whole: bool) -> None:
    if release_id and whole:
        raise InputError("--all means every release, and --release means one: leave one of them out")


def backed_up(done: dict[str, Any]) -> str:
    """What was copied, and below it what could not be."""
    what = "everything" if done["name"] != done["release_id"] else f"release {done['release_id']}"
    line = (
        f"{done['collection']}: {what} is in {done['to']} (generation {done['generation']}): "
        f"{done['objects']:,} objects, {size(done['bytes'])} copied, {done['present']:,} were there"
    )
    return "\n".join([line, *_damaged(done)])


def restored(done: dict[str, Any]) -> str:
    """What came back, whether it is live, and below it what could not be brought back."""
    live = f"is live (generation {done['generation']})" if done["swapped"] else "is there; what serves was not changed"
    line = (
        f"{done['collection']}: release {done['release_id']} {live}: {done['documents']:,} documents, "
        f"{done['vectors']:,} vectors; {done['objects']:,} objects, {size(done['bytes'])} from {done['source']}"
    )
    return "\n".join([line, *_damaged(done)])


def _damaged(done: dict[str, Any]) -> list[str]:
    return [f"  DAMAGED {place}: {why}" for place, why in done["damaged"].items()]
