"""The command `slipway report`, and what it prints."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME, STORE, collection_url

if TYPE_CHECKING:
    from slipway.manifest import Manifest
    from slipway.storage.base import ObjectStore


@main.command()
@NAME
@click.argument("build", required=False)
@COLLECTIONS
@STORE
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Copy the page there [a remote store: <collection>-<run>.html in this folder; a local one: it stays there].",
)
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@JSON
def report(
    collection: str,
    build: str | None,
    collections: str | None,
    store: str | None,
    output: Path | None,
    show: bool,
    as_json: bool,
) -> None:
    """Say how a candidate of COLLECTION was judged, and where its report is.

    BUILD is a run, a release or a candidate's fingerprint, or how one begins; without it, the newest report is meant.
    With --json, what the page shows is printed as data.
    """
    with guarded(as_json) as out:
        from slipway.report import find_report, read_document
        from slipway.storage import open_store

        objects = open_store(collection_url(collection, collections, store))
        found = find_report(objects, build)
        out.write(read_document(objects, found), summary)
        if as_json and not show and output is None:
            return
        page = _page(objects, found, collection, output)
        if not as_json:
            click.echo(f"\n  page        {page}")
        if show:
            webbrowser.open(page.resolve().as_uri())


def _page(store: ObjectStore, found: Manifest, collection: str, output: Path | None) -> Path:
    """A file with the page, checked: `output`, or the one in the store, or a copy in the current folder."""
    from slipway.report import page_of, read_page

    text = read_page(store, found)
    stored = store.local_path(page_of(found).key)
    if output is None and stored is not None:
        return stored
    path = output or Path(f"{collection}-{found.facts['run_id']}.html")
    path.write_text(text, encoding="utf-8")
    return path


def summary(document: dict[str, Any]) -> str:
    """A report for people: the verdict, each gate, the differences with their intervals, and drift."""
    lines = [
        f"{document['collection']}  run {document['run_id']}  {document['made_at']}",
        "",
        f"  {document['verdict']['outcome'].upper()}: {document['verdict']['headline']}",
        "",
        *(f"  {_mark(gate):<10} {gate['reason']}" for gate in document["verdict"]["gates"]),
    ]
    if document["comparison"]:
        lines += ["", *_differences(document["comparison"])]
    if document["drift"]:
        lines += ["", *_drift(document["drift"][-1])]
    return "\n".join(lines)


def _mark(gate: dict[str, Any]) -> str:
    return "pass" if gate["passed"] else "UNDECIDED" if gate["undecided"] else "FAIL"


def _differences(compared: dict[str, Any]) -> list[str]:
    from slipway.report.formats import interval, share, signed

    head = f"  against release {compared['live']}, on {compared['queries']:,} golden queries (live → candidate)"
    rows = [
        f"  {name:<15} {share(one['live'])} → {share(one['candidate'])}  {signed(one['difference'])}"
        f"  ({interval(one['low'], one['high'])})"
        for name, one in compared["metrics"].items()
    ]
    return [head, *rows]


def _drift(record: dict[str, Any]) -> list[str]:
    alarms = [f"  alarm      {one['says']}" for one in record["measures"] if one["alarm"]]
    return alarms or [f"  drift      no alarm among {len(record['measures'])} measures"]
