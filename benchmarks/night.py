"""What a night costs, on Open English WordNet: three yearly editions as nights, 1 % of changes, and memory.

    python benchmarks/night.py
    python benchmarks/night.py --quick

1. The editions of 2023, 2024 and 2025 as three nights over one table that is changed in place, and a fourth on which
   nothing changed. What was added, changed and deleted must be what a comparison of the files says, and the data set's
   own README; what is embedded must be the texts that are new; nothing deleted may be found; and the breaker must
   stop the night that loses a ninth of the entries.
2. All entries with the real encoder (ten minutes and more on two CPU cores), then one hundredth of them changed.
3. Peak memory of each stage for 100,000 rows and for a million.

The folder of the data holds the three corpus files and the README; it is --data, `oewn` below SLIPWAY_TEST_DATA, or
../shared/data/oewn. With --quick a static encoder and samples stand in, for tests. Prints Markdown, and as the last
line one JSON object. The exit status is 1 when a promise is broken, never because of a time; 2 when there is no data.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.nights.report import Report

ROOT = Path(__file__).resolve().parents[1]
SEED = 1
QUICK_ONE_OF = 60
SIZES, QUICK_SIZES = (100_000, 1_000_000), (1_000, 3_000)


def data_folder(asked: Path | None) -> Path:
    """Where the editions are. Exits with status 2 where they are not."""
    from benchmarks.nights.editions import FILES

    named = os.environ.get("SLIPWAY_TEST_DATA")
    folder = asked or (Path(named) / "oewn" if named else ROOT.parent / "shared/data/oewn")
    lacking = [name for name in (*FILES.values(), "README.md") if not (folder / name).is_file()]
    if lacking:
        print(
            f"{folder} has no {', '.join(lacking)}; name the folder with --data or SLIPWAY_TEST_DATA", file=sys.stderr
        )
        sys.exit(2)
    return folder.resolve()


def check_published(folder: Path, editions: Mapping[str, pd.DataFrame], report: Report) -> None:
    """The editions differ as their README says."""
    from benchmarks.nights.editions import STEPS, as_published, compare, published

    said = published(folder / "README.md")
    for old, new in STEPS:
        counted = as_published(compare(editions[old], editions[new]))
        report.equal(f"{old} → {new} as counted here, and as the README says", counted, said.get((old, new)))


def bench(data: Path, folder: Path, quick: bool, report: Report) -> Mapping[str, Any]:
    """Everything; returns the last line."""
    from benchmarks.nights.editions import read_editions, sample
    from benchmarks.nights.memory import peaks
    from benchmarks.nights.one_percent import run_both
    from benchmarks.nights.project import Project
    from benchmarks.nights.yearly import YearlyNights
    from slipway_demo.static import static_model

    whole = read_editions(data)
    check_published(data, whole, report)
    editions = sample(whole, QUICK_ONE_OF) if quick else whole
    newest = editions["2025"]
    static = static_model(folder / "static", 64)

    report.section("Four nights")
    yearly = YearlyNights(Project(folder / "yearly", static).write(), editions, report).run()

    report.section("All entries, and one hundredth changed")
    project = Project(folder / "hundredth", static if quick else "minilm").write()
    if not quick:
        report.say(f"Embedding {len(newest):,} entries takes ten minutes and more on two CPU cores.\n")
    seconds = run_both(project, newest, SEED, report)

    report.section("Peak memory")
    small, large = peaks(folder, static, newest, QUICK_SIZES if quick else SIZES, report)
    return {
        "embedded_beyond_new_texts": yearly.embedded_beyond_new_texts,
        "deleted_still_found": yearly.deleted_still_found,
        "breaker_refused": yearly.breaker_refused,
        "unchanged_embedded": yearly.unchanged_embedded,
        "unchanged_released": yearly.unchanged_released,
        "full_seconds": round(seconds.full, 2),
        "one_percent_seconds": round(seconds.one_percent, 2),
        "full_embed_seconds": round(seconds.full_embed, 2),
        "one_percent_embed_seconds": round(seconds.one_percent_embed, 2),
        "peak_mib_100k": small,
        "peak_mib_1m": large,
    }


def main() -> None:
    from benchmarks.nights.report import Report

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the three corpus files and their README")
    parser.add_argument("--quick", action="store_true", help="a static encoder and samples: a test, not a measurement")
    asked = parser.parse_args()
    data, report = data_folder(asked.data), Report()
    with tempfile.TemporaryDirectory(prefix="slipway-night-") as folder:
        last = bench(data, Path(folder), asked.quick, report)
    for promise in report.broken:
        print(f"BROKEN: {promise}", flush=True)
    print(f"\n{json.dumps(last)}")
    sys.exit(1 if report.broken else 0)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # for benchmarks.nights
    main()
