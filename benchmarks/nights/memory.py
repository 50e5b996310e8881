"""Peak memory of the stages at two sizes of one collection, each stage in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.nights import table
from benchmarks.nights.one_percent import BEFORE
from benchmarks.nights.project import NAME, Project
from benchmarks.nights.report import Report
from benchmarks.stages_apart import Figures, measure_stages

if TYPE_CHECKING:
    import pandas as pd

STAGES = ("extract", "clean", "snapshot", "chunk", "embed")


def peaks(
    folder: Path, encoder: Mapping[str, Any], entries: pd.DataFrame, sizes: Sequence[int], report: Report
) -> list[dict[str, int]]:
    """Peak resident MiB by stage for each number of rows; the stages' time is told as well."""
    measured = [_measure(folder / f"rows-{rows}", encoder, entries, rows, report) for rows in sizes]
    columns = ["stage", *(f"{rows:,} rows, {unit}" for rows in sizes for unit in ("MiB", "s"))]
    stages = list(measured[0])
    lines = [[stage, *(_cell(one[stage]) for one in measured for _cell in (_mib, _seconds))] for stage in stages]
    report.table(columns, lines)
    return [{stage: one[stage].peak_mib for stage in STAGES} for one in measured]


def _mib(figures: Figures) -> str:
    return f"{figures.peak_mib:,}"


def _seconds(figures: Figures) -> str:
    return f"{figures.seconds:.1f}"


def _measure(
    folder: Path, encoder: Mapping[str, Any], entries: pd.DataFrame, rows: int, report: Report
) -> dict[str, Figures]:
    project = Project(folder, encoder).write()
    table.fill(project.database, entries, BEFORE, copies=-(-rows // len(entries)), most=rows)
    report.equal(f"rows of the table of {rows:,}", table.rows(project.database), rows)
    report.say(f"{rows:,} rows: {', '.join(STAGES)} …")
    return {one.stage: one for one in measure_stages(project.collections, NAME, project.root, last=STAGES[-1])}
