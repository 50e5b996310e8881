"""Reader processes that search without pause while releases change under them.

    python -m benchmarks.shifts.readers URL --name web-1 --stop FILE

Searches by vector, with the smoke queries of the release that was live when it began, each with another request key.
It ends when the file STOP is there, and prints one JSON object: queries, failed, the reader's own metrics.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from slipway import serving
from slipway.index.artifact import SMOKE
from slipway.pointer import read_serving
from slipway.serving.loading import read_release_manifest
from slipway.storage import open_store

ROOT = Path(__file__).resolve().parents[2]
FOLLOW_S = 0.5


def search_until(url: str, name: str, stop: Path) -> dict[str, Any]:
    """Search until `stop` is there. A failure of a search is counted and printed, and ends nothing."""
    vectors = _queries(url)
    queries = failed = 0
    with serving.open(url, follow=FOLLOW_S, name=name) as reader:
        while not stop.exists():
            for vector in vectors:
                queries += 1
                try:
                    hits = reader.search(vector, 5, key=f"request {queries}")
                    failed += not hits
                except Exception:
                    failed += 1
                    traceback.print_exc()
        return {"name": name, "queries": queries, "failed": failed, "metrics": reader.metrics().as_json()}


def _queries(url: str) -> list[Any]:
    store = open_store(url)
    live = read_serving(store)[0].live_release
    assert live is not None
    smoke = read_release_manifest(store, live.release_id, live.manifest_sha256).one(SMOKE)
    return [np.asarray(one["vector"], np.float32) for one in json.loads(store.read(smoke.key).body)]


class Searching:
    """Reader processes at work; `ended` holds what each said when the block is over."""

    def __init__(self, url: str, names: Sequence[str], stop: Path) -> None:
        self._stop = stop.resolve()
        self.ended: list[dict[str, Any]] = []
        command = [sys.executable, "-m", "benchmarks.shifts.readers", url, "--stop", str(self._stop)]
        self._processes = [
            subprocess.Popen([*command, "--name", name], stdout=subprocess.PIPE, text=True, cwd=ROOT) for name in names
        ]

    def end(self) -> None:
        """Have them stop, and take what they say."""
        self._stop.touch()
        for process in self._processes:
            said, _ = process.communicate(timeout=120)
            if process.returncode:
                raise RuntimeError(f"a reader process ended with status {process.returncode}")
            self.ended.append(json.loads(said.splitlines()[-1]))

    def kill(self) -> None:
        """End them at once."""
        for process in self._processes:
            process.kill()
            process.wait()


@contextmanager
def searching(url: str, names: Sequence[str], stop: Path) -> Iterator[Searching]:
    """Readers of the collection at `url`, each in a process of its own, for the time of the block."""
    started = Searching(url, names, stop)
    try:
        yield started
        started.end()
    finally:
        started.kill()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--name", required=True)
    parser.add_argument("--stop", type=Path, required=True)
    given = parser.parse_args()
    print(json.dumps(search_until(given.url, given.name, given.stop)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
