import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway import layout, serving
from slipway.errors import CorruptObject, StoreDenied, StoreUnreachable
from slipway.index import artifact
from slipway.manifest import Manifest, load
from slipway.pointer import read_serving
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.serving.cache import UNUSED_SECONDS, Cache, default_cache, folder_of
from slipway.serving.reader import Reader
from slipway.storage import LocalStore
from slipway.storage.s3 import S3Store
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, again, publish, unit_vectors
from tests.support.s3_server import make_test_client
from tests.support.shifts import offer, promote, sealed

QUERY = unit_vectors(1, seed=5)[0]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def run(store: MemoryStore, tmp_path: Path) -> Run:
    made = a_run(store, tmp_path / "scratch")
    publish(made, seed=1)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def live(run: Run) -> Manifest:
    slot = read_serving(run.store)[0].live_release
    assert slot is not None
    return load(run.store, layout.release(slot.release_id))


def kept_releases(folder: Path) -> set[str]:
    return {path.name for path in (folder / "releases").iterdir()}


def let_pass(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def seed_of(reader: Reader) -> str:
    return reader.search(QUERY, 1)[0].document_id.split("-")[0]


def test_two_stores_never_share_a_folder(tmp_path: Path) -> None:
    here, there = (make_test_client(f"http://127.0.0.1:{port}") for port in (9000, 9001))
    prod, staging = (S3Store(f"s3://{bucket}/indexes/docs", client=here) for bucket in ("prod", "staging"))
    elsewhere = S3Store("s3://prod/indexes/docs", client=there)
    folders = [folder_of(tmp_path, store) for store in (prod, staging, elsewhere)]
    assert len(set(folders)) == 3
    assert {folder.parent for folder in folders} == {tmp_path / "docs"}
    assert folder_of(tmp_path, S3Store("s3://prod/indexes/docs/", client=here)) == folders[0]


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLIPWAY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert default_cache() == Path("~/.cache/slipway").expanduser()
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert default_cache() == Path("/xdg/slipway")
    monkeypatch.setenv("SLIPWAY_CACHE", "~/mine")
    assert default_cache() == Path("~/mine").expanduser()


def test_what_is_there_and_sound_is_not_fetched_again(run: Run, store: MemoryStore, folder: Path) -> None:
    Reader(store, folder).close()
    before = [call for call in store.calls if call[0] == "download"]
    Reader(store, folder).close()
    assert [call for call in store.calls if call[0] == "download"] == before


def test_a_local_store_needs_no_copy(tmp_path: Path, folder: Path) -> None:
    run = a_run(LocalStore(tmp_path / "store"), tmp_path / "scratch")
    publish(run)
    Reader(run.store, folder).close()
    assert not folder.exists()


def test_a_damaged_download_never_gets_its_name(run: Run, store: MemoryStore, folder: Path) -> None:
    sealed_object = live(run).one(artifact.INDEX)
    store.put(sealed_object.key, b"x" * sealed_object.size_bytes)
    with pytest.raises(CorruptObject, match=r"index.faiss has SHA-256"):
        Cache(folder).fetch(store, sealed_object)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_file_is_replaced_and_never_written_to(run: Run, store: MemoryStore, folder: Path) -> None:
    sealed_object = live(run).one(artifact.DOCUMENTS)
    path = Cache(folder).fetch(store, sealed_object)
    path.write_bytes(b"damaged on this disk")
    with path.open("rb") as mapped:
        assert Cache(folder).fetch(store, sealed_object) == path
        assert mapped.read() == b"damaged on this disk"
    assert path.stat().st_size == sealed_object.size_bytes


def test_a_swap_removes_what_nobody_needs(run: Run, store: MemoryStore, folder: Path) -> None:
    reader = Reader(store, folder)
    first = reader.release.release_id
    releases = [sealed(run, seed) for seed in (2, 3, 4)]
    for release in releases:
        promote(store, release)
        reader.refresh()
    names = [first, *(release.release_id for release in releases)]
    assert kept_releases(folder) == set(names)  # all were held within the day
    for name in names:
        let_pass(folder / "releases" / name, UNUSED_SECONDS + 60)
    offer(store, sealed(run, 5), 10)
    reader.refresh()
    served = {reader.release.release_id, reader.trial.release_id if reader.trial else None}
    assert kept_releases(folder) == {*served, names[-2]}  # and the standby release


def test_what_another_process_held_within_the_day_stays(run: Run, store: MemoryStore, folder: Path) -> None:
    cache = Cache(folder)
    for name in ("of-today", "of-long-ago"):
        (folder / "releases" / name).mkdir(parents=True)
        let_pass(folder / "releases" / name, UNUSED_SECONDS + 60)
    cache.touch(["of-today", "of-a-local-store"])
    assert cache.evict([]) == ["of-long-ago"]
    assert kept_releases(folder) == {"of-today"}


def test_nothing_is_removed_while_another_loads(folder: Path) -> None:
    (folder / "releases" / "old").mkdir(parents=True)
    let_pass(folder / "releases" / "old", UNUSED_SECONDS + 60)
    with Cache(folder).in_use("new"), Cache(folder).in_use("another"):
        assert Cache(folder).evict([]) is None
    assert Cache(folder).evict([]) == ["old"]


def test_what_could_not_be_removed_while_another_loads_is_removed_at_a_later_poll(
    run: Run, store: MemoryStore, folder: Path
) -> None:
    (folder / "releases" / "old").mkdir(parents=True)
    let_pass(folder / "releases" / "old", UNUSED_SECONDS + 60)
    with Cache(folder).in_use("another"):
        reader = Reader(store, folder)
    assert "old" in kept_releases(folder)
    assert not reader.poll()
    assert "old" not in kept_releases(folder)


def test_a_polling_reader_keeps_what_it_holds(run: Run, store: MemoryStore, folder: Path) -> None:
    reader = Reader(store, folder)
    place = folder / "releases" / reader.release.release_id
    let_pass(place, UNUSED_SECONDS + 60)
    reader.poll()
    assert Cache(folder).evict([]) == []
    assert place.is_dir()


def test_downloads_of_killed_processes_are_removed_when_they_are_old(folder: Path) -> None:
    (folder / "releases").mkdir(parents=True)
    (folder / "partial").mkdir()
    for name, age in (("new", 60), ("old", UNUSED_SECONDS + 60)):
        (folder / "partial" / name).write_bytes(b"half")
        let_pass(folder / "partial" / name, age)
    Cache(folder).evict([])
    assert [path.name for path in (folder / "partial").iterdir()] == ["new"]


def test_a_cache_that_cannot_be_kept_in_order_is_told_and_hurts_nobody(
    run: Run, store: MemoryStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise StoreDenied("no right to remove")

    monkeypatch.setattr(Cache, "evict", denied)
    reader = Reader(store, folder)
    trouble = reader.metrics().cache_trouble
    assert trouble is not None and trouble.what == "no right to remove"
    monkeypatch.undo()
    reader.poll()
    assert reader.metrics().cache_trouble is None


def unreachable(store: MemoryStore, calls: int = 1) -> None:
    for _ in range(calls):
        store.fail_next("read", StoreUnreachable("the store did not answer"))


def test_a_reader_starts_without_the_store_on_what_was_live_last(run: Run, store: MemoryStore, folder: Path) -> None:
    Reader(store, folder).close()
    unreachable(store)
    reader = Reader(store, folder)
    assert seed_of(reader) == "seed1"
    metrics = reader.metrics()
    assert not metrics.is_confirmed
    assert metrics.store_trouble is not None and metrics.store_trouble.what == "the store did not answer"
    reader.poll()
    metrics = reader.metrics()
    assert (metrics.is_confirmed, metrics.store_trouble, metrics.loads) == (True, None, 1)
    publish(again(run, "run-2"), seed=2)
    reader.poll()
    assert seed_of(reader) == "seed2"


def test_it_starts_on_the_newest_that_was_served_and_not_on_a_trial(run: Run, store: MemoryStore, folder: Path) -> None:
    with Reader(store, folder) as reader:
        promote(store, sealed(run, 2))
        offer(store, sealed(run, 3), 100)
        reader.refresh()
    unreachable(store)
    reader = Reader(store, folder)
    assert (seed_of(reader), reader.trial, reader.metrics().generation) == ("seed2", None, 0)
    reader.poll()
    assert (seed_of(reader), reader.metrics().generation) == ("seed3", 3)


def test_a_download_that_fails_at_the_start_falls_back_as_well(run: Run, store: MemoryStore, folder: Path) -> None:
    Reader(store, folder).close()
    promote(store, sealed(run, 2))
    store.fail_next("download", StoreUnreachable("gone"))
    reader = Reader(store, folder)
    assert seed_of(reader) == "seed1"
    reader.poll()
    assert seed_of(reader) == "seed2"


def test_what_the_store_has_withdrawn_is_not_started_on(run: Run, store: MemoryStore, folder: Path) -> None:
    bad = sealed(run, 2)
    promote(store, bad)
    Reader(store, folder).close()
    roll_back(store, "tester", "finds nothing")
    store.fail_next("download", StoreUnreachable("gone"))
    with pytest.raises(StoreUnreachable, match=rf"release {bad.release_id} was withdrawn meanwhile: finds nothing"):
        Reader(store, folder)
    assert seed_of(Reader(store, folder)) == "seed1"


def test_what_the_store_has_said_is_not_forgotten_for_what_was_kept(run: Run, store: MemoryStore, folder: Path) -> None:
    Reader(store, folder).close()
    promote(store, sealed(run, 2))
    store.fail_next("download", StoreUnreachable("gone"))
    reader = Reader(store, folder)
    metrics = reader.metrics()
    assert (seed_of(reader), metrics.is_confirmed, metrics.generation) == ("seed1", True, 1)
    assert metrics.store_trouble is not None and metrics.store_trouble.what == "gone"
    seen = reader._following.pointer.serving
    assert seen is not None and seen.generation == 2
    unreachable(store)  # and still it knows where to go
    reader.poll()
    assert seed_of(reader) == "seed2"


@pytest.mark.parametrize("name", [artifact.INDEX, artifact.DOCUMENTS, artifact.SMOKE, "manifest.json", "serving.json"])
def test_a_damaged_copy_is_not_started_on(run: Run, store: MemoryStore, folder: Path, name: str) -> None:
    Reader(store, folder).close()
    path = next(folder.rglob(name))
    path.write_bytes(path.read_bytes()[:-2] + b"~}")
    unreachable(store)
    with pytest.raises(StoreUnreachable, match=r"did not answer; the copy in .* cannot be served either: "):
        Reader(store, folder)


@pytest.mark.parametrize("error", [StoreDenied("no"), CorruptObject("damaged")])
def test_only_a_silent_store_is_started_without(run: Run, store: MemoryStore, folder: Path, error: Exception) -> None:
    Reader(store, folder).close()
    store.fail_next("read", error)
    with pytest.raises(type(error)):
        Reader(store, folder)


def test_without_a_copy_there_is_nothing_to_start_on(run: Run, store: MemoryStore, folder: Path) -> None:
    unreachable(store)
    with pytest.raises(StoreUnreachable):
        Reader(store, folder)


PROGRAM = """
import sys
import numpy as np
from slipway import serving
with serving.open(sys.argv[1], cache=sys.argv[2]) as reader:
    print(reader.search(np.eye(1, 16, dtype=np.float32)[0], 1)[0].document_id)
"""


def test_processes_share_a_cache(tmp_path: Path, s3_process: str) -> None:
    client = make_test_client(s3_process)
    client.create_bucket(Bucket="shared-cache")
    url = "s3://shared-cache/docs"
    publish(a_run(S3Store(url, client=client), tmp_path / "scratch"), seed=1)
    environment = os.environ | {
        "AWS_ENDPOINT_URL": s3_process,
        "AWS_ACCESS_KEY_ID": "testing-key-id",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONPATH": str(Path(serving.__file__).parents[2]),
    }
    command = [sys.executable, "-c", PROGRAM, url, str(tmp_path / "cache")]
    readers = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = {reader.communicate(timeout=120)[0].strip() for reader in readers}
    assert len(answers) == 1 and answers.pop().startswith("seed1-")
    assert [reader.returncode for reader in readers] == [0] * 4
    folder = folder_of(tmp_path / "cache", S3Store(url, client=client))
    assert list((folder / "partial").iterdir()) == []
