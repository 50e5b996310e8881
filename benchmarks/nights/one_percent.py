"""A first night over every entry with the real encoder, and one after which a hundredth has changed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.nights import table
from benchmarks.nights.project import Night, Project
from benchmarks.nights.report import Report

if TYPE_CHECKING:
    import pandas as pd

BEFORE, AFTER = "2025-10-31 21:00:00", "2025-11-01 21:00:00"


@dataclass(frozen=True, slots=True)
class Seconds:
    """Wall seconds of both nights' processes, and of the embed stage in each, the loading of the model included."""

    full: float
    one_percent: float
    full_embed: float
    one_percent_embed: float


def run_both(project: Project, entries: pd.DataFrame, seed: int, report: Report) -> Seconds:
    """Run both nights, each in a process of its own, and tell their seconds."""
    table.fill(project.database, entries, BEFORE)
    full = project.run_apart()
    chosen = random.Random(seed).sample(list(entries.index), max(1, len(entries) // 100))
    table.revise(project.database, chosen, AFTER)
    small = project.run_apart()
    report.equal("documents of the first night", full.result["documents"], len(entries))
    report.equal("changed on the second night", small.result["changed"], len(chosen))
    report.equal("embedded on the second night", small.result["embedded"], len(chosen))
    report.equal("released", (full.result["released"], small.result["released"]), (True, True))
    nights = {"full": full, "1 %": small}
    report.seconds(
        {name: night.result["seconds"] for name, night in nights.items()}, {n: x.seconds for n, x in nights.items()}
    )
    report.say("")
    columns = ("night", "embedded chunks", "embed stage, s", "encoding alone, s", "loading the model and the rest, s")
    report.table(columns, [_embedding(name, night) for name, night in nights.items()])
    embed = [night.result["seconds"]["embed"] for night in (full, small)]
    return Seconds(full.seconds, small.seconds, *embed)


def _embedding(name: str, night: Night) -> list[object]:
    stage = night.result["seconds"]["embed"]
    alone = night.encoding_seconds
    shown = ("not recorded", "not recorded") if alone is None else (f"{alone:.2f}", f"{stage - alone:.2f}")
    return [name, night.result["embedded"], f"{stage:.2f}", *shown]
