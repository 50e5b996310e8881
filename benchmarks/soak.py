"""Swaps without end under readers that search without pause: does a query fail, or mix two releases?

    python benchmarks/soak.py --swaps 1000 --seed 7
    python benchmarks/soak.py --swaps 200 --store s3

Some small releases, each of other documents, index and vectors, are promoted, shifted by shares, taken back and rolled
back through the release protocol, in an order drawn with the seed. Meanwhile four threads of this process on one
reader, and two processes with a reader and two threads each, search by vector: singly, in batches, with filters, with
and without request keys. Most swaps wait until every reader has acknowledged them; the others follow at once.

A query fails when it raises an error, finds too few documents or others than its filter leaves, or is answered by a
release that was neither live nor on trial meanwhile (one call in sixteen is checked for that). An answer is mixed when
the hits of one call are of several releases. The store is a local folder, or moto's S3 in a process of its own.

Prints what each reader did and how long searches took, and as the last line one JSON object: swaps, queries,
failed_queries, mixed_answers, p50_ms, p99_ms. The exit status is 1 when one failed or was mixed, or a reader did not
follow.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from benchmarks.soaks.searching import Told
    from benchmarks.soaks.swaps import Swaps
    from slipway.pointer import Slot
    from slipway.storage.base import ObjectStore

PROJECT = Path(__file__).resolve().parents[1]
THREADS_HERE, PROCESSES, THREADS_THERE = 4, 2, 2
DOCUMENTS = 400
SPECS = ("Flat", "HNSW16", "IVF8,PQ8x4fs,RFlat", "SQ8", "HNSW16,SQ8")


@contextmanager
def store_url(kind: str, folder: Path) -> Iterator[str]:
    """Where the collection lies; with "s3", on a server that runs for the `with` block."""
    if kind == "local":
        yield str(folder / "store")
        return
    from tests.support.s3_process import serving
    from tests.support.s3_server import make_test_client

    with serving() as endpoint:
        made_up = {"AWS_ACCESS_KEY_ID": "testing-key-id", "AWS_SECRET_ACCESS_KEY": "testing-secret"}
        os.environ |= {**made_up, "AWS_ENDPOINT_URL_S3": endpoint, "AWS_REGION": "us-east-1"}
        make_test_client(endpoint).create_bucket(Bucket="soak")
        yield "s3://soak/collection"


def make_releases(store: ObjectStore, scratch: Path) -> dict[str, Slot]:
    """Whole releases by the prefix of their documents, of which the first is live."""
    from benchmarks.soaks.searching import GROUPS
    from tests.support.releases import a_run, spec
    from tests.support.shifts import promote, sealed

    metadata = [{"number": number, "group": number % GROUPS} for number in range(DOCUMENTS)]
    run = a_run(store, scratch)
    releases = {
        f"seed{seed}": sealed(run, seed, count=DOCUMENTS, index_spec=spec(factory), metadata=metadata)
        for seed, factory in enumerate(SPECS)
    }
    promote(store, releases["seed0"])
    return releases


def soak(url: str, folder: Path, swaps: int, seed: int) -> tuple[list[Told], npt.NDArray[np.float64], Swaps, list[str]]:
    """What each reader saw, the milliseconds of all calls, the swaps, and what was wrong with the whole."""
    from benchmarks.soaks.searching import FOLLOW_S, Searching
    from benchmarks.soaks.swaps import Swaps
    from slipway import serving
    from slipway.storage import open_store

    store = open_store(url)
    releases = make_releases(store, folder / "scratch")
    names = ["here", *(f"process-{number}" for number in range(PROCESSES))]
    made = Swaps(store, list(releases.values()), names, seed)
    with ExitStack() as stack:
        reader = stack.enter_context(serving.open(url, cache=folder / "here", follow=FOLLOW_S, name="here"))
        processes = stack.enter_context(searching_processes(url, folder, names[1:], seed))
        here = Searching(reader, "here", seed, THREADS_HERE)
        try:
            made.make(swaps)
        finally:
            told, times = here.stop()
        others = [process.end() for process in processes]
    wrong = out_of_turn([told, *(one for one, _ in others)], store, releases)
    return [told, *(one for one, _ in others)], np.concatenate([times, *(one for _, one in others)]), made, wrong


class Process:
    """A reader in a process of its own."""

    def __init__(self, url: str, folder: Path, name: str, seed: int) -> None:
        self._result = folder / f"{name}.json"
        arguments = [url, str(folder / name), str(self._result), name, str(seed), str(THREADS_THERE)]
        paths = os.pathsep.join([str(PROJECT), str(PROJECT / "include"), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.soaks.searching", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )

    def wait_until_ready(self) -> None:
        """Until its reader is open. Raises RuntimeError when it ends before."""
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            raise RuntimeError("a reader process ended before it was ready; its error is above")

    def end(self) -> tuple[Told, Any]:
        """Have it stop, and what it saw."""
        from benchmarks.soaks.searching import read

        self._process.communicate(timeout=120)
        if self._process.returncode:
            raise RuntimeError(f"a reader process ended with status {self._process.returncode}")
        return read(self._result)

    def kill(self) -> None:
        """End it at once, if it still runs."""
        self._process.kill()
        self._process.wait()


@contextmanager
def searching_processes(url: str, folder: Path, names: Sequence[str], seed: int) -> Iterator[list[Process]]:
    """Processes that search for a `with` block."""
    processes = [Process(url, folder, name, seed + 1 + number) for number, name in enumerate(names)]
    try:
        for process in processes:
            process.wait_until_ready()
        yield processes
    finally:
        for process in processes:
            process.kill()


def out_of_turn(told: Sequence[Told], store: ObjectStore, releases: dict[str, Slot]) -> list[str]:
    """The checked answers of releases that were not live or on trial while they were given."""
    from slipway.pointer import Serving, audit_trail

    states = [Serving.from_json(json.dumps(one).encode()) for one in audit_trail(store)]
    served = {
        state.generation: {slot.release_id for slot in (state.live_release, state.trial) if slot} for state in states
    }
    wrong = []
    for one in told:
        for prefix, first, last in one.served:
            # a reader swaps release by release, and says afterwards that it has acted on a generation
            named = set().union(*(served.get(generation, set()) for generation in range(first, last + 2)))
            if releases[prefix].release_id not in named:
                wrong.append(f"{one.reader}: an answer of {prefix} between generations {first} and {last}")
    return wrong


def tell(told: Sequence[Told], times: npt.NDArray[np.float64], made: Swaps, seconds: float) -> list[str]:
    """Print what happened for people; returns which readers did not follow."""
    print(f"{made.made.total()} swaps in {seconds:.0f} s: {', '.join(f'{n} {kind}' for kind, n in made.made.items())}")
    lazy = []
    for one in told:
        generations = len(made.acted_on[one.reader])
        print(
            f"{one.reader}: {one.queries:,} queries; seen to act on {generations} states of serving.json, loaded "
            f"{one.loads} releases; {one.changes:,} times another release answered a thread than before; "
            f"{len(one.served):,} answers checked against the audit trail"
        )
        for example in one.examples:
            print(f"  {example}")
        if one.changes == 0 or one.loads < 2 or one.refused:
            lazy.append(f"{one.reader} loaded {one.loads} releases and refused {one.refused} at the end")
    shares = [50, 90, 99, 99.9, 100]
    at = ", ".join(
        f"{'max' if share == 100 else f'p{share:g}'} {value:.3f}"
        for share, value in zip(shares, np.percentile(times, shares), strict=True)
    )
    print(f"milliseconds of {len(times):,} calls: {at}")
    return lazy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--store", choices=("local", "s3"), default="local")
    asked = parser.parse_args()
    seed = secrets.randbelow(1 << 31) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)

    import faiss

    faiss.omp_set_num_threads(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="slipway-soak-") as folder, store_url(asked.store, Path(folder)) as url:
        told, times, made, wrong = soak(url, Path(folder), asked.swaps, seed)
    lazy = tell(told, times, made, time.monotonic() - began)
    for line in [*wrong[:5], *lazy]:
        print(f"WRONG: {line}")
    last = {
        "swaps": made.made.total(),
        "queries": sum(one.queries for one in told),
        "failed_queries": sum(one.failed for one in told) + len(wrong),
        "mixed_answers": sum(one.mixed for one in told),
        "p50_ms": round(float(np.percentile(times, 50)), 3),
        "p99_ms": round(float(np.percentile(times, 99)), 3),
    }
    print(json.dumps(last))
    sys.exit(1 if last["failed_queries"] or last["mixed_answers"] or lazy else 0)


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))  # for benchmarks.soaks and tests.support
    main()
