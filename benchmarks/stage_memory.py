"""Peak memory and time of each stage, each in a process of its own, as Airflow runs them.

    python benchmarks/stage_memory.py pydocs --store /tmp/store

The store should be empty, or stages whose output is there already cost nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dotenv import load_dotenv


def main() -> None:
    from benchmarks.stages_apart import measure_stages
    from slipway import settings
    from slipway.config import load_collection

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection")
    parser.add_argument("--collections")
    parser.add_argument("--store")
    arguments = parser.parse_args()
    load_dotenv(".env")
    folder = settings.collections_folder(arguments.collections)
    store = settings.store_root(load_collection(folder, arguments.collection), arguments.store)
    print("| stage | seconds | peak MiB |\n|---|---|---|")
    for one in measure_stages(folder, arguments.collection, store):
        print(f"| {one.stage} | {one.seconds:.1f} | {one.peak_mib} |", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for benchmarks.stages_apart
    main()
