"""The table, the plot and the last line of the overhead's benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import AIRFLOW, libraries, machine
from benchmarks.overheads.plot import draw
from benchmarks.overheads.rounds import Medians, Round, middle
from benchmarks.overheads.timeline import Line

PAGE, PLOT = "overhead.md", "overhead.svg"
GOAL = 1.15

_HEAD = """# What orchestration costs

    make bench-overhead                    # DATA=/folder of the entries where that is not ../shared/data/oewn
    python benchmarks/overhead.py --quick  # a test: few documents and a static encoder

The nightly DAG through Airflow's scheduler (standalone mode, the demo's settings, DAG files read every five minutes as
the runbook advises) against `slipway run`: the same documents, settings and shards, each into an empty store.
`dag_seconds` is the DAG run from its start to its end as Airflow tells, with all time in queues; `bare_seconds` is the
process of `slipway run` from start to exit, with imports.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """What was run: how many documents, and the name of the encoder."""

    documents: int
    encoder: str


def last_line(rounds: Sequence[Round], setting: Setting) -> dict[str, Any]:
    """What scripts read."""
    medians = Medians.of(rounds)
    return {
        "dag_seconds": round(medians.dag_seconds, 2),
        "bare_seconds": round(medians.bare_seconds, 2),
        "ratio": round(medians.ratio, 4),
        "airflow_start_seconds": round(medians.start_seconds, 2),
        "idle_seconds": round(medians.idle_seconds, 2),
        "documents": setting.documents,
        "encoder": setting.encoder,
        "rounds": len(rounds),
    }


def markdown(rounds: Sequence[Round], setting: Setting) -> str:
    """The measured part of the page."""
    return "\n".join([*_totals(rounds, setting), "", *_stages(middle(rounds))])


def write(folder: Path, rounds: Sequence[Round], setting: Setting) -> None:
    """Write the page and the plot."""
    folder.mkdir(parents=True, exist_ok=True)
    draw(middle(rounds), folder / PLOT)
    here = f"{machine()}, {libraries(*AIRFLOW)}"
    page = f"{_HEAD}\n## Measured\n\nOn {here}.\n\n{markdown(rounds, setting)}\n\n![where the seconds went]({PLOT})\n"
    (folder / PAGE).write_text(page)


def _totals(rounds: Sequence[Round], setting: Setting) -> list[str]:
    medians = Medians.of(rounds)
    many = f"{len(rounds)} rounds, medians" if len(rounds) > 1 else "one round"
    measured = {
        "`slipway run`, s": f"{medians.bare_seconds:.1f}",
        "DAG, s": f"{medians.dag_seconds:.1f}",
        f"ratio (at most {GOAL})": f"**{medians.ratio:.3f}**",
        "each round": ", ".join(f"{one.ratio:.3f}" for one in rounds),
        "no task at work, s": f"{medians.idle_seconds:.1f}",
        "Airflow's start, s": f"{medians.start_seconds:.1f}",
    }
    said = f"{setting.documents:,} documents, encoder {setting.encoder}, {many}:"
    return [said, "", *_table(list(measured), [list(measured.values())])]


def _stages(shown: Round) -> list[str]:
    timeline, bare = shown.dag.timeline, shown.bare.result["seconds"]
    lines = timeline.lines(shown.dag.result["seconds"])
    rest = shown.bare_seconds - sum(bare.values())
    left = timeline.idle() - sum(line.waited for line in lines)
    rows = [(line.stage, line.tasks, *_of_bare(bare.get(line.stage), shown), *_of_dag(line)) for line in lines]
    rows.append(("imports, start and end", "", *_of_bare(rest, shown), "", "", _seconds(left)))
    columns = ("stage", "tasks", "bare, s", "share", "in the tasks, s", "around them, s", "waiting before them, s")
    return [
        "By stage. *Around* is what the task instances took besides the stage: a process, the DAG file, imports, and",
        "telling the API server; *waiting* is the time before them in which no task was at work. Tasks that ran beside",
        "others count in full in the columns of the tasks.",
        "",
        *_table(columns, rows),
    ]


def _of_bare(seconds: float | None, shown: Round) -> tuple[str, str]:
    return ("", "") if seconds is None else (_seconds(seconds), f"{seconds / shown.bare_seconds:.0%}")


def _of_dag(line: Line) -> tuple[str, str, str]:
    return _seconds(line.work), _seconds(line.around), _seconds(line.waited)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [f"| {' | '.join(map(str, line))} |" for line in (columns, ["---"] * len(columns), *rows)]
