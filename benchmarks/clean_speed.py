"""How fast clean and snapshot are, and how much memory they take, on a Parquet file of your own.

    python benchmarks/clean_speed.py FILE --id doc_id --title "{title}" --text "{title}\\n{text}" --metadata artist,year

Prints for each stage: rows, seconds, CPU seconds, rows per second, peak resident MiB so far, and its counts.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from slipway import layout
from slipway.config import Collection
from slipway.manifest import Draft, Manifest
from slipway.parts import PartWriter
from slipway.run import Connection, Run
from slipway.stages.clean import clean
from slipway.stages.difference import difference
from slipway.stages.snapshot import snapshot
from slipway.storage.local import LocalStore


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--id", required=True)
    parser.add_argument("--title", default=None)
    parser.add_argument("--text", required=True)
    parser.add_argument("--metadata", default="")
    parser.add_argument("--html", choices=["strip", "keep"], default="keep")
    parser.add_argument("--duplicates", choices=["none", "exact", "near"], default="near")
    parser.add_argument("--threshold", type=float, default=0.9)
    return parser.parse_args()


def no_connection(name: str) -> Connection:
    raise LookupError(f"a file needs no connection {name!r}")


def a_run(given: argparse.Namespace, folder: Path) -> Run:
    collection = Collection.model_validate(
        {
            "name": "benchmark",
            "sources": [{"name": "file", "kind": "lake", "path": str(given.file), "id": given.id}],
            "title": given.title,
            "text": given.text.replace("\\n", "\n"),
            "metadata": tuple(filter(None, given.metadata.split(","))),
            "clean": {"html": given.html, "duplicates": given.duplicates, "near_threshold": given.threshold},
            "encoder": {"name": "none", "folder": str(folder), "dimension": 1, "max_tokens": 512},
        }
    )
    return Run(collection, LocalStore(folder / "store"), "benchmark", folder / "scratch", no_connection)


def raw_of(run: Run, file: Path) -> Manifest:
    draft = Draft(run.store, layout.raw(run.run_id, "file"), "extract", "benchmark")
    with PartWriter(draft, "raw", run.scratch / "raw") as parts, pq.ParquetFile(file) as rows:
        for batch in rows.iter_batches(8_192):
            parts.write(batch)
    return draft.seal({"rows": parts.rows}, {"source": "file"})


def timed(stage: str, rows: int, work: Callable[[], Manifest]) -> Manifest:
    started, computed = time.perf_counter(), time.process_time()
    made = work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - computed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    speed = f"{rows:,} rows in {seconds:.1f} s ({cpu:.1f} s of CPU), {rows / seconds:,.0f} rows/s"
    print(f"{stage}: {speed}, peak {peak:,.0f} MiB")
    print(f"  {dict(made.counts)} {dict(made.facts)}")
    return made


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory() as folder:
        run = a_run(given, Path(folder))
        raw = raw_of(run, given.file)
        rows = raw.counts["rows"]
        print(f"start: peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 10):,.0f} MiB")
        cleaned = timed("clean", rows, lambda: clean(run, "file", raw))
        whole = timed("snapshot", cleaned.counts["documents"], lambda: snapshot(run, [cleaned]))
        timed("difference", whole.counts["documents"], lambda: difference(run, whole, None))


if __name__ == "__main__":
    main()
