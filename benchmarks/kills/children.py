"""Processes that are forked from one that has imported everything and computed nothing.

Importing torch takes ten seconds, a night of the small history two. So a fork server imports the libraries once and
forks a process for each attempt. That is sound because nothing but imports ever happens in the server: no thread pool
of torch, FAISS, Arrow or DuckDB has been started that a fork would leave without its threads, no file is open, no
encoder loaded, and each attempt opens its store and reads its model afresh, as a new process would. Attempts share
nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

PRELOADED = [
    "benchmarks.kills.attempt",
    "benchmarks.kills.inspection",
    "sentence_transformers",
    "torch",
    "faiss",
    "duckdb",
    "pyarrow.parquet",
    "sqlalchemy",
]
# One thread each: FAISS links a graph in the order in which threads come, and what differs here must come of a kill.
# The last: who is killed cannot give back its semaphores, and that is not worth a warning here.
SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker",
}


class Children:
    """Starts a process a function, and waits for it."""

    def __init__(self) -> None:
        os.environ.update(SETTINGS)
        # The server does not take over this process's sys.path.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self.run(_nothing)  # returns when the server has imported everything

    def run(self, function: Callable[..., None], *arguments: Any, kill_after: float | None = None) -> bool:
        """Run a function in a process of its own, kill it after so many seconds, and say whether a kill ended it.

        Raises RuntimeError when it ended otherwise than by a kill or by returning.
        """
        process: ForkServerProcess = self._context.Process(target=function, args=arguments)
        process.start()
        process.join(kill_after)
        if process.is_alive():
            process.kill()
            process.join()
        status = process.exitcode
        process.close()
        if status not in (0, -signal.SIGKILL):
            raise RuntimeError(f"{function.__name__} ended with status {status}; what it said stands above")
        return status != 0

    def answer(self, function: Callable[..., None], *arguments: Any, file: Path) -> Mapping[str, Any]:
        """What a function, whose last argument is a file, writes there as JSON."""
        self.run(function, *arguments, file)
        answer: Mapping[str, Any] = json.loads(file.read_text())
        return answer


def _nothing() -> None:
    """The smallest process: it proves that the server is up."""
