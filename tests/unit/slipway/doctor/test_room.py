"""Memory and disk: what is left is read from the system's own files, and compared with the largest collection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from slipway.doctor import Status, room
from slipway.doctor.room import Need
from slipway.index import artifact
from slipway.machine import Memory, disk_left, memory_left
from slipway.storage import LocalStore
from tests.support.memory_store import MemoryStore
from tests.support.releases import DIMENSION, a_candidate, a_run, publish

GIB = 1 << 30
NEED = Need("docs", 4 * GIB, 6 * GIB, remote=True)


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = {"proc/meminfo": "MemTotal: 16 kB\nMemAvailable:    8192 kB\nSwapFree: 1 kB\n"}


def test_without_a_limit_it_is_what_the_machine_says(tmp_path: Path) -> None:
    files = MEMINFO | {"proc/self/cgroup": "0::/user/app\n", "sys/fs/cgroup/user/app/memory.max": "max\n"}
    assert memory_left(written(tmp_path, files)) == Memory(8192 << 10, "the machine")


def test_the_narrowest_group_above_the_process_counts_and_its_page_cache_does_not(tmp_path: Path) -> None:
    files = MEMINFO | {
        "proc/self/cgroup": "0::/pod/app\n",
        "sys/fs/cgroup/pod/app/memory.max": "6000000\n",
        "sys/fs/cgroup/pod/app/memory.current": "1000000\n",
        "sys/fs/cgroup/pod/memory.max": "5000000\n",
        "sys/fs/cgroup/pod/memory.current": "3000000\n",
        "sys/fs/cgroup/pod/memory.stat": "anon 1\ninactive_file 500000\nactive_file 7\n",
    }
    assert memory_left(written(tmp_path, files)) == Memory(2_500_000, "the control group /pod")


def test_in_a_container_the_root_group_is_its_own(tmp_path: Path) -> None:
    files = MEMINFO | {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "4096\n"}
    assert memory_left(written(tmp_path, files)) == Memory(4096, "the control group /")


@pytest.mark.parametrize(("limit", "expected"), [("1000000", 400_000), (str((1 << 63) - 4096), 8192 << 10)])
def test_control_groups_of_the_first_version(limit: str, expected: int, tmp_path: Path) -> None:
    files = MEMINFO | {
        "sys/fs/cgroup/memory/memory.limit_in_bytes": limit,
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "700000",
        "sys/fs/cgroup/memory/memory.stat": "cache 5\ntotal_inactive_file 100000\n",
    }
    left = memory_left(written(tmp_path, files))
    assert left is not None and left.bytes == expected


def test_a_group_that_is_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/a\n",
        "sys/fs/cgroup/a/memory.max": "100",
        "sys/fs/cgroup/a/memory.current": "200",
    }
    assert memory_left(written(tmp_path, files)) == Memory(0, "the control group /a")


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    assert memory_left(tmp_path) is None
    assert room.memory(NEED, lambda: None).status is Status.SKIP


def test_this_machine_tells() -> None:
    left = memory_left()
    assert left is not None and left.bytes > 0


@pytest.mark.parametrize(
    ("left", "status"), [(7 * GIB, Status.FAIL), (9 * GIB, Status.WARN), (12 * GIB, Status.PASS), (0, Status.FAIL)]
)
def test_old_and_new_release_must_fit_in_memory(left: int, status: Status) -> None:
    found = room.memory(NEED, lambda: Memory(left, "the control group /pod"))
    assert found.status is status
    assert "docs takes 8.0 GiB to swap" in found.found and "(the control group /pod)" in found.found
    assert ("more memory" in found.todo) == (status is not Status.PASS)


def test_building_may_take_more_than_swapping() -> None:
    need = replace(NEED, build=20 * GIB)
    assert room.memory(need, lambda: Memory(10 * GIB, "the machine")).status is Status.FAIL


def test_before_anything_was_built_nothing_can_be_said() -> None:
    assert room.memory(None, lambda: Memory(GIB, "the machine")).status is Status.SKIP


def test_the_need_is_the_live_releases_or_the_newest_candidates(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path)
    assert room.need_of(run) is None
    candidate = a_candidate(run, count=50)
    sizes = {one.name: one.size_bytes for one in candidate.objects}
    loaded = sum(sizes[name] for name in (artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS))
    expected = Need("test", loaded, 4 * 50 * DIMENSION + sizes[artifact.INDEX], remote=True)
    assert room.need_of(run) == expected
    publish(run, 1, count=30)
    live = room.need_of(run)
    assert live is not None and live.release < expected.release
    local = a_run(LocalStore(tmp_path / "store"), tmp_path)
    publish(local)
    assert room.largest([None, live, expected, room.need_of(local)]) == expected
    assert room.largest([None]) is None


@pytest.mark.parametrize(
    ("free", "need", "status"),
    [
        (20 * GIB, NEED, Status.PASS),
        (9 * GIB, NEED, Status.WARN),
        (7 * GIB, NEED, Status.FAIL),
        (2 * GIB, None, Status.PASS),
        (GIB // 2, None, Status.FAIL),
    ],
)
def test_scratch_and_cache_must_have_room(
    free: int, need: Need | None, status: Status, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    asked: list[Path] = []

    def left(folder: Path) -> int:
        asked.append(folder)
        return free

    assert room.scratch_disk(need, left).status is status
    room.cache_disk(need, left)
    assert asked == [tmp_path / "scratch", tmp_path / "cache"]


@pytest.mark.parametrize(
    ("free", "status"), [(24 * GIB, Status.PASS), (17 * GIB, Status.WARN), (15 * GIB, Status.FAIL)]
)
def test_a_cache_takes_the_releases_of_a_day(free: int, status: Status) -> None:
    found = room.cache_disk(NEED, lambda _: free)
    assert (found.status, "16.0 GiB wanted" in found.found) == (status, True)


def test_readers_of_a_folder_need_no_cache() -> None:
    assert room.cache_disk(replace(NEED, remote=False)).status is Status.SKIP


def test_a_folder_that_is_not_there_yet_is_measured_where_it_will_be(tmp_path: Path) -> None:
    assert disk_left(tmp_path / "a" / "b") > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.NamedTemporaryFile", _denied)
    with pytest.raises(PermissionError):
        disk_left(tmp_path)


def _denied(**_options: object) -> object:
    raise PermissionError(13, "Permission denied", "/scratch")
