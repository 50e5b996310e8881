"""The command `slipway doctor`, and its table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from slipway import settings
from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, STORE


@main.command()
@click.argument("names", nargs=-1, metavar="[COLLECTION]...")
@COLLECTIONS
@STORE
@click.option(
    "--rounds", default=10, show_default=True, type=click.IntRange(1, 1000), help="Rounds of the race for the store."
)
@JSON
def doctor(names: tuple[str, ...], collections: str | None, store: str | None, rounds: int, as_json: bool) -> None:
    """Look over an installation before its first night: a table of what passes, what fails, and what to do.

    The store (a race of eight processes shows whether its conditional writes are atomic), the sources, the encoder
    against the live release, memory and disk, signing key, backup, and Airflow's pools where Airflow is here. Without
    names, all collections of the folder. Nothing is left behind in the store. Exit status 1 when a check fails.
    """
    with guarded(as_json) as output:
        from slipway.config import collection_files
        from slipway.connections import environment_connections, environment_secrets
        from slipway.doctor import Means, Status, look_over

        folder = settings.collections_folder(collections)
        files = [folder / f"{name}.yaml" for name in names] or collection_files(folder)
        findings = look_over(files, Means(environment_connections, environment_secrets, store, rounds))
        output.write(summary([finding.as_json() for finding in findings]), table)
        if any(finding.status is Status.FAIL for finding in findings):
            output.exit(1)


def summary(findings: list[dict[str, Any]]) -> dict[str, Any]:
    """The document of a look-over: how many checks ended how, whether all is well, and the findings."""
    counts = Counter(str(finding["status"]) for finding in findings)
    ended = {status: counts[status] for status in ("pass", "fail", "warn", "skip")}
    return {"healthy": not ended["fail"], **ended, "findings": findings}


def table(document: dict[str, Any]) -> str:
    """One line a finding, and below it what to do where something is to be done."""
    findings = document["findings"]
    width = max((len(finding["check"]) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{finding['status']:<5} {finding['check']:<{width}}  {finding['subject']}: {finding['found']}")
        if finding["todo"]:
            lines.append(f"      {'':<{width}}  → {finding['todo']}")
    ended = ", ".join(f"{document[status]} {status}" for status in ("pass", "warn", "skip", "fail"))
    return "\n".join([*lines, "", f"{ended}: {'ready' if document['healthy'] else 'not ready for the first night'}"])
