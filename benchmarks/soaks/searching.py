"""Searching without pause while releases change: what is asked, and how each answer is judged.

As a program, it is a reader process of a soak:

    python -m benchmarks.soaks.searching URL CACHE RESULT NAME SEED THREADS

It prints "ready" when its reader is open, searches until its standard input is closed, and writes a `Told` to RESULT
as JSON, with the milliseconds of every call beside it as RESULT.npy.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import traceback
from array import array
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from slipway import serving
from slipway.serving import Hit, Reader
from tests.support.releases import unit_vectors

FOLLOW_S = 0.02
K = 10
GROUPS = 4  # into which the documents' metadata divides them
CHECKED = 16  # one call of so many is judged by when its release served, too
EXAMPLES = 5  # of what went wrong, told to people


@dataclass
class Told:
    """What the threads of one reader saw. `served` holds (release, from, to) of the calls that were checked: the
    generations that the reader had acted on before and after.
    """

    reader: str
    queries: int = 0
    failed: int = 0
    mixed: int = 0
    changes: int = 0  # of the release that answered a thread
    loads: int = 0
    refused: int = 0
    served: list[tuple[str, int, int]] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)


class Searching:
    """Threads that search one reader until they are stopped."""

    def __init__(self, reader: Reader, name: str, seed: int, threads: int) -> None:
        self._reader, self._name = reader, name
        self._stopping = threading.Event()
        self._workers = [_Worker(reader, name, seed * 100 + number, self._stopping) for number in range(threads)]
        for worker in self._workers:
            worker.thread.start()

    def stop(self) -> tuple[Told, array[float]]:
        """End the threads; what they saw, and the milliseconds of every call."""
        self._stopping.set()
        for worker in self._workers:
            worker.thread.join()
        metrics = self._reader.metrics()
        told = Told(self._name, loads=metrics.loads, refused=len(metrics.refused))
        times: array[float] = array("d")
        for worker in self._workers:
            times.extend(worker.times)
            for name in ("queries", "failed", "mixed", "changes", "served", "examples"):
                setattr(told, name, getattr(told, name) + getattr(worker.told, name))
        told.examples = told.examples[:EXAMPLES]
        return told, times


class _Worker:
    """One thread: single searches, batches, filters and request keys in turn."""

    def __init__(self, reader: Reader, name: str, seed: int, stopping: threading.Event) -> None:
        self.told, self.times = Told(name), array("d")
        self._reader, self._stopping = reader, stopping
        self._vectors, self._drawn = unit_vectors(256, seed=seed), random.Random(seed)
        self._last = ""
        self.thread = threading.Thread(target=self._run, name=f"{name}-{seed}")

    def _run(self) -> None:
        calls = 0
        while not self._stopping.is_set():
            calls += 1
            try:
                self._call(calls)
            except Exception:
                self._wrong("failed", traceback.format_exc(limit=-3))

    def _call(self, calls: int) -> None:
        begun_at = self._reader.metrics().generation if calls % CHECKED == 0 else None
        count = self._drawn.choice((1, 1, 1, 4))
        start = self._drawn.randrange(len(self._vectors) - count)
        vectors = self._vectors[start : start + count]
        key = f"user-{self._drawn.randrange(1_000)}" if self._drawn.random() < 0.5 else None
        group = self._drawn.randrange(GROUPS) if self._drawn.random() < 0.25 else None
        where = None if group is None else {"group": group}
        self.told.queries += count
        started = time.perf_counter()
        answers = self._reader.search_batch(vectors, K, key=key, where=where)
        self.times.append((time.perf_counter() - started) * 1_000)
        releases = self._judge(answers, count, group)
        if begun_at is not None and len(releases) == 1:
            self.told.served.append((*releases, begun_at, self._reader.metrics().generation))

    def _judge(self, answers: list[list[Hit]], count: int, group: int | None) -> set[str]:
        """The releases that answered; one, if all is well."""
        if [len(hits) for hits in answers] != [K] * count:
            self._wrong("failed", f"{[len(hits) for hits in answers]} hits for {count} queries")
        hits = [hit for answer in answers for hit in answer]
        if any(group is not None and hit.metadata["group"] != group for hit in hits):
            self._wrong("failed", f"documents of other groups than {group}")
        releases = {hit.document_id.split("-")[0] for hit in hits}
        if len(releases) > 1:
            self._wrong("mixed", f"one answer of {', '.join(sorted(releases))}")
        elif releases and self._last not in releases:
            self.told.changes += self._last != ""
            self._last = next(iter(releases))
        return releases

    def _wrong(self, what: str, why: str) -> None:
        setattr(self.told, what, getattr(self.told, what) + 1)
        self.told.examples.append(f"{what}: {why}")


def write(told: Told, times: Iterable[float], path: Path) -> None:
    """Leave the result of a process."""
    np.save(path.with_suffix(".npy"), np.fromiter(times, dtype=np.float64))
    path.write_text(json.dumps(asdict(told)))


def read(path: Path) -> tuple[Told, Any]:
    """The result of a process, and its times (calls,) float64 in milliseconds."""
    raw = json.loads(path.read_text())
    return Told(**{**raw, "served": [tuple(one) for one in raw["served"]]}), np.load(path.with_suffix(".npy"))


def main() -> None:
    url, cache, result, name, seed, threads = sys.argv[1:]
    with serving.open(url, cache=Path(cache), follow=FOLLOW_S, name=name) as reader:
        searching = Searching(reader, name, int(seed), int(threads))
        print("ready", flush=True)
        sys.stdin.read()
        write(*searching.stop(), Path(result))


if __name__ == "__main__":
    main()
