"""The doctor's checks of a store: each passes on a sound one, fails on one that is not, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway.doctor import Status
from slipway.doctor import store as checks
from slipway.errors import StoreDenied
from slipway.storage import LocalStore, ObjectInfo, ObjectStore, Versioned
from slipway.storage.s3 import S3Store
from tests.support.memory_store import MemoryStore
from tests.support.s3_server import S3Server

SECOND = timedelta(seconds=1)


@pytest.fixture(params=["memory", "local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, s3_server: S3Server) -> ObjectStore:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "local":
        return LocalStore(tmp_path / "root" / "docs")
    return S3Store(f"s3://{s3_server.new_bucket()}/docs", client=s3_server.client())


class Stale(MemoryStore):
    """Shows what was there `behind` changes ago: objects that were written are not listed, deleted ones are read."""

    hides_new = False
    keeps_deleted = False
    mangles = False
    skew = timedelta(0)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for info in list(super().list(prefix))[: -1 if self.hides_new else None]:
            yield ObjectInfo(info.key, info.size_bytes, info.modified_at + self.skew)

    def delete(self, key: str) -> None:
        if not self.keeps_deleted:
            super().delete(key)

    def read(self, key: str) -> Versioned:
        found = super().read(key)
        return Versioned(found.body[::-1], found.version) if self.mangles else found

    def download(self, key: str, path: Path) -> None:
        super().download(key, path)
        if self.mangles:
            path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_a_sound_store_passes_everything_and_nothing_is_left(store: ObjectStore, tmp_path: Path) -> None:
    with checks.probing(store) as probe:
        for look in (checks.reachable, checks.conditional, checks.listing, checks.clock):
            assert look(probe).status is Status.PASS
        assert checks.transfer(probe, tmp_path).status is Status.PASS
        assert checks.checksums(probe).status in (Status.PASS, Status.WARN)
        probe.put("unexpected/object", b"x")
    assert list(store.list()) == []
    assert list(store.abandoned(datetime.now(UTC) + timedelta(days=1))) == []
    assert not (tmp_path / "root").exists()
    assert list(tmp_path.iterdir()) == []


def test_it_cleans_up_after_a_check_that_failed_and_leaves_what_is_others(store: ObjectStore, tmp_path: Path) -> None:
    store.put("serving.json", b"{}")
    with pytest.raises(KeyboardInterrupt), checks.probing(store) as probe:
        probe.put("object", b"x")
        probe.put_if("pointer", b"x", None)
        raise KeyboardInterrupt
    assert [info.key for info in store.list()] == ["serving.json"]
    if isinstance(store, LocalStore):
        assert [path.name for path in (tmp_path / "root" / "docs").iterdir()] == ["serving.json"]


def test_what_a_killed_doctor_left_goes_after_some_hours() -> None:
    store = MemoryStore()
    store.put("doctor/abc/file", b"x")
    assert checks.left_by_others(store, datetime.now(UTC)).found == "nothing was left behind"
    found = checks.left_by_others(store, datetime.now(UTC) + timedelta(hours=7))
    assert "1 objects of a doctor that was killed were removed" in found.found
    assert list(store.list()) == []


@pytest.mark.parametrize("wrong", ["hides_new", "keeps_deleted", "mangles"])
def test_a_store_that_shows_other_things_than_were_written_is_not_reachable(wrong: str) -> None:
    store = Stale()
    setattr(store, wrong, True)
    assert checks.reachable(store).status is Status.FAIL


def test_a_listing_that_lags_fails() -> None:
    store = Stale()
    store.hides_new = True
    found = checks.listing(store)
    assert (found.status, found.found[:14]) == (Status.FAIL, "1 of 20 object")
    store = Stale()
    store.keeps_deleted = True
    assert "still listed" in checks.listing(store).found


def test_bytes_that_come_back_changed_fail_and_no_file_is_left(tmp_path: Path) -> None:
    store = Stale()
    store.mangles = True
    found = checks.transfer(store, tmp_path)
    assert (found.status, "another SHA-256" in found.found) == (Status.FAIL, True)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_takes_damaged_uploads_is_warned_of(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = S3Store(f"s3://{s3_server.new_bucket()}", client=s3_server.client())
    answers = {True: Status.PASS, False: Status.WARN, None: Status.PASS}
    for refuses, status in answers.items():
        monkeypatch.setattr(store, "refuses_damage", lambda _key, refuses=refuses: refuses)
        assert checks.checksums(store).status is status


@pytest.mark.parametrize("status", ["400 BadDigest", "400 InvalidDigest"])
def test_a_refusal_of_damaged_bytes_is_recognised(s3_server: S3Server, status: str) -> None:
    store = S3Store(f"s3://{s3_server.new_bucket()}", client=s3_server.client())
    s3_server.refuse("PUT", status)
    assert store.refuses_damage("damaged") is True


def test_another_refusal_is_an_error_and_no_answer(s3_server: S3Server) -> None:
    store = S3Store(f"s3://{s3_server.new_bucket()}", client=s3_server.client())
    s3_server.refuse("PUT", "403 AccessDenied")
    with pytest.raises(StoreDenied):
        store.refuses_damage("damaged")


@pytest.mark.parametrize(
    ("skew", "status", "said"),
    [
        (0, Status.PASS, "within 1 s"),
        (3, Status.PASS, "within 3 s"),
        (-4, Status.PASS, "within 3 s"),
        (10, Status.WARN, "ahead of"),
        (-10, Status.WARN, "behind"),
        (65, Status.FAIL, "ahead of"),
        (-3600, Status.FAIL, "behind"),
    ],
)
def test_the_stores_clock_is_compared_with_this_machines(skew: int, status: Status, said: str) -> None:
    store = Stale()
    store.skew = skew * SECOND
    found = checks.clock(store)
    assert (found.status, said in found.found) == (status, True), found


def test_whole_seconds_are_no_skew() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, 900_000, UTC)
    assert checks._skew(now, now.replace(microsecond=0), now + SECOND / 10) == timedelta(0)


def test_a_second_creation_and_a_stale_replacement_must_be_refused() -> None:
    class Careless(MemoryStore):
        ignored: str | None = "create"

        def put_if(self, key: str, body: bytes, expected: str | None) -> str:
            there = next((self.read(info.key).version for info in self.list(key)), None)
            ignore = (expected is None) == (self.ignored == "create")
            return super().put_if(key, body, there if ignore else expected)

    store = Careless()
    assert "If-None-Match was ignored" in checks.conditional(store).found
    store = Careless()
    store.ignored = "replace"
    found = checks.conditional(store)
    assert (found.status, "If-Match was ignored" in found.found) == (Status.FAIL, True)
