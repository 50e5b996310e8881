"""The race that `make conformance` runs, in its short form, and that it finds what it looks for."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.conformance import conform, race_at, s3_place_at
from tests.support import ceph, racing
from tests.support.ceph import CephServer
from tests.support.memory_store import MemoryStore
from tests.support.racing import RACERS, Lap, Place, Tally, race, swaps, tally, tally_swaps
from tests.support.s3_process import s3_process
from tests.support.s3_server import CREDENTIALS, make_test_client

__all__ = ["s3_process"]
PROJECT = Path(__file__).parents[2]


@pytest.fixture(params=["local", "s3", "ceph"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "local":
        return Place((tmp_path / "store").as_uri())
    if request.param == "s3":
        address = request.getfixturevalue("s3_process")
        return s3_place_at(address, make_test_client(address), CREDENTIALS)
    server: CephServer = request.getfixturevalue("ceph_server")
    return s3_place_at(server.endpoint_url, request.getfixturevalue("ceph_client"), ceph.CREDENTIALS)


def test_one_of_eight_racing_processes_wins_each_round(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in place.environment.items():  # which opening the place sets, and the test takes back
        monkeypatch.setenv(name, value)

    assert race_at(place, rounds=4) == Tally(0, 0)


class Forgetful(MemoryStore):
    """Checks no condition: what some stores do."""

    def put_if(self, key: str, body: bytes, expected: str | None) -> str:
        self.put(key, body)
        return self.read(key).version


class Losing(MemoryStore):
    """Keeps another body than the one that won."""

    def put_if(self, key: str, body: bytes, expected: str | None) -> str:
        version = super().put_if(key, body, expected)
        return version if key.startswith("audit/") else self._kept(key, body)

    def _kept(self, key: str, body: bytes) -> str:
        self.put(key, body + b" ")
        return self.read(key).version


def raced(store: MemoryStore, run: object, rounds: int = 3) -> list[Lap]:
    barrier = threading.Barrier(RACERS)
    with ThreadPoolExecutor(RACERS) as pool:
        futures = [pool.submit(run, store, barrier, rounds) for _ in range(RACERS)]
        return [lap for future in futures for lap in future.result()]


def test_a_store_without_conditions_has_several_winners() -> None:
    found = tally(raced(Forgetful(), race))
    assert found.double_winners == found.wrong_bodies == 3
    store = Forgetful()
    assert tally_swaps(raced(store, swaps), store).double_winners >= 3


def test_a_store_that_keeps_other_bytes_is_found() -> None:
    assert tally(raced(Losing(), race)) == Tally(0, 3)
    store = Losing()
    assert tally_swaps(raced(store, swaps), store).wrong_bodies >= 3


def test_a_missing_audit_record_is_found() -> None:
    store = MemoryStore()
    laps = raced(store, swaps)
    assert tally_swaps(laps, store) == Tally(0, 0)
    store.delete("audit/00000002.json")
    assert tally_swaps(laps, store).wrong_bodies >= 1


def test_a_racer_that_dies_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RuntimeError, match="a racer failed: "):
        racing.in_processes(Place((tmp_path / "file" / "store").as_uri()), race, 1)


def test_a_store_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceph, "PROGRAMS", ("no-such-program",))
    made, failed = conform(["ceph"], 2)
    assert made == {"stores": [], "rounds": 2, "double_winners": 0, "wrong_bodies": 0}
    assert "no-such-program missing" in failed[0] and "tools/install_ceph.sh" in failed[0]


def test_the_last_line_is_for_scripts() -> None:
    command = [sys.executable, "benchmarks/conformance.py", "--rounds", "2", "--stores", "local"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    expected = {"stores": ["local"], "rounds": 2, "double_winners": 0, "wrong_bodies": 0}
    assert json.loads(done.stdout.splitlines()[-1]) == expected


def test_an_unknown_store_is_wrong_input() -> None:
    command = [sys.executable, "benchmarks/conformance.py", "--stores", "local,gcs"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "local,s3,ceph" in done.stderr) == (2, True)
