"""Peak memory and time of each stage, each in a process of its own, as Airflow runs them.

    python benchmarks/stage_memory.py pydocs --store /tmp/store

The store should be empty, or stages whose output is there already cost nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dotenv import load_dotenv

from slipway import settings
from slipway.config import load_collection
from slipway.connections import environment_connections
from slipway.manifest import load
from slipway.run import Run
from slipway.storage import open_store


def preflight(run: Run, state: dict[str, Any]) -> None:
    from slipway.stages.preflight import preflight

    state["generation"] = preflight(run).generation


def extract(run: Run, state: dict[str, Any]) -> None:
    from slipway.stages.extract import extract

    state["raw"] = {source.name: extract(run, source.name).place for source in run.collection.sources}


def clean(run: Run, state: dict[str, Any]) -> None:
    from slipway.stages.clean import clean

    state["documents"] = [clean(run, name, load(run.store, place)).place for name, place in state["raw"].items()]


def snapshot(run: Run, state: dict[str, Any]) -> None:
    from slipway.stages.snapshot import snapshot

    state["snapshot"] = snapshot(run, [load(run.store, place) for place in state["documents"]]).place


def chunk(run: Run, state: dict[str, Any]) -> None:
    from slipway.stages.chunk import chunk

    state["chunks"] = chunk(run, load(run.store, state["snapshot"])).place


def plan(run: Run, state: dict[str, Any]) -> None:
    from slipway.stages.plan import plan

    state["plan"] = plan(run, load(run.store, state["chunks"])).place


def embed(run: Run, state: dict[str, Any]) -> None:
    from slipway.stages.embed import embed

    frozen = load(run.store, state["plan"])
    for shard in frozen.facts["shards"]:
        embed(run, frozen, shard["shard"])


def index(run: Run, state: dict[str, Any]) -> None:
    from slipway.stages.index import index

    state["candidate"] = index(run, load(run.store, state["chunks"])).place


def evaluate(run: Run, state: dict[str, Any]) -> None:
    from slipway.stages.evaluate import evaluate

    state["evaluation"] = evaluate(run, load(run.store, state["candidate"])).place


def release(run: Run, state: dict[str, Any]) -> None:
    from slipway.pipeline import verdict
    from slipway.stages.release import release

    candidate, evaluation = load(run.store, state["candidate"]), load(run.store, state["evaluation"])
    release(run, candidate, evaluation, verdict(run, evaluation), state["generation"], "benchmark", "stage_memory")


STAGES: list[Callable[[Run, dict[str, Any]], None]] = [
    preflight, extract, clean, snapshot, chunk, plan, embed, index, evaluate, release,
]  # fmt: skip


def measured(stage: int, arguments: argparse.Namespace, path: Path) -> None:
    """Run one stage in this process and add its figures to the state file."""
    state = json.loads(path.read_text())
    collection = load_collection(settings.collections_folder(arguments.collections), arguments.collection)
    store = open_store(settings.store_url(collection.name, settings.store_root(collection, arguments.store)))
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(collection, store, "stage-memory", Path(scratch), environment_connections)
        started = time.monotonic()
        STAGES[stage](run, state)
        seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    state.setdefault("figures", []).append([STAGES[stage].__name__, round(seconds, 1), round(peak)])
    path.write_text(json.dumps(state))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection")
    parser.add_argument("--collections")
    parser.add_argument("--store")
    arguments = parser.parse_args()
    load_dotenv(".env")
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.json"
        path.write_text("{}")
        print("| stage | seconds | peak MiB |\n|---|---|---|")
        for stage in range(len(STAGES)):
            process = spawn.Process(target=measured, args=(stage, arguments, path))
            process.start()
            process.join()
            if process.exitcode:
                sys.exit(process.exitcode)
            name, seconds, peak = json.loads(path.read_text())["figures"][-1]
            print(f"| {name} | {seconds} | {peak} |", flush=True)


if __name__ == "__main__":
    main()
