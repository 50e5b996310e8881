import gc
import json
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway import layout
from slipway.errors import (
    CorruptObject,
    DiskFull,
    InputError,
    OperationError,
    SlipwayError,
    StaleRead,
    StoreDenied,
    StoreUnreachable,
)
from slipway.index import artifact
from slipway.pointer import Slot, read_serving
from slipway.run import Run
from slipway.serving import following
from slipway.serving.reader import Reader
from slipway.serving.refusals import RETRY_SECONDS
from tests.support.clocks import Clock
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, again, publish, unit_vectors
from tests.support.shifts import offer, promote, sealed, take_back

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
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(run: Run, tmp_path: Path, clock: Clock) -> Reader:
    return Reader(run.store, tmp_path / "cache", clock=clock)


def seed_of(reader: Reader) -> str:
    (name,) = {hit.document_id.split("-")[0] for hit in reader.search(QUERY)}
    return name


def index_key(store: MemoryStore, release: Slot) -> str:
    return next(i.key for i in store.list(layout.release(release.release_id)) if i.key.endswith(artifact.INDEX))


def damage(store: MemoryStore, release: Slot) -> bytes:
    """Flip a bit of the release's index. Returns what it was."""
    key = index_key(store, release)
    body = store.read(key).body
    store.put(key, body[:-1] + bytes([body[-1] ^ 1]))
    return body


def downloads(store: MemoryStore, release: Slot) -> int:
    return store.calls.count(("download", index_key(store, release)))


def outside(folder: Path) -> set[Path]:
    """Everything below the folder but what is in the cache."""
    return {path for path in folder.rglob("*") if folder / "cache" not in path.parents}


def test_a_poll_takes_what_is_released(run: Run, reader: Reader) -> None:
    assert not reader.poll()
    promote(run.store, sealed(run, 2))
    assert reader.poll()
    assert seed_of(reader) == "seed2"
    assert not reader.poll()


def test_a_refused_release_leaves_the_old_one_and_is_told(run: Run, store: MemoryStore, reader: Reader) -> None:
    bad = sealed(run, 2)
    damage(store, bad)
    promote(store, bad)
    assert reader.poll()
    assert seed_of(reader) == "seed1"
    metrics = reader.metrics()
    assert metrics.generation == 2
    assert [one.release_id for one in metrics.refused] == [bad.release_id]
    assert metrics.last_refusal == metrics.refused[0]
    assert "index.faiss has SHA-256" in metrics.refused[0].why
    assert metrics.store_trouble is None


def test_a_refused_release_is_not_fetched_in_a_loop(run: Run, store: MemoryStore, reader: Reader, clock: Clock) -> None:
    bad = sealed(run, 2)
    whole = damage(store, bad)
    promote(store, bad)
    for _ in range(5):
        reader.poll()
    assert downloads(store, bad) == 1
    clock.pass_by(RETRY_SECONDS)
    reader.poll()
    assert downloads(store, bad) == 2
    store.put(index_key(store, bad), whole)
    assert not reader.poll()
    clock.pass_by(RETRY_SECONDS)
    assert reader.poll()
    assert seed_of(reader) == "seed2"
    assert reader.metrics().refused == ()
    assert reader.metrics().last_refusal is not None


def test_a_refused_release_is_tried_at_once_when_serving_json_changes_or_a_person_asks(
    run: Run, store: MemoryStore, reader: Reader
) -> None:
    bad = sealed(run, 2)
    damage(store, bad)
    offer(store, bad, 10)
    reader.poll()
    offer(store, bad, 20)
    reader.poll()
    assert downloads(store, bad) == 2
    with pytest.raises(CorruptObject):
        reader.refresh()
    assert downloads(store, bad) == 3


def test_a_refused_trial_does_not_hold_up_the_rest(run: Run, store: MemoryStore, reader: Reader) -> None:
    good, bad = sealed(run, 2), sealed(run, 3)
    damage(store, bad)
    promote(store, good)
    offer(store, bad, 100)
    reader.poll()
    assert seed_of(reader) == "seed2"
    metrics = reader.metrics()
    assert (metrics.trial, metrics.percent) == (None, 0)
    assert [one.release_id for one in metrics.refused] == [bad.release_id]
    take_back(store)
    reader.poll()
    assert reader.metrics().refused == ()


def test_a_refused_live_release_does_not_hold_up_the_trial(run: Run, store: MemoryStore, reader: Reader) -> None:
    bad, good = sealed(run, 2), sealed(run, 3)
    damage(store, bad)
    promote(store, bad)
    offer(store, good, 100)
    reader.poll()
    assert seed_of(reader) == "seed3"
    assert reader.release.release_id != bad.release_id
    take_back(store)
    reader.poll()
    assert seed_of(reader) == "seed1"


