"""A reader process that searches without end while releases change under it, vector space and all.

    python -m slipway_demo.upgrade_reader URL --name web-1 --queries FILE --changes FILE --stop FILE

Searches by text, with the lines of the file of queries. Appends {"at", "release"} to the file of changes whenever it
serves another release. Ends when the file STOP is there, and prints one JSON object: name, queries, failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLLOW_S = 0.5
PAUSE_S = 0.02  # between searches, so that the machine has time for the builds that it watches
OPEN_S = 120.0
POLL_S = 0.1
TOP = 5


def search_until(url: str, name: str, queries: Sequence[str], changes: Path, stop: Path) -> dict[str, Any]:
    """Search until `stop` is there. A failure of a search is counted and printed, and ends nothing."""
    from slipway import serving

    asked = failed = 0
    served = ""
    with serving.open(url, follow=FOLLOW_S, name=name) as reader:
        while not stop.exists():
            for query in queries:
                asked += 1
                try:
                    failed += not reader.search(query, TOP)
                except Exception:
                    failed += 1
                    traceback.print_exc()
                if reader.release.release_id != served:
                    served = reader.release.release_id
                    _append(changes, {"at": time.time(), "release": served})
                time.sleep(PAUSE_S)
    return {"name": name, "queries": asked, "failed": failed}


class Readers:
    """Reader processes at work, in the folder where they tell what they serve; `ended` holds what each said last."""

    def __init__(self, url: str, names: Sequence[str], queries: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._changes = {name: folder / f"{name}.jsonl" for name in names}
        self._stop = folder / "stop"
        for left in (self._stop, *self._changes.values()):
            left.unlink(missing_ok=True)
        asked = folder / "queries.txt"
        asked.write_text("\n".join(queries), encoding="utf-8")
        self.ended: list[dict[str, Any]] = []
        self._processes = [self._start(url, name, asked) for name in names]

    def _start(self, url: str, name: str, asked: Path) -> subprocess.Popen[str]:
        files = {"--queries": asked, "--changes": self._changes[name], "--stop": self._stop}
        named = [text for option, file in files.items() for text in (option, str(file))]
        command = [sys.executable, "-m", "slipway_demo.upgrade_reader", url, "--name", name, *named]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def wait_for(self, release: str, seconds: float = OPEN_S) -> float:
        """The moment (Unix time) at which the last reader began to serve a release that all of them serve now.

        Raises `TimeoutError` when they do not within `seconds`, and `RuntimeError` when a reader ended.
        """
        until = time.monotonic() + seconds
        while True:
            last = [_last(file) for file in self._changes.values()]
            if all(one["release"] == release for one in last):
                return max(float(one["at"]) for one in last)
            if any(process.poll() is not None for process in self._processes):
                raise RuntimeError("a reader process ended; its error stands above")
            if time.monotonic() > until:
                raise TimeoutError(f"after {seconds:.0f} s the readers serve {last}, not {release}")
            time.sleep(POLL_S)

    def end(self) -> None:
        """Have them stop, and take what they say. Raises `RuntimeError` when one of them failed as a whole."""
        self._stop.touch()
        for process in self._processes:
            said, _ = process.communicate(timeout=OPEN_S)
            if process.returncode:
                raise RuntimeError(f"a reader process ended with status {process.returncode}")
            self.ended.append(json.loads(said.splitlines()[-1]))

    def kill(self) -> None:
        """End them at once."""
        for process in self._processes:
            process.kill()
            process.wait()


@contextmanager
def reading(url: str, names: Sequence[str], queries: Sequence[str], folder: Path) -> Iterator[Readers]:
    """Readers of the collection at `url`, each in a process of its own, for the time of the block."""
    started = Readers(url, names, queries, folder)
    try:
        yield started
        started.end()
    finally:
        started.kill()


def _last(file: Path) -> dict[str, Any]:
    lines = file.read_text().splitlines() if file.exists() else []
    return dict(json.loads(lines[-1])) if lines else {"release": None, "at": 0.0}


def _append(file: Path, line: dict[str, Any]) -> None:
    with file.open("a") as opened:
        opened.write(json.dumps(line) + "\n")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--name", required=True)
    for option in ("--queries", "--changes", "--stop"):
        parser.add_argument(option, type=Path, required=True)
    given = parser.parse_args()
    queries = given.queries.read_text(encoding="utf-8").splitlines()
    print(json.dumps(search_until(given.url, given.name, queries, given.changes, given.stop)))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
