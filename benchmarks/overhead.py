"""What orchestration costs: the nightly DAG through Airflow's scheduler against `slipway run` over the same documents.

    python benchmarks/overhead.py
    python benchmarks/overhead.py --quick

Both run all stages, from a table in SQLite to a release, each into an empty store of its own, with the same settings
and so the same shards. The documents are Open English WordNet's, as in benchmarks/night.py. Airflow is its standalone
mode with the demo's settings (LocalExecutor), its DAG files read every five minutes as docs/runbook.md advises, with a
database and ports of its own; it is brought up for the DAG's run and ended before the next other one, so that it takes
nothing from that. A short run before all of them fills what
the machine and the encoder keep, and counts nowhere. With several rounds the order changes from round to round.

`dag_seconds` is the DAG run from its start to its end as Airflow tells, the time in queues included, the start of
Airflow itself left out; `bare_seconds` is the process of `slipway run` from start to exit. Prints tables, writes them
with a plot (docs/benchmarks/overhead.md and .svg, or --into), and prints one JSON object last. --quick is a test, not a
measurement: few documents and a static encoder, and nothing is written without --into. Exit status 2 without data.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from benchmarks.nights.project import Project
    from benchmarks.overheads.rounds import Round

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS, QUICK_DOCUMENTS, WARM_UP_DOCUMENTS = 100_000, 2_000, 300
MOMENT = "2025-10-31 21:00:00"


def bench(entries: pd.DataFrame, encoder: str | Mapping[str, Any], folder: Path, rounds: int) -> list[Round]:
    """All rounds; each into stores of its own below `folder`, which holds nothing of an earlier call."""
    from benchmarks.overheads.rounds import Round
    from benchmarks.overheads.scheduled import run_scheduled

    _project(folder / "warm-up", encoder, entries.head(WARM_UP_DOCUMENTS)).run_apart()
    made = []
    for number in range(rounds):
        bare = dag = None
        for way in ("bare", "dag") if number % 2 == 0 else ("dag", "bare"):
            project = _project(folder / f"{way}-{number}", encoder, entries)
            print(f"round {number + 1} of {rounds}: {way}, {len(entries):,} documents …", flush=True)
            if way == "bare":
                bare = project.run_apart()
            else:
                dag = run_scheduled(project, ROOT)
        assert bare is not None
        assert dag is not None
        made.append(Round(bare, dag))
    return made


def _project(folder: Path, encoder: str | Mapping[str, Any], entries: pd.DataFrame) -> Project:
    from benchmarks.nights import table
    from benchmarks.nights.project import Project

    project = Project(folder, encoder).write()
    table.fill(project.database, entries, MOMENT)
    return project


def main() -> None:
    from benchmarks.night import data_folder
    from benchmarks.nights.editions import read_editions
    from benchmarks.overheads.report import Setting, last_line, markdown, write
    from slipway_demo.static import static_model

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of Open English WordNet's corpus files and their README")
    parser.add_argument("--documents", type=int, help=f"how many of its entries, {DOCUMENTS:,} if nothing is said")
    parser.add_argument("--encoder", choices=("minilm", "static"), help="minilm if nothing is said")
    parser.add_argument("--rounds", type=int, default=1, help="of both ways; medians are told")
    parser.add_argument("--into", type=Path, help="folder for the table and the plot")
    parser.add_argument("--quick", action="store_true", help="few documents and a static encoder")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else Airflow would outlive this
    encoder = asked.encoder or ("static" if asked.quick else "minilm")
    entries = read_editions(data_folder(asked.data))["2025"].head(
        asked.documents or (QUICK_DOCUMENTS if asked.quick else DOCUMENTS)
    )
    with tempfile.TemporaryDirectory(prefix="slipway-overhead-") as folder:
        described = static_model(Path(folder) / "static", 64) if encoder == "static" else encoder
        rounds = bench(entries, described, Path(folder), asked.rounds)
    setting = Setting(len(entries), encoder)
    print(markdown(rounds, setting))
    into = asked.into or (None if asked.quick else ROOT / "docs/benchmarks")
    if into:
        write(into, rounds, setting)
    print(f"\n{json.dumps(last_line(rounds, setting))}")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # for benchmarks.nights and benchmarks.overheads
    main()