def test_a_trial_that_was_taken_back_stops_answering_before_anything_is_loaded(
    run: Run, store: MemoryStore, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(store, sealed(run, 2), 100)
    reader.poll()
    take_back(store)
    promote(store, sealed(run, 3))
    seen = []
    load = following.load_release

    def watching(*arguments: Any) -> Any:
        seen.append((reader.trial, seed_of(reader)))
        return load(*arguments)

    monkeypatch.setattr(following, "load_release", watching)
    reader.poll()
    assert seen == [(None, "seed1")]
    assert seed_of(reader) == "seed3"


@pytest.mark.parametrize("error", [StoreUnreachable("gone"), StoreDenied("no"), OSError("odd"), MemoryError()])
def test_a_store_that_fails_is_survived_and_told(
    run: Run, store: MemoryStore, reader: Reader, error: Exception
) -> None:
    promote(store, sealed(run, 2))
    for _ in range(2):
        store.fail_next("read", error)
        reader.poll()
    assert seed_of(reader) == "seed1"
    trouble = reader.metrics().store_trouble
    assert trouble is not None and trouble.what == (str(error) or repr(error))
    assert reader.poll()
    assert seed_of(reader) == "seed2"
    assert reader.metrics().store_trouble is None


def test_the_trouble_tells_since_when(store: MemoryStore, reader: Reader) -> None:
    seen = []
    for what in ("first", "second"):
        store.fail_next("read", StoreUnreachable(what))
        reader.poll()
        seen.append(reader.metrics().store_trouble)
    first, second = seen
    assert first is not None and second is not None
    assert (first.what, second.what, second.since) == ("first", "second", first.since)


def test_a_download_cut_short_by_the_network_is_tried_at_the_next_poll(
    run: Run, store: MemoryStore, reader: Reader
) -> None:
    second = sealed(run, 2)
    promote(store, second)
    store.fail_next("download", StoreUnreachable("gone"))
    reader.poll()
    metrics = reader.metrics()
    assert (metrics.generation, metrics.refused) == (1, ())  # it has not acted on it yet
    assert metrics.store_trouble is not None and metrics.store_trouble.what == "gone"
    reader.poll()
    assert (seed_of(reader), reader.metrics().generation) == ("seed2", 2)
    fetched = [key for method, key in store.calls if method == "download" and second.release_id in key]
    assert len(fetched) == len(set(fetched)) + 1  # what had arrived was not fetched again


@pytest.mark.parametrize("error", [DiskFull("full"), MemoryError(), RuntimeError("faiss"), KeyError("x")])
def test_whatever_fails_while_loading_the_old_release_stays(
    run: Run, store: MemoryStore, reader: Reader, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    promote(store, sealed(run, 2))

    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr("slipway.serving.loading.Searcher", failing)
    reader.poll()
    assert seed_of(reader) == "seed1"
    assert len(reader.metrics().refused) == 1
    with pytest.raises(SlipwayError) as caught:
        reader.refresh()
    assert type(caught.value) is {DiskFull: DiskFull, MemoryError: OperationError}.get(type(error), CorruptObject)


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b"null", b'{"schema": 2}', b"\xff"])
def test_a_damaged_serving_json_is_not_followed(store: MemoryStore, reader: Reader, body: bytes) -> None:
    before = store.read(layout.SERVING).body
    store.put(layout.SERVING, body)
    reader.poll()
    assert seed_of(reader) == "seed1"
    assert "not one that this version can read" in reader.metrics().store_trouble.what  # type: ignore[union-attr]
    store.put(layout.SERVING, before)
    reader.poll()
    assert reader.metrics().store_trouble is None


@pytest.mark.parametrize("with_trail", [True, False])
def test_a_serving_json_that_is_gone_is_not_followed(store: MemoryStore, reader: Reader, with_trail: bool) -> None:
    store.delete(layout.SERVING)
    if not with_trail:
        store.delete(layout.audit(1))
    with pytest.raises(CorruptObject, match=r"serving.json is"):
        reader.refresh()
    assert seed_of(reader) == "seed1"
    assert reader.metrics().store_trouble is not None


@pytest.mark.parametrize("field", ["release_id", "manifest_sha256"])
@pytest.mark.parametrize("value", [None, 5, ["x"], {}])
def test_a_serving_json_with_values_of_other_types_is_damaged(
    store: MemoryStore, reader: Reader, field: str, value: object
) -> None:
    raw = json.loads(store.read(layout.SERVING).body)
    raw["slots"][raw["live"]][field] = value
    store.put(layout.SERVING, json.dumps(raw).encode())
    with pytest.raises(CorruptObject):
        reader.refresh()
    assert seed_of(reader) == "seed1"


