"""The command `slipway reindex`: another encoder or index, tried, judged, approved and released."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from slipway import settings
from slipway.cli import show_reindex
from slipway.cli.commands import main
from slipway.cli.context import JsonOutput, guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME, STORE, TAKE_OVER, begun, person
from slipway.errors import BudgetExceeded, GateRefused, InputError, NotApproved

if TYPE_CHECKING:
    from slipway.reindex import Answer, Asked, Judged
    from slipway.run import Run


@main.command()
@NAME
@COLLECTIONS
@STORE
@click.option("--encoder", required=True, metavar="NAME", help="An encoder file's name: the space to move to.")
@click.option("--reason", required=True, help="Why; kept in the audit trail.")
@click.option(
    "--index",
    default="",
    metavar="SPEC",
    help="FAISS factory string, or a section `index` (a contract, say) [that of the nights].",
)
@click.option("--sample", type=click.IntRange(0), help="Documents to try it on first, 0 for none [reindex.sample].")
@click.option("--budget-hours", type=click.FloatRange(0, min_open=True), help="Refuse a plan of more hours.")
@click.option("--plan", "only_plan", is_flag=True, help="Say what it would embed, and how long that takes, and stop.")
@click.option("--approve", is_flag=True, help="Approve what passes, without being asked at the terminal.")
@click.option("--comment", default="", help="Why it is approved; needed unless every gate passed.")
@click.option("--override", multiple=True, metavar="GATE", help="With --approve: a gate that may have failed.")
@click.option("--no-approval", is_flag=True, help="Release what passes every gate; nobody is asked.")
@TAKE_OVER
@JSON
def reindex(
    collection: str,
    collections: str | None,
    store: str | None,
    encoder: str,
    reason: str,
    index: str,
    sample: int | None,
    budget_hours: float | None,
    only_plan: bool,
    approve: bool,
    comment: str,
    override: tuple[str, ...],
    no_approval: bool,
    take_over: bool,
    as_json: bool,
) -> None:
    """Embed COLLECTION by another encoder, or index it otherwise, beside what is live; judge both; release if approved.

    Nights go on meanwhile, and what they change is caught up with. It can be killed and run again at any time: what is
    embedded and built is found. Without --approve or --no-approval it asks at the terminal; where there is none it ends
    with the status "waiting", to be run again with --approve. Refused or rejected, it exits with 1 and leaves vectors.
    """
    with guarded(as_json) as output:
        from slipway.reindex import Answer, Asked

        if approve and no_approval:
            raise InputError(
                "--approve and --no-approval exclude each other: is it approved by a person, or by nobody?"
            )
        if (override or comment) and not approve:
            raise InputError("--comment and --override belong to --approve; at the terminal both are asked for")
        given = Answer(True, person(), comment, override) if approve else None
        with begun(collection, collections, store) as this:
            size = this.collection.reindex.sample if sample is None else sample
            asked = Asked(encoder, index, reason, person(), size, not no_approval, budget_hours)

            def ask(made: dict[str, Any], judged: Judged) -> Answer | None:
                return given or (None if as_json or not at_terminal() else _asked(made, judged))

            made = _carried_out(this, asked, collections, ask, output, only_plan=only_plan, take_over=take_over)
        output.write(made, show_reindex.page)


def _carried_out(this: Run, asked: Asked, collections: str | None, ask: Any, output: JsonOutput, **how: bool) -> Any:
    from slipway.reindex import run_campaign

    try:
        return run_campaign(this, asked, settings.collections_folder(collections), ask, **how)
    except (BudgetExceeded, GateRefused, NotApproved) as refused:
        output.write_for_people(refused.result or {}, show_reindex.page)
        raise


def at_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _asked(made: dict[str, Any], judged: Judged) -> Answer:
    """What the person at the terminal says to the verdict."""
    from slipway.reindex import Answer

    click.echo(show_reindex.page(made))
    approved = click.confirm(f"The verdict is {judged.verdict.outcome!r}. Approve and release it?", default=False)
    failed = [gate for gate in judged.verdict.gates if not gate.passed and not gate.undecided]
    override = [
        gate.metric
        for gate in (failed if approved else [])
        if click.confirm(f"{gate.reason}. Override this failed gate?", default=False)
    ]
    comment = click.prompt("Comment", default="", show_default=False)
    return Answer(approved, person(), comment, tuple(override))
