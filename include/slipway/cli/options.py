"""What the commands share: their options, and how they find a collection, its store, and who calls."""

from __future__ import annotations

import getpass
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from slipway import settings
from slipway.cli.progress import Bars
from slipway.config import Collection, load_collection
from slipway.connections import environment_connections, environment_secrets
from slipway.run import Run
from slipway.storage.base import ObjectStore
from slipway.stores import collection_store, named_collection_store

COLLECTIONS = click.option(
    "--collections", metavar="DIR", help="Folder of collection files [SLIPWAY_COLLECTIONS, else include/collections]."
)
STORE = click.option(
    "--store",
    metavar="URL",
    help="Root of the object store: a folder or s3://bucket/prefix [SLIPWAY_STORE, else .slipway/store].",
)
JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on standard output and nothing else there."
)
NAME = click.argument("collection")
REASON = click.option("--reason", default="run by hand", show_default=True, help="Kept in the audit trail.")
TAKE_OVER = click.option(
    "--take-over", is_flag=True, help="Begin although another run seems to be at work on the collection."
)
FULL = click.option("--full", is_flag=True, help="Read all rows of every source, not only what changed.")
ALLOWANCES = {
    "--allow-deletes": "Let this run remove more documents than limits.deleted_share.",
    "--allow-changes": "Let this run change more documents than limits.changed_share.",
    "--allow-encoder-change": "Let this run move the collection to another vector space.",
    "--allow-undecided": "Let this run release although golden queries are too few to tell whether something was lost.",
    "--over-budget": "Let this run embed more than embed.budget.",
}


def allowances(command: Callable[..., None]) -> Callable[..., None]:
    """The options by which a person allows a run what its breakers and budgets forbid."""
    for name, text in reversed(ALLOWANCES.items()):
        command = click.option(name, is_flag=True, help=text)(command)
    return command


@contextmanager
def begun(collection: str, collections: str | None, store: str | None) -> Iterator[Run]:
    """A run of the collection with an id and a scratch folder of its own, which shows its progress."""
    described, objects = opened(collection, collections, store)
    with scratch_folder() as scratch, Bars() as bars:
        yield Run(described, objects, new_run_id(), scratch, environment_connections, bars, environment_secrets)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A scratch folder of the command's own, removed at its end."""
    with tempfile.TemporaryDirectory(prefix="slipway-", dir=_scratch()) as folder:
        yield Path(folder)


def opened(name: str, collections: str | None, store: str | None) -> tuple[Collection, ObjectStore]:
    """The collection as its file describes it, and its store."""
    described = load_collection(settings.collections_folder(collections), name)
    return described, collection_store(described, store)


def writable(name: str, collections: str | None, store: str | None) -> ObjectStore:
    """The collection's store, with the settings that its file has for writing, where there is such a file here."""
    return named_collection_store(name, settings.collections_folder(collections), store)


def collection_url(name: str, collections: str | None, store: str | None) -> str:
    """Where the collection lies, for reading; its file is asked only when option and environment name no store."""
    if named := settings.named_store(store):
        return settings.store_url(name, named)
    described = load_collection(settings.collections_folder(collections), name)
    return settings.store_url(name, settings.store_root(described))


def _scratch() -> Path | None:
    root = settings.scratch_root()
    if root:
        root.mkdir(parents=True, exist_ok=True)
    return root


def new_run_id() -> str:
    """A name for a run that was begun by hand."""
    return f"manual-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def person() -> str:
    """Who calls the command, for the audit trail."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user name
        return "unknown"