@pytest.mark.parametrize("release_id", ["../../escape", "/etc", "a/b", "", "\0", "x" * 300])
def test_a_release_id_that_is_no_place_is_refused(
    store: MemoryStore, reader: Reader, tmp_path: Path, release_id: str
) -> None:
    raw = json.loads(store.read(layout.SERVING).body)
    raw["slots"][raw["live"]]["release_id"] = release_id
    store.put(layout.SERVING, json.dumps(raw).encode())
    before = outside(tmp_path)
    with pytest.raises(SlipwayError):
        reader.refresh()
    assert seed_of(reader) == "seed1"
    assert outside(tmp_path) == before


def test_an_older_state_is_not_followed_backwards(run: Run, store: MemoryStore, reader: Reader) -> None:
    old = read_serving(store)[0]
    promote(store, sealed(run, 2))
    reader.poll()
    store.put(layout.SERVING, old.to_json())  # a bucket set back, or a stale replica
    with pytest.raises(StaleRead, match=r"generation 1 of .*older than generation 2 of"):
        reader.refresh()
    reader.poll()
    assert seed_of(reader) == "seed2"
    assert "is not followed" in reader.metrics().store_trouble.what  # type: ignore[union-attr]
    store.put(layout.SERVING, replace(old, at="2999-01-01T00:00:00+00:00", nonce="later").to_json())
    reader.poll()  # a change made to the store as it is now
    assert seed_of(reader) == "seed1"


def test_a_state_of_the_same_number_that_is_not_the_one_seen_is_followed_only_if_it_is_newer(
    run: Run, store: MemoryStore, reader: Reader
) -> None:
    promote(store, sealed(run, 2))
    reader.poll()
    seen, other = read_serving(store)[0], sealed(run, 3)
    twin = replace(seen.promoted(other.release_id, other.manifest_sha256), nonce="another", at=seen.at)
    store.put(layout.SERVING, twin.to_json())
    reader.poll()
    assert seed_of(reader) == "seed2"
    store.put(layout.SERVING, replace(twin, at="2999-01-01T00:00:00+00:00").to_json())
    reader.poll()
    assert seed_of(reader) == "seed3"


def test_what_is_no_longer_served_is_let_go_when_its_last_search_ends(
    run: Run, store: MemoryStore, reader: Reader
) -> None:
    served = reader._following.served
    assert served is not None
    first = weakref.ref(served.live.loaded)
    promote(store, sealed(run, 2))
    reader.poll()
    gc.collect()
    assert first() is not None  # by the search that took it
    assert served.search(QUERY[None, :], 1, None)[0][0].document_id.startswith("seed1")
    del served
    gc.collect()
    assert first() is None


def test_a_closed_reader_says_so_and_a_load_under_way_does_not_open_it_again(
    run: Run, store: MemoryStore, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(store, sealed(run, 2))
    load = following.load_release

    def closing(*arguments: Any) -> Any:
        reader.close()
        return load(*arguments)

    monkeypatch.setattr(following, "load_release", closing)
    reader.poll()
    for call in (lambda: reader.search(QUERY), lambda: reader.search("a"), reader.refresh, reader.metrics):
        with pytest.raises(InputError, match="this reader is closed; open another one"):
            call()
    with pytest.raises(InputError):
        _ = reader.release
    assert not reader.poll()
    reader.close()


@pytest.mark.parametrize("follow", [0, -1, float("nan"), float("inf")])
def test_follow_must_be_a_time(run: Run, tmp_path: Path, follow: float) -> None:
    with pytest.raises(InputError, match="number of seconds between two looks"):
        Reader(run.store, tmp_path / "cache", follow=follow)


def test_a_reader_follows_or_stays(run: Run, tmp_path: Path) -> None:
    live = read_serving(run.store)[0].live_release
    assert live is not None
    with pytest.raises(InputError, match="either follows or stays"):
        Reader(run.store, tmp_path / "cache", live.release_id, follow=1)
    reader = Reader(run.store, tmp_path / "cache", live.release_id)
    publish(again(run, "run-2"), seed=2)
    assert not reader.poll()
    assert reader.metrics().generation == 0


def test_a_thread_follows_by_itself(run: Run, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with Reader(run.store, tmp_path / "cache", follow=0.01) as reader:
        came = threading.Event()
        poll = reader._following.poll

        def watched() -> bool:
            changed = poll()
            if changed:
                came.set()
            return changed

        reader._following.poll = watched  # type: ignore[method-assign]
        promote(run.store, sealed(run, 2))
        assert came.wait(30)
        assert seed_of(reader) == "seed2"
    assert set(threading.enumerate()) <= before
