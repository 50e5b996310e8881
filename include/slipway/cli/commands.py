"""Commands and their options. What they print stands in slipway.cli.show."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from dotenv import load_dotenv

from slipway import __version__, settings
from slipway.cli import show
from slipway.cli.context import guarded
from slipway.cli.options import (
    COLLECTIONS,
    FULL,
    JSON,
    NAME,
    REASON,
    STORE,
    TAKE_OVER,
    allowances,
    begun,
    collection_url,
    person,
    writable,
)
from slipway.config import collection_files, load_file
from slipway.errors import BreakerTripped, BudgetExceeded, SlipwayError
from slipway.storage import open_store

if TYPE_CHECKING:
    from slipway.pipeline import Options


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="slipway")
def main() -> None:
    """Build vector-search indexes, prove them, and launch them without downtime.

    A collection is one YAML file: where documents live, how they become vectors, what an index must prove.
    Settings come from options, then the environment, then a file .env in this folder.

    Exit status: 0 done; 1 refused by a gate or a check (the live release is untouched); 2 wrong input or configuration;
    3 the machine or a service failed (unreachable store, full disk), try again.
    """
    load_dotenv(Path(".env"))


@main.command()
@click.argument("names", nargs=-1, metavar="[COLLECTION]...")
@COLLECTIONS
@JSON
def validate(names: tuple[str, ...], collections: str | None, as_json: bool) -> None:
    """Check collection files: fields, encoder, golden queries. Without names, all of the folder.

    Every wrong field is named with its file, its value and what was expected. Nothing is connected to, except the
    model hub for an encoder that is not on this machine yet.
    """
    with guarded(as_json) as output:
        folder = settings.collections_folder(collections)
        files = [folder / f"{name}.yaml" for name in names] or collection_files(folder)
        found = [_validated(file) for file in files]
        output.write({"collections": found}, show.validation)
        if not all(entry["valid"] for entry in found):
            output.exit(2)


def _validated(file: Path) -> dict[str, Any]:
    from slipway.encoders import find_model
    from slipway.evaluation.golden import read_golden
    from slipway.index.build import make
    from slipway.index.spec import resolve

    try:
        collection = load_file(file)
        find_model(collection.encoder)
        if collection.golden:
            read_golden(collection.golden.queries)
        dimension = collection.encoder.dimension
        make(resolve(collection.index, 1, dimension), dimension, collection.index.ef_construction)
    except SlipwayError as error:
        return {"collection": file.stem, "file": str(file), "valid": False, "error": str(error)}
    return {"collection": file.stem, "file": str(file), "valid": True, "error": None}


@main.command()
@NAME
@COLLECTIONS
@STORE
@allowances
@FULL
@TAKE_OVER
@REASON
@JSON
def run(
    collection: str,
    collections: str | None,
    store: str | None,
    full: bool,
    take_over: bool,
    reason: str,
    as_json: bool,
    **allowed: bool,
) -> None:
    """Extract, clean, embed, index, evaluate and release COLLECTION: the nightly DAG's stages in this process.

    What is there already is not made again: unchanged documents, chunks and vectors are reused. A candidate that fails
    a gate is not released (exit status 1). Connections come from AIRFLOW_CONN_<NAME>, as in Airflow.
    """
    with guarded(as_json) as output:
        from slipway.pipeline import run_pipeline

        with begun(collection, collections, store) as this:
            made = run_pipeline(this, _options(reason, full, allowed), take_over=take_over)
        output.write(made, show.result)
        if made.get("verdict") != "passed":
            output.exit(1)


@main.command()
@NAME
@COLLECTIONS
@STORE
@allowances
@FULL
@TAKE_OVER
@JSON
def plan(
    collection: str,
    collections: str | None,
    store: str | None,
    full: bool,
    take_over: bool,
    as_json: bool,
    **allowed: bool,
) -> None:
    """Say what a run of COLLECTION would change and embed, and how long that would take. Nothing is embedded.

    Reads the sources, cleans and cuts what changed, and stops there; a run after it finds that work done where the
    sources are still the same. A run that a breaker or the budget would refuse is refused here too (exit status 1).
    """
    with guarded(as_json) as output:
        from slipway.pipeline import run_plan

        with begun(collection, collections, store) as this:
            try:
                made = run_plan(this, _options("a plan", full, allowed), take_over=take_over)
            except (BreakerTripped, BudgetExceeded) as refused:
                output.write_for_people(refused.result or {}, show.plan)  # it is sealed, and what was asked for
                raise
        output.write(made, show.plan)


def _options(reason: str, full: bool, given: dict[str, bool]) -> Options:
    """`given` is what click made of the allowances' options, by parameter name."""
    from slipway.pipeline import Options

    allowed = frozenset(name.removeprefix("allow_") for name, wanted in given.items() if wanted)
    return Options(who=person(), why=reason, allowed=allowed, full=full)


@main.command()
@NAME
@click.argument("query")
@STORE
@COLLECTIONS
@click.option("-k", "--k", default=10, show_default=True, type=click.IntRange(1, 1000), help="Documents to show.")
@click.option("--release", "release_id", metavar="ID", help="Search this release instead of the live one.")
@JSON
def search(
    collection: str,
    query: str,
    store: str | None,
    collections: str | None,
    k: int,
    release_id: str | None,
    as_json: bool,
) -> None:
    """Search COLLECTION's live release for QUERY: score, document id, title and a snippet of the best passage."""
    with guarded(as_json) as output:
        from slipway import serving

        with serving.open(collection_url(collection, collections, store), release_id) as reader:
            hits = reader.search(query, k)
            found = {"collection": collection, "release_id": reader.release.release_id, "query": query}
            output.write({**found, "hits": [asdict(hit) for hit in hits]}, show.hits)


@main.command()
@NAME
@STORE
@COLLECTIONS
@JSON
def releases(collection: str, store: str | None, collections: str | None, as_json: bool) -> None:
    """List COLLECTION's releases, newest first: which is live, on trial, standby or pinned, and what each measured.

    Then the readers that follow it: what each serves, how that goes, what it refused, and when it was last heard.
    """
    with guarded(as_json) as output:
        from slipway.pins import list_pins
        from slipway.pointer import read_serving
        from slipway.serving.catalogue import list_releases
        from slipway.serving.readers import list_readers, shift_under_way

        objects = open_store(collection_url(collection, collections, store))
        found, serving = list_releases(objects), read_serving(objects)[0]
        pins = {release_id: asdict(pin) for release_id, pin in list_pins(objects).items()}
        found |= {"shift": shift_under_way(serving), "pins": pins, **list_readers(objects, serving)}
        output.write({"collection": collection, **found}, show.releases)


@main.command()
@NAME
@STORE
@COLLECTIONS
@click.option("--to", metavar="ID", help="A retained release [the standby one].")
@click.option("--reason", required=True, help="Why; kept in the audit trail.")
@JSON
def rollback(
    collection: str, store: str | None, collections: str | None, to: str | None, reason: str, as_json: bool
) -> None:
    """Make COLLECTION's former release live again: one swap, nothing is rebuilt.

    The release that is left is marked as withdrawn, so that the next nightly run does not bring it back unchanged;
    with --to a withdrawn or a newer release, it stays as it is, to go back to. Where SLIPWAY_PUBLIC_KEY is set, a
    release without that key's signature is refused.
    """
    with guarded(as_json) as output:
        from slipway.rollback import outcome, roll_back
        from slipway.signing import trusted_here

        objects = writable(collection, collections, store)
        after = roll_back(objects, person(), reason, to, trusted=trusted_here())
        output.write({"collection": collection, **outcome(after)}, show.rolled_back)
