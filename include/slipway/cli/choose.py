"""The command `slipway choose`."""

from __future__ import annotations

import click

from slipway.cli import fronts
from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME, STORE, begun
from slipway.config.load import contract_settings
from slipway.errors import ContractRefused


@main.command()
@NAME
@COLLECTIONS
@STORE
@click.option(
    "--contract", default="", metavar="YAML", help="Clauses to try with the collection's other index settings."
)
@JSON
def choose(collection: str, collections: str | None, store: str | None, contract: str, as_json: bool) -> None:
    """Say which index a contract leads to for COLLECTION's live vectors, and what else was tried.

    Candidates are built on a sample in this process; nothing is kept and nothing is released. A contract that no index
    keeps is refused with what would be possible (exit status 1). Such as: --contract '{recall_at_10: 0.95, p95_ms: 10,
    memory: 500MiB}'.
    """
    with guarded(as_json) as output:
        from slipway.choosing import try_live
        from slipway.index.contract import fronted

        with begun(collection, collections, store) as this:
            asked = this.collection.index
            try:
                made = try_live(this, contract_settings(contract, asked) if contract else asked)
            except ContractRefused as refused:
                refused.result = front = {"front": fronted(refused.tried)}
                output.write_for_people(front, fronts.refused)
                raise
            output.write(made, fronts.page)
