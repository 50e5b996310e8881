"""What every object store promises, on every store we have."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway.errors import ConflictError, InputError, ObjectMissing
from slipway.storage import ObjectStore
from tests.support.abandoning import abandon
from tests.support.racing import KEY, RACERS, assert_one_winner_each, race

LARGE = bytes(range(256)) * (20 * 4096)  # 20 MiB: two parts in S3
BAD_KEYS = ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a/.", "a\0b", "a\nb", ".slipway-x/a", "\ud800", "a" * 256]


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


def write_file(path: Path, body: bytes) -> Path:
    path.write_bytes(body)
    return path


def test_reads_what_was_put(store: ObjectStore) -> None:
    store.put("a/b.json", b"one")

    assert store.read("a/b.json").body == b"one"


def test_put_replaces_and_changes_the_version(store: ObjectStore) -> None:
    store.put("a", b"one")
    before = store.read("a")
    store.put("a", b"two")

    after = store.read("a")
    assert (after.body, after.version != before.version) == (b"two", True)


def test_reads_again_only_what_has_changed(store: ObjectStore) -> None:
    version = store.put_if("pointer", b"one", None)
    assert store.read_if_changed("pointer", version) is None
    later = store.put_if("pointer", b"two", version)

    found = store.read_if_changed("pointer", version)
    assert found is not None
    assert (found.body, found.version) == (b"two", later)
    assert store.read_if_changed("pointer", later) is None
    with pytest.raises(ObjectMissing, match="absent"):
        store.read_if_changed("absent", later)


def test_holds_an_empty_object(store: ObjectStore) -> None:
    store.put("empty", b"")

    assert store.read("empty").body == b""
    assert [info.size_bytes for info in store.list()] == [0]


@pytest.mark.parametrize("key", ["with space", "ümlaut/日本語.json", "a+b&c=d?e#f%20g", "a:b@c,d;e", ".hidden", "a..b"])
def test_holds_unusual_keys(store: ObjectStore, key: str) -> None:
    store.put(key, b"x")

    assert store.read(key).body == b"x"
    assert keys(store) == [key]


def test_a_missing_object_is_named(store: ObjectStore, tmp_path: Path) -> None:
    store.put("folder/object", b"x")
    for absent in ("absent", "folder", "folder/object/below"):
        with pytest.raises(ObjectMissing, match=absent):
            store.read(absent)
        with pytest.raises(ObjectMissing):
            store.download(absent, tmp_path / "absent")
        with pytest.raises(ObjectMissing):
            store.copy(absent, "copy")
    assert not (tmp_path / "absent").exists()
    assert keys(store) == ["folder/object"]


def test_create_only_wins_once(store: ObjectStore) -> None:
    version = store.put_if("pointer", b"one", None)

    assert store.read("pointer").version == version
    with pytest.raises(ConflictError, match="pointer"):
        store.put_if("pointer", b"two", None)
    assert store.read("pointer").body == b"one"


def test_compare_and_swap_follows_versions(store: ObjectStore) -> None:
    first = store.put_if("pointer", b"one", None)
    second = store.put_if("pointer", b"two", first)

    with pytest.raises(ConflictError):
        store.put_if("pointer", b"late", first)
    assert (store.read("pointer").body, store.read("pointer").version) == (b"two", second)


def test_a_version_read_can_be_compared(store: ObjectStore) -> None:
    store.put("pointer", b"one")

    store.put_if("pointer", b"two", store.read("pointer").version)

    assert store.read("pointer").body == b"two"


def test_compare_conflicts_when_the_object_is_gone(store: ObjectStore) -> None:
    version = store.put_if("pointer", b"one", None)
    store.delete("pointer")

    with pytest.raises(ConflictError):
        store.put_if("pointer", b"two", version)
    assert not store.exists("pointer")


def test_one_of_eight_racing_writers_wins_each_round(store: ObjectStore) -> None:
    barrier = threading.Barrier(RACERS)
    with ThreadPoolExecutor(RACERS) as pool:
        futures = [pool.submit(race, store, barrier) for _ in range(RACERS)]
        laps = [lap for future in futures for lap in future.result()]

    assert_one_winner_each(laps)
    assert keys(store) == [KEY]


@pytest.mark.parametrize("body", [b"", b"small", LARGE], ids=["empty", "small", "20MiB"])
def test_files_come_back_byte_for_byte(store: ObjectStore, tmp_path: Path, body: bytes) -> None:
    store.upload(write_file(tmp_path / "source", body), "files/index.bin")
    store.download("files/index.bin", tmp_path / "new folder" / "copy")

    assert (tmp_path / "new folder" / "copy").read_bytes() == body
    assert [(info.key, info.size_bytes) for info in store.list()] == [("files/index.bin", len(body))]


def test_download_replaces_a_file(store: ObjectStore, tmp_path: Path) -> None:
    store.put("a", b"new")

    store.download("a", write_file(tmp_path / "copy", b"old and longer"))

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir() if path.is_file()] == [("copy", b"new")]


def test_uploading_a_file_that_is_not_there_is_an_input_error(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        store.upload(tmp_path / "nothing", "a")
    assert keys(store) == []


def test_copies_are_independent(store: ObjectStore, tmp_path: Path) -> None:
    store.upload(write_file(tmp_path / "source", LARGE), "a")
    store.copy("a", "b/c")
    store.put("a", b"changed")

    store.download("b/c", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == LARGE


def test_delete_is_idempotent(store: ObjectStore) -> None:
    store.put("a/b", b"x")
    for key in ("a/b", "a/b", "a", "a/b/c", "never/there"):
        store.delete(key)

    assert keys(store) == []


def test_delete_leaves_what_lies_below_the_key(store: ObjectStore) -> None:
    store.put("a/b", b"x")
    store.delete("a")

    assert keys(store) == ["a/b"]


def test_lists_in_key_order_whatever_the_folders(store: ObjectStore) -> None:
    written = ["a/b", "a.b", "a-b/c", "a0", "B", "a/b0", "z/y/x", "a/é", "a/日本", "ab/c"]
    for key in written:
        store.put(key, b"x")

    assert keys(store) == sorted(written)


def test_a_prefix_is_a_string_and_not_a_folder(store: ObjectStore) -> None:
    for key in ("run/1", "run/10", "run/2/a", "runs/1", "other"):
        store.put(key, b"x")

    assert keys(store, "run/") == ["run/1", "run/10", "run/2/a"]
    assert keys(store, "run/1") == ["run/1", "run/10"]
    assert keys(store, "run") == ["run/1", "run/10", "run/2/a", "runs/1"]
    assert keys(store, "nothing") == []


def test_a_listing_tells_size_and_time(store: ObjectStore) -> None:
    store.put("a", b"12345")

    [info] = store.list()
    assert info.size_bytes == 5
    assert info.modified_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - info.modified_at) < timedelta(hours=1)


def test_exists(store: ObjectStore) -> None:
    store.put("a/b", b"x")

    assert [store.exists(key) for key in ("a/b", "a", "a/bc", "a/b/c")] == [True, False, False, False]


def test_a_scoped_store_sees_only_its_own(store: ObjectStore, tmp_path: Path) -> None:
    inner = store.scoped("team/docs/")
    store.put("outside", b"x")
    inner.put("a", b"1")
    inner.upload(write_file(tmp_path / "source", b"2"), "b")
    inner.copy("a", "c")
    inner.put_if("d", b"4", None)

    assert keys(inner) == ["a", "b", "c", "d"]
    assert keys(store) == ["outside", "team/docs/a", "team/docs/b", "team/docs/c", "team/docs/d"]
    assert inner.url == f"{store.url.rstrip('/')}/team/docs"
    assert [inner.exists("outside"), inner.exists("a")] == [False, True]
    inner.delete("a")
    assert not store.exists("team/docs/a")


def test_scoped_and_whole_store_agree_on_versions(store: ObjectStore) -> None:
    inner = store.scoped("team").scoped("docs")
    version = inner.put_if("pointer", b"one", None)

    store.put_if("team/docs/pointer", b"two", version)

    with pytest.raises(ConflictError):
        inner.put_if("pointer", b"three", version)


@pytest.mark.parametrize("key", BAD_KEYS)
def test_bad_keys_are_refused_before_anything_happens(store: ObjectStore, tmp_path: Path, key: str) -> None:
    source = write_file(tmp_path / "source", b"x")
    store.put("good", b"x")
    attempts = [
        lambda: store.read(key),
        lambda: store.put(key, b"x"),
        lambda: store.put_if(key, b"x", None),
        lambda: store.upload(source, key),
        lambda: store.download(key, tmp_path / "copy"),
        lambda: store.copy("good", key),
        lambda: store.copy(key, "copy"),
        lambda: store.delete(key),
        lambda: store.exists(key),
        lambda: store.scoped(key if key != "a/" else "/"),
    ]
    for attempt in attempts:
        with pytest.raises(InputError, match="key"):
            attempt()
    assert keys(store) == ["good"]


@pytest.mark.parametrize("prefix", ["/", "/a", "a//b", "..", "../a", "a/../b"])
def test_bad_prefixes_are_refused_at_once(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(InputError, match="prefix"):
        store.list(prefix)


def test_a_store_that_nobody_wrote_to_is_empty(store: ObjectStore) -> None:
    assert keys(store) == []
    assert not store.exists("a")
    store.delete("a")


LONG_AGO, FAR_AHEAD = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def test_a_write_that_was_killed_is_found_and_can_be_discarded(store: ObjectStore) -> None:
    store.put("folder/a", b"whole")
    abandon(store, "folder/b", b"12345")
    abandon(store, "c", b"123")

    assert keys(store) == ["folder/a"]
    found = list(store.abandoned(FAR_AHEAD))
    assert sorted(one.size_bytes for one in found) == [3, 5]
    assert all(one.began_at.utcoffset() == timedelta(0) for one in found)
    for one in found:
        one.discard()
        one.discard()  # of two that tidy up at once, neither fails
    assert list(store.abandoned(FAR_AHEAD)) == []
    assert store.read("folder/a").body == b"whole"


def test_writes_that_may_still_be_at_work_are_left_alone(store: ObjectStore) -> None:
    abandon(store, "a", b"x")

    assert list(store.abandoned(LONG_AGO)) == []
    assert len(list(store.abandoned(FAR_AHEAD))) == 1


def test_a_scoped_store_finds_its_own_killed_writes_only(store: ObjectStore) -> None:
    inner = store.scoped("team/docs")
    abandon(inner, "deep/a", b"1")
    abandon(store, "team/docs2/a", b"22")

    assert [one.size_bytes for one in inner.abandoned(FAR_AHEAD)] == [1]
    assert sorted(one.size_bytes for one in store.abandoned(FAR_AHEAD)) == [1, 2]


def test_a_store_that_nobody_wrote_to_has_no_killed_writes(store: ObjectStore) -> None:
    assert list(store.abandoned(FAR_AHEAD)) == []
