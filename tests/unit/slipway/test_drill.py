"""The restore drill: a release comes back from a backup and answers, and no real store is written to."""

from itertools import count
from pathlib import Path

import pytest

from slipway import layout
from slipway.backup import back_up, back_up_all
from slipway.drill import drill
from slipway.errors import CorruptObject, InputError, ReleaseRefused, UntrustedRelease
from slipway.manifest import MANIFEST, load
from slipway.run import Run
from slipway.signing import Trusted, new_key
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, again, publish


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore("memory://here"), tmp_path / "scratch")


@pytest.fixture
def there() -> MemoryStore:
    return MemoryStore("memory://there")


def test_the_newest_backup_is_restored_opened_and_timed(run: Run, there: MemoryStore, tmp_path: Path) -> None:
    live = publish(run).release_id
    back_up(run.store, there, tmp_path)
    ticks = count(0, 1.5)
    done = drill(run.store, there, tmp_path / "work", clock=lambda: next(ticks))
    assert (done.release_id, done.source, done.live, done.is_live) == (live, "memory://there", live, True)
    assert (done.documents, done.vectors, done.smoke_queries) == (40, 40, 4)
    assert done.bytes == load(run.store, layout.release(live)).size_bytes
    assert (done.restore_seconds, done.open_seconds) == (1.5, 1.5)
    assert done.backed_up_at is not None
    assert done.as_json()["release_id"] == live


def test_no_store_is_written_to_and_nothing_is_left_behind(run: Run, there: MemoryStore, tmp_path: Path) -> None:
    publish(run)
    back_up(run.store, there, tmp_path)
    assert isinstance(run.store, MemoryStore)
    for store in (run.store, there):
        store.calls.clear()
    drill(run.store, there, tmp_path / "work")
    assert {method for method, _ in run.store.calls + there.calls} <= {"read", "list", "download"}
    assert list((tmp_path / "work").iterdir()) == []


def test_without_a_backup_store_the_live_release_is_taken(run: Run, tmp_path: Path) -> None:
    live = publish(run).release_id
    done = drill(run.store, None, tmp_path)
    assert (done.release_id, done.source, done.backed_up_at, done.is_live) == (live, "memory://here", None, True)


def test_a_backup_that_is_behind_is_told(run: Run, there: MemoryStore, tmp_path: Path) -> None:
    old = publish(run).release_id
    back_up_all(run.store, there, tmp_path)
    live = publish(again(run, "night-2"), 2).release_id
    done = drill(run.store, there, tmp_path)
    assert (done.release_id, done.live, done.is_live) == (old, live, False)


def test_a_lost_store_keeps_no_drill_from_going(run: Run, there: MemoryStore, tmp_path: Path) -> None:
    publish(run)
    back_up(run.store, there, tmp_path)
    run.store.put(layout.SERVING, b"{")
    done = drill(run.store, there, tmp_path)
    assert (done.live, done.is_live) == (None, False)


@pytest.mark.parametrize("number", range(5))
def test_a_damaged_backup_fails_the_drill(number: int, run: Run, there: MemoryStore, tmp_path: Path) -> None:
    live = publish(run).release_id
    back_up(run.store, there, tmp_path)
    sealed = load(there, layout.release(live)).objects[number]
    there.put(sealed.key, bytes(sealed.size_bytes))
    with pytest.raises(CorruptObject, match=sealed.key):
        drill(run.store, there, tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_an_altered_manifest_fails_the_drill(run: Run, there: MemoryStore, tmp_path: Path) -> None:
    live = publish(run).release_id
    back_up(run.store, there, tmp_path)
    key = f"{layout.release(live)}/{MANIFEST}"
    there.put(key, there.read(key).body.replace(b'"documents": 40', b'"documents": 41'))
    with pytest.raises(CorruptObject):
        drill(run.store, there, tmp_path)


def test_a_backup_that_no_trusted_key_signed_fails_the_drill(run: Run, there: MemoryStore, tmp_path: Path) -> None:
    publish(run)
    back_up(run.store, there, tmp_path)
    _, key = new_key()
    with pytest.raises(UntrustedRelease):
        drill(run.store, there, tmp_path, Trusted({key.key_id: key.public}))


def test_where_there_is_nothing_to_restore_it_says_so(run: Run, there: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(ReleaseRefused, match=r"nothing can be restored"):
        drill(run.store, None, tmp_path)
    publish(run)
    with pytest.raises(InputError, match=r"no backup of a live release"):
        drill(run.store, there, tmp_path)
