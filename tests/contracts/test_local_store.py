"""What only a store in a folder can get wrong: the disk, its locks, and processes that die half-way."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slipway.errors import ConflictError, DiskFull, InputError, StateUnknown, StoreDenied, StoreUnreachable
from slipway.storage import LocalStore
from slipway.storage import files as store_files

FILL_A_SMALL_DISK = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from slipway.errors import DiskFull
from slipway.storage import LocalStore
store = LocalStore(sys.argv[1])
version = store.put_if("pointer", b"old", None)
large = Path(sys.argv[2])
large.write_bytes(bytes(1 << 20))
for attempt in (
    lambda: store.put("a", bytes(1 << 20)),
    lambda: store.put_if("pointer", bytes(1 << 20), version),
    lambda: store.upload(large, "b"),
):
    try:
        attempt()
    except DiskFull as error:
        assert "free some space" in str(error), error
    else:
        raise AssertionError("the disk was not full")
assert [info.key for info in store.list()] == ["pointer"]
assert store.read("pointer").body == b"old"
assert not list(Path(sys.argv[1]).glob(".slipway-*.part"))
store.put("small", b"there is room again")
"""


def raising(number: int):
    def fail(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_store_opened_deeper_down_takes_the_same_lock(local_store: LocalStore, tmp_path: Path) -> None:
    local_store.scoped("docs").put_if("pointer", b"one", None)
    LocalStore(tmp_path / "store" / "docs").put_if("pointer", b"two", local_store.read("docs/pointer").version)

    assert files_below(tmp_path / "store") == ["docs/.slipway-lock", "docs/pointer"]


def test_a_write_that_was_killed_half_way_is_never_listed(
    local_store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_store.put("folder/a", b"x")
    with monkeypatch.context() as patch:
        # A killed process neither renames nor cleans up.
        patch.setattr(Path, "replace", raising(errno.EIO))
        patch.setattr(Path, "unlink", raising(errno.EIO))
        with pytest.raises(StoreUnreachable):
            local_store.put("folder/b", b"y")

    assert len(files_below(tmp_path / "store")) == 2
    assert [info.key for info in local_store.list()] == ["folder/a"]
    assert not local_store.exists("folder/b")


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EACCES, StoreDenied),
        (errno.EPERM, StoreDenied),
        (errno.EROFS, StoreDenied),
        (errno.ENOLCK, StoreDenied),
        (errno.EIO, StoreUnreachable),
        (errno.ESTALE, StoreUnreachable),
        (errno.ETIMEDOUT, StoreUnreachable),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "open"])
