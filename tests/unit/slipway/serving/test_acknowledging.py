import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.acknowledgement import Acknowledgement, check_name, heard
from slipway.errors import InputError, StoreDenied
from slipway.run import Run
from slipway.serving.acknowledging import Acknowledging, unique_name
from slipway.serving.metrics import Troubles
from slipway.serving.reader import Reader
from tests.support.clocks import Clock
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, publish, unit_vectors
from tests.support.shifts import offer, promote, sealed

QUERY = unit_vectors(1, seed=5)[0]
FOLLOW = 3600.0  # the thread never comes to it: tests poll by hand


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = a_run(MemoryStore(), tmp_path / "scratch")
    publish(made, seed=1)
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(run: Run, tmp_path: Path, clock: Clock) -> Iterator[Reader]:
    with Reader(run.store, tmp_path / "cache", follow=FOLLOW, name="web-1", clock=clock) as opened:
        yield opened


def said(run: Run) -> Acknowledgement:
    (only,), unreadable = heard(run.store)
    assert unreadable == []
    return only.said


def puts(run: Run) -> int:
    assert isinstance(run.store, MemoryStore)
    return sum(1 for method, key in run.store.calls if method == "put" and key.startswith("readers/"))


def test_a_reader_that_follows_says_so_at_once(run: Run, reader: Reader) -> None:
    found = said(run)
    assert (found.reader, found.host, found.pid) == (reader.metrics().name, socket.gethostname(), os.getpid())
    assert re.fullmatch("web-1-[0-9a-f]{8}", found.reader)
    assert (found.generation, found.live, found.trial, found.percent) == (1, reader.release.release_id, None, 0)
    assert [one.release_id for one in found.loaded] == [found.live]
    assert (found.refused, found.every_seconds) == ((), FOLLOW)
    assert set(found.versions) == {"slipway", "faiss", "python"}


def test_it_tells_of_a_shift_at_each_poll_what_was_answered(run: Run, reader: Reader) -> None:
    second = sealed(run, 2)
    offer(run.store, second, 100)
    reader.poll()
    for _ in range(3):
        reader.search(QUERY, key="user")
    reader.poll()
    found = said(run)
    assert (found.generation, found.trial, found.percent) == (2, second.release_id, 100)
    of_trial = found.of(second.release_id)
    assert of_trial is not None
    assert (of_trial.queries, of_trial.errors, of_trial.latencies.total) == (3, 0, 3)


def test_it_tells_what_it_refused_and_why(run: Run, reader: Reader) -> None:
    bad = sealed(run, 2)
    for info in list(run.store.list(f"releases/{bad.release_id}/")):
        if info.key.endswith("smoke.json"):
            run.store.delete(info.key)
    offer(run.store, bad, 10)
    reader.poll()
    found = said(run)
    assert (found.generation, found.trial, found.percent) == (2, None, 0)
    assert "smoke.json" in (found.why_refused(bad.release_id) or "")


def test_it_is_renewed_in_time_and_not_at_each_poll(run: Run, reader: Reader, clock: Clock) -> None:
    for _ in range(10):
        reader.poll()
    assert puts(run) == 1
    clock.pass_by(FOLLOW * 0.8)
    reader.poll()
    assert puts(run) == 2
    promote(run.store, sealed(run, 2))
    reader.poll()
    assert puts(run) == 3


def test_a_store_that_denies_it_does_not_hurt_serving_and_is_asked_again(
    run: Run, tmp_path: Path, clock: Clock
) -> None:
    assert isinstance(run.store, MemoryStore)
    run.store.fail_next("put", StoreDenied("this user may not write"))
    with Reader(run.store, tmp_path / "cache", follow=FOLLOW, name="web-1", clock=clock) as reader:
        trouble = reader.metrics().acknowledgement_trouble
        assert trouble is not None and trouble.what == "this user may not write"
        assert reader.search(QUERY)
        assert heard(run.store) == ([], [])
        clock.pass_by(FOLLOW)
        reader.poll()
        assert said(run).reader == reader.metrics().name
        assert reader.metrics().acknowledgement_trouble is None


def test_closing_withdraws_it_for_good(run: Run, reader: Reader) -> None:
    acknowledging = reader._acknowledging
    reader.close()
    assert heard(run.store) == ([], [])
    assert acknowledging is not None
    acknowledging.say()  # as a thread may that was at work
    assert heard(run.store) == ([], [])


def test_a_reader_that_may_not_write_is_told_not_to(run: Run, tmp_path: Path) -> None:
    with Reader(run.store, tmp_path / "cache", follow=FOLLOW, acknowledge=False) as reader:
        reader.poll()
        assert reader.metrics().name is None
    with Reader(run.store, tmp_path / "cache") as reader:
        reader.refresh()
    assert puts(run) == 0


def test_it_is_renewed_while_a_poll_is_loading(run: Run, reader: Reader, clock: Clock) -> None:
    acknowledging = reader._acknowledging
    assert acknowledging is not None
    with reader._following._stepping:  # which a load holds
        clock.pass_by(FOLLOW)
        renewing = threading.Thread(target=acknowledging.renew)
        renewing.start()
        renewing.join(30)
        assert not renewing.is_alive()
    assert puts(run) == 2


def test_names_are_keys_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("web-1", "wéb/1 x", "...", "", "-" * 300, "h" * 300):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        first, second = unique_name(), unique_name()
        assert check_name(first) != check_name(second)
        assert f"-{os.getpid()}-" in first


def test_readers_of_one_name_leave_each_other_alone(run: Run, reader: Reader, tmp_path: Path) -> None:
    with Reader(run.store, tmp_path / "cache", follow=FOLLOW, name="web-1") as other:
        names = {reader.metrics().name, other.metrics().name}
        assert len(names) == 2
        assert {one.said.reader for one in heard(run.store)[0]} == names
    assert said(run).reader == reader.metrics().name


def test_a_name_that_is_no_key_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a reader cannot be called"):
        Reader(run.store, tmp_path / "cache", follow=FOLLOW, name="web/1")


def test_what_cannot_be_told_is_a_trouble(clock: Clock) -> None:
    troubles = Troubles()

    def tell() -> Acknowledgement:
        raise KeyError("odd")

    Acknowledging(MemoryStore(), "web-1", 10, tell, troubles, clock).say()
    trouble = troubles.of("acknowledgement")
    assert trouble is not None and "odd" in trouble.what
