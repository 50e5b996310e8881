"""A run with each stage in a process of its own, as Airflow runs them: what each takes in time and memory.

Every process begins the same run again, finds what former processes sealed, and is left when the next stage would
begin. So what a process takes beyond its stage is the imports and some small manifests.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.pipeline_stages import around_stages
from slipway import settings
from slipway.config import load_collection
from slipway.connections import environment_connections
from slipway.pipeline import Options, run_pipeline
from slipway.run import Run
from slipway.storage import open_store

RUN_ID = "stages-apart"
_HIGH_WATER = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a stage took: wall seconds, and the peak resident MiB of its process."""

    stage: str
    seconds: float
    peak_mib: int


def measure_stages(collections: Path, collection: str, store: str, last: str | None = None) -> Iterator[Figures]:
    """Run a collection into `store` (a root), a stage a process, up to the stage `last` (None: to the end).

    A stage that the pipeline calls several times in a row (a shard each) is one process. Connections come from the
    environment. Raises RuntimeError when a process fails.
    """
    spawn = multiprocessing.get_context("spawn")
    number, figures = 0, None
    while figures is None or figures.stage != last:
        number += 1
        receiver, sender = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_run_up_to, args=(number, collections, collection, store, sender))
        process.start()
        sender.close()
        process.join()
        if process.exitcode:
            raise RuntimeError(f"process {number} ended with status {process.exitcode}; what it said stands above")
        figures = receiver.recv()
        if figures is None:
            return
        yield figures


def peak_mib() -> int:
    """Peak resident memory of this process in MiB.

    Not ru_maxrss where there is better: on Linux a process inherits that from the one that started it.
    """
    if _HIGH_WATER.is_file():
        line = next(line for line in _HIGH_WATER.read_text().splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) / 2**10)
    unit = 1 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


class _Left(BaseException):
    """The next stage would begin. No handler of errors may catch it."""


@dataclass(slots=True)
class _Turnstile:
    """Lets stages pass up to the one numbered `last` (from 1); calls of one stage in a row have one number."""

    last: int
    number: int = 0
    stage: str = ""
    seconds: float = field(default=0.0)

    @contextmanager
    def passing(self, stage: str) -> Iterator[None]:
        if stage != self.stage:
            if self.number == self.last:
                raise _Left
            self.number, self.stage, self.seconds = self.number + 1, stage, 0.0
        started = time.monotonic()
        yield
        self.seconds += time.monotonic() - started


def _run_up_to(number: int, collections: Path, collection: str, store: str, sender: Connection) -> None:
    """Send the figures of the stage of that number; None when the run has no such stage."""
    described = load_collection(collections, collection)
    turnstile = _Turnstile(number)
    with tempfile.TemporaryDirectory(prefix="slipway-stage-") as scratch:
        objects = open_store(settings.store_url(collection, store))
        run = Run(described, objects, RUN_ID, Path(scratch), environment_connections)
        try:
            with around_stages(turnstile.passing):
                run_pipeline(run, Options("a benchmark", "stages apart"))
        except _Left:
            pass
    here = turnstile.number == number
    sender.send(Figures(turnstile.stage, turnstile.seconds, peak_mib()) if here else None)