def test_what_the_system_refuses_is_named_and_nothing_changes(
    local_store: LocalStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error: type[Exception],
    call: str,
) -> None:
    local_store.put("a", b"old")
    version = local_store.read("a").version
    source = tmp_path / "source"
    source.write_bytes(b"new")
    with monkeypatch.context() as patch:
        # Injected, because these states of a disk cannot be made without special rights.
        patch.setattr(store_files.os, call, raising(number))
        for attempt in (
            lambda: local_store.put("a", b"new"),
            lambda: local_store.put_if("a", b"new", version),
            lambda: local_store.upload(source, "a"),
            lambda: local_store.copy("a", "b"),
            lambda: local_store.download("a", tmp_path / "copy"),
        ):
            with pytest.raises(error, match=os.strerror(number)):
                attempt()

    assert local_store.read("a").body == b"old"
    assert [name for name in files_below(tmp_path) if name != "store/.slipway-lock"] == ["source", "store/a"]


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """On a 256 KiB file system of our own, where the system lets us mount one."""
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    small = tmp_path / "small"
    small.mkdir()
    script = f'mount -t tmpfs -o size=256k tmpfs "{small}"'
    try:
        subprocess.run([*mount, script], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system lets nobody mount a small file system; the injected faults cover the mapping")
    environment = os.environ | {"PYTHONPATH": str(Path(store_files.__file__).parents[2])}
    run = f'{script} && exec "{sys.executable}" -c "$PROGRAM" "{small}/store" "{tmp_path}/large"'
    done = subprocess.run(
        [*mount, run], env=environment | {"PROGRAM": FILL_A_SMALL_DISK}, capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stderr


def test_a_swap_whose_durability_is_unconfirmed_is_unknown(
    local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = local_store.put_if("a", b"old", None)
    monkeypatch.setattr("slipway.storage.local.sync_folder", raising(errno.EIO))

    with pytest.raises(StateUnknown, match="read the object again"):
        local_store.put_if("a", b"new", version)
    assert local_store.read("a").body == b"new"


def test_a_lost_swap_leaves_no_trace(local_store: LocalStore, tmp_path: Path) -> None:
    local_store.put("a", b"old")

    with pytest.raises(ConflictError):
        local_store.put_if("a", b"new", "some other version")
    assert files_below(tmp_path / "store") == [".slipway-lock", "a"]


def test_a_root_below_a_file_is_denied(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")

    with pytest.raises(StoreDenied, match="a file stands where a folder is needed"):
        LocalStore(tmp_path / "file" / "store").put("a", b"x")


def test_an_object_cannot_take_the_place_of_a_folder(local_store: LocalStore) -> None:
    local_store.put("a/b", b"x")

    with pytest.raises(StoreDenied, match="a file stands where a folder is needed"):
        local_store.put("a", b"x")
    with pytest.raises(StoreDenied):
        local_store.put("a/b/c", b"x")
    assert [info.key for info in local_store.list()] == ["a/b"]


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_folder_without_rights_is_denied(local_store: LocalStore, tmp_path: Path) -> None:
    local_store.put("a", b"x")
    (tmp_path / "store").chmod(0o500)
    try:
        with pytest.raises(StoreDenied, match="right to read and write"):
            local_store.put("b", b"x")
    finally:
        (tmp_path / "store").chmod(0o700)


def test_too_deep_a_path_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shorter"):
        LocalStore(tmp_path / ("r" * 256)).put("a", b"x")


def test_local_path_is_the_object_itself(local_store: LocalStore, tmp_path: Path) -> None:
    local_store.put("a/b", b"x")

    assert local_store.local_path("a/b") == tmp_path / "store" / "a" / "b"
    assert local_store.local_path("a/b").read_bytes() == b"x"


def test_a_copy_shares_no_bytes_with_its_source(local_store: LocalStore) -> None:
    local_store.put("a", b"x")
    local_store.copy("a", "b")

    assert local_store.local_path("a").stat().st_ino != local_store.local_path("b").stat().st_ino


def test_others_may_read_what_the_umask_allows(local_store: LocalStore) -> None:
    before = os.umask(0o022)
    try:
        local_store.put("a", b"x")
    finally:
        os.umask(before)

    assert local_store.local_path("a").stat().st_mode & 0o777 == 0o644


def test_a_listing_survives_deletions_and_dead_links(local_store: LocalStore, tmp_path: Path) -> None:
    for number in range(3):
        local_store.put(f"folder{number}/a", b"x")
    (tmp_path / "store" / "dangling").symlink_to(tmp_path / "nowhere")
    listing = local_store.list()
    first = next(listing)
    local_store.delete("folder1/a")
    (tmp_path / "store" / "folder2" / "a").unlink()
    (tmp_path / "store" / "folder2").rmdir()

    assert [first.key, *(info.key for info in listing)] == ["folder0/a"]


def test_the_locks_of_conditional_writes_are_no_killed_writes(local_store: LocalStore, tmp_path: Path) -> None:
    local_store.put_if("folder/pointer", b"one", None)

    assert list(local_store.abandoned(datetime(2200, 1, 1, tzinfo=UTC))) == []
    assert files_below(tmp_path / "store") == ["folder/.slipway-lock", "folder/pointer"]
