"""Where the seconds of a whole run go: each stage's share, and which functions its time is in.

    python benchmarks/run_profile.py --documents 20000 --encoder static

All stages in one process over Open English WordNet, into an empty store. A stage of more than --share of the run is
shown with the functions that took most of its time themselves, by cProfile; that slows Python code down, so its
seconds tell where to look and not how long a run takes: --plain leaves it out. With --night a second run follows, on
which one hundredth has changed.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOMENT, NEXT_DAY = "2025-10-31 21:00:00", "2025-11-01 21:00:00"
SEED = 1


@dataclass(slots=True)
class Watch:
    """Wall and processor seconds by stage, and a profile of each unless `plain`."""

    plain: bool
    wall: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    profiles: dict[str, cProfile.Profile] = field(default_factory=dict)

    @contextmanager
    def watching(self, stage: str) -> Iterator[None]:
        """Add a block to the stage's seconds."""
        profile = self.profiles.setdefault(stage, cProfile.Profile())
        wall, processor = time.perf_counter(), time.process_time()
        if not self.plain:
            profile.enable()
        try:
            yield
        finally:
            profile.disable()
            self.wall[stage] = self.wall.get(stage, 0.0) + time.perf_counter() - wall
            self.processor[stage] = self.processor.get(stage, 0.0) + time.process_time() - processor

    def tell(self, title: str, share: float, functions: int) -> None:
        """Print the table, and the functions of the large stages."""
        whole = sum(self.wall.values())
        print(f"\n## {title}: {whole:.1f} s\n\n| stage | s | processor s | share |\n| --- | --- | --- | --- |")
        for stage, seconds in self.wall.items():
            print(f"| {stage} | {seconds:.2f} | {self.processor[stage]:.2f} | {seconds / whole:.0%} |")
        if self.plain:
            return
        for stage, seconds in self.wall.items():
            if seconds > share * whole:
                print(f"\n### {stage}\n")
                pstats.Stats(self.profiles[stage]).sort_stats("tottime").print_stats(functions)


def main() -> None:
    from benchmarks.night import data_folder
    from benchmarks.nights import table
    from benchmarks.nights.editions import read_editions
    from benchmarks.nights.project import Project
    from benchmarks.pipeline_stages import around_stages
    from slipway_demo.static import static_model

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of Open English WordNet's corpus files and their README")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--encoder", choices=("minilm", "static"), default="static")
    parser.add_argument("--share", type=float, default=0.05, help="of the run from which on a stage is looked into")
    parser.add_argument("--functions", type=int, default=12, help="shown of such a stage")
    parser.add_argument("--plain", action="store_true", help="seconds only")
    parser.add_argument("--night", action="store_true", help="a second run, on which one hundredth has changed")
    asked = parser.parse_args()
    entries = read_editions(data_folder(asked.data))["2025"].head(asked.documents)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory(prefix="slipway-profile-") as name:
        folder = Path(name)
        encoder = static_model(folder / "static", 64) if asked.encoder == "static" else asked.encoder
        project = Project(folder / "project", encoder).write()
        table.fill(project.database, entries, MOMENT)
        for title in ("everything", "one hundredth changed")[: 1 + asked.night]:
            watch = Watch(asked.plain)
            with around_stages(watch.watching):
                project.run(title.replace(" ", "-"))
            watch.tell(f"{len(entries):,} documents, {title}", asked.share, asked.functions)
            table.revise(
                project.database,
                random.Random(SEED).sample(list(entries.index), max(1, len(entries) // 100)),
                NEXT_DAY,
            )


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # for benchmarks.nights
    main()
