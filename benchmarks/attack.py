"""Attacks on releases: mutations of sealed ones, and sequences of a protocol whose store goes wrong.

    python benchmarks/attack.py --mutations 1000 --sequences 200 --seed 7

Mutations: releases of real text with a flat index, a graph and compressed lists are sealed and signed; then bits are
flipped, files cut, swapped and forged, manifests edited, and index files made hostile, up to forgeries in which every
sum is right. A reader that serves the old release must refuse each, with one of Slipway's errors, and go on with right
answers, and a new reader must refuse it as well. Damage that sums can find is tried with and without signatures,
forgery with them; without them it must not kill the process. Each batch runs in a process of its own, so that a crash,
a hang or a lack of memory is counted and named by seed and number.

Sequences: release, shift, rollback, retention, crashes, late and lost writes, by several actors on one store (see
tests/support/protocol.py). After every step serving.json must name whole releases only.

The last line is one JSON object: mutations, accepted, crashes, sequences, broken_pointers. The exit status is 1 when
one of accepted, crashes and broken_pointers is not 0.
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
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
BATCH = 75
BATCH_SECONDS = 300


def make_victims(folder: Path) -> None:
    """Build and sign what is attacked; once, as it takes longer than an attack."""
    import faiss

    from benchmarks.attacks.victim import SPECS, make_victim

    faiss.omp_set_num_threads(1)
    victims = [make_victim(folder / f"victim{n}", spec, folder / f"scratch{n}") for n, spec in enumerate(SPECS)]
    (folder / "victims.json").write_text(json.dumps([asdict(victim) for victim in victims], default=str))


def mutate(count: int, seed: int, folder: Path) -> Iterator[dict[str, Any]]:
    """What became of each mutation, in order."""
    number = 0
    while number < count:
        ended = list(_batch(folder, seed, number, min(BATCH, count - number)))
        yield from ended
        number += len(ended)


def _batch(folder: Path, seed: int, first: int, count: int) -> Iterator[dict[str, Any]]:
    """The mutations of one process, up to the one that it died of, if it did."""
    result = folder / f"batch-{first}.jsonl"
    command = [
        sys.executable,
        "-m",
        "benchmarks.attacks.trial",
        str(folder),
        str(result),
        str(seed),
        str(first),
        str(count),
    ]
    paths = [str(PROJECT), str(PROJECT / "include"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=BATCH_SECONDS,
            errors="replace",
        )
        how = f"ended with status {done.returncode}: {done.stderr[-800:]}"
    except subprocess.TimeoutExpired:
        how = f"hung for {BATCH_SECONDS} s"
    events = [json.loads(line) for line in result.read_text().splitlines()] if result.exists() else []
    if not events:
        raise RuntimeError(f"a batch {how} before its first mutation")
    yield from (event for event in events if event["event"] == "ended")
    if events[-1]["event"] == "begun":
        yield {**events[-1], "what": "", "wrong": [f"CRASH the process {how}"]}


def tell(outcome: dict[str, Any], seed: int) -> None:
    """One line for what went wrong."""
    for wrong in outcome["wrong"]:
        print(f"seed {seed}, mutation {outcome['number']} ({outcome['kind']}, {outcome['what']}): {wrong}", flush=True)


def attack_releases(count: int, seed: int, folder: Path) -> dict[str, int]:
    """Mutate so many times; counts for the last line."""
    began = time.monotonic()
    make_victims(folder)
    kinds: Counter[str] = Counter()
    made = {"mutations": 0, "accepted": 0, "crashes": 0}
    for outcome in mutate(count, seed, folder):
        tell(outcome, seed)
        kinds[outcome["kind"]] += 1
        made["mutations"] += 1
        made["crashes"] += any(wrong.startswith("CRASH") for wrong in outcome["wrong"])
        made["accepted"] += any(not wrong.startswith("CRASH") for wrong in outcome["wrong"])
    told = ", ".join(f"{kind} {times}" for kind, times in sorted(kinds.items()))
    print(f"{count} mutations in {time.monotonic() - began:.0f} s: {told}", flush=True)
    return made


def attack_protocol(count: int, seed: int, folder: Path) -> dict[str, int]:
    """Run so many sequences; counts for the last line. The first that breaks something ends it, shrunk and printed."""
    import faiss

    from tests.support.protocol import ReleaseProtocol, run_sequences

    faiss.omp_set_num_threads(1)
    began, broken = time.monotonic(), 0
    try:
        if count:
            run_sequences(count, seed, folder)
    except Exception:
        traceback.print_exc()
        broken = 1
    print(f"{ReleaseProtocol.finished} sequences in {time.monotonic() - began:.0f} s", flush=True)
    return {"sequences": ReleaseProtocol.finished, "broken_pointers": broken}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--seed", type=int, help="draws everything; without one, a new one is drawn and printed")
    asked = parser.parse_args()
    if asked.mutations < 0 or asked.sequences < 0:
        parser.error("--mutations and --sequences are 0 or more")
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="slipway-attack-") as folder:
        made = attack_releases(asked.mutations, seed, Path(folder)) | attack_protocol(
            asked.sequences, seed, Path(folder)
        )
    print(json.dumps(made))
    sys.exit(bool(made["accepted"] or made["crashes"] or made["broken_pointers"]))


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))  # for benchmarks.attacks and tests.support
    main()
