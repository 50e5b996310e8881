"""The release protocol under faults, in the short form of `make attack`, and that a broken one is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway import layout, manifest, pointer, rollback
from slipway.errors import SlipwayError, StoreUnreachable
from slipway.pointer import read_serving
from slipway.serving.loading import Whole, manifest_sum, read_release_manifest
from slipway.stages import release as release_stage
from slipway.storage.base import ObjectStore
from tests.support.actors import CANDIDATES, SHARES, Collection, assert_sound
from tests.support.faulty_store import Event, Fault, FaultyStore, Overtaken
from tests.support.protocol import ReleaseProtocol, run_sequences


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return Collection(tmp_path)


def act(
    collection: Collection, name: str, *arguments: Any, script: dict[int, Event] | None = None, **options: Any
) -> str | None:
    store = collection.world.view(script, **options)
    return collection.act(lambda: getattr(collection, name)(store, *arguments))


def night(collection: Collection, candidate: int) -> None:
    assert act(collection, "begin", candidate, []) is None
    assert act(collection, "release", len(collection.nights) - 1) is None


def test_no_sequence_leaves_serving_json_naming_what_is_not_whole(tmp_path: Path) -> None:
    before = ReleaseProtocol.finished
    run_sequences(40, 7, tmp_path)
    assert ReleaseProtocol.finished >= before + 40


def test_a_night_a_shift_a_rollback_and_retention_without_faults(collection: Collection) -> None:
    for candidate in range(CANDIDATES):
        act(collection, "begin", candidate, SHARES)
        act(collection, "refresh")
        assert act(collection, "release", candidate) is None
    assert [one["changed"]["action"] for one in pointer.audit_trail(collection.store)].count("shift") == 6
    assert act(collection, "roll_back", None) is None
    assert act(collection, "retain") is None
    assert_sound(collection)
    assert len({info.key.split("/")[1] for info in collection.store.list(layout.RELEASES)}) < CANDIDATES


def test_a_stale_run_never_wins(collection: Collection) -> None:
    act(collection, "begin", 0, [])
    night(collection, 1)
    refused = act(collection, "release", 0)
    assert refused and "this run is stale" in refused
    assert_sound(collection)


def test_a_held_swap_that_lands_late_and_the_retry_that_came_before_it(collection: Collection) -> None:
    night(collection, 0)
    act(collection, "begin", 1, [])
    assert "StateUnknown" in (act(collection, "release", 1, conditional={2: Fault.HELD}) or "")
    assert read_serving(collection.store)[0].generation == 1
    assert act(collection, "release", 1) is None
    collection.world.land(0)
    assert read_serving(collection.store)[0].generation == 2
    assert_sound(collection)


def test_a_release_that_landed_and_was_overtaken_is_told_as_released(collection: Collection) -> None:
    night(collection, 0)
    act(collection, "begin", 1, [])
    overtaken = Overtaken(lambda: act(collection, "roll_back", None) and None)

    assert act(collection, "release", 1, conditional={2: overtaken}) is None
    actions = [one["changed"]["action"] for one in pointer.audit_trail(collection.store)]
    assert actions == ["release", "release", "rollback"]
    assert_sound(collection)


@pytest.mark.parametrize("fault", list(Fault))
def test_every_call_of_a_release_may_go_wrong_in_every_way(tmp_path: Path, fault: Fault) -> None:
    for number in range(calls_of_a_release(tmp_path)):
        collection = Collection(tmp_path)
        night(collection, 0)
        act(collection, "begin", 1, [])
        act(collection, "release", 1, script={number: fault})
        assert_sound(collection)
        act(collection, "release", 1)  # the retry
        collection.world.land(0)
        assert_sound(collection)
        live = read_serving(collection.store)[0].live_release
        assert live and live.candidate == list_candidates(collection)[1], number


def three_nights(scratch: Path) -> Collection:
    """Three releases, of which retention keeps two."""
    collection = Collection(scratch)
    for candidate in range(3):
        night(collection, candidate)
    return collection


def rollback_in_the_middle_of_retention(scratch: Path, at: int) -> Collection:
    """A rollback to the oldest release, which goes, before one of retention's calls."""
    collection = three_nights(scratch)
    oldest = pointer.audit_trail(collection.store)[0]["changed"]["to_release"]
    released = sorted({info.key.split("/")[1] for info in collection.store.list(layout.RELEASES)})
    act(collection, "retain", script={at: lambda: act(collection, "roll_back", released.index(oldest)) and None})
    return collection


def test_retention_and_a_rollback_to_what_it_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = three_nights(tmp_path)
    store = collection.world.view()
    collection.retain(store)
    assert len({info.key.split("/")[1] for info in collection.store.list(layout.RELEASES)}) == 2
    for at in range(store._calls):
        assert_sound(rollback_in_the_middle_of_retention(tmp_path, at))
    monkeypatch.setattr(pointer, "_check_none_retired", lambda *_: None)
    broken = []
    for at in range(store._calls):
        try:
            assert_sound(rollback_in_the_middle_of_retention(tmp_path, at))
        except (AssertionError, SlipwayError):
            broken.append(at)
    assert broken, "a rollback to what is being removed is not found"


def calls_of_a_release(scratch: Path) -> int:
    collection = Collection(scratch)
    night(collection, 0)
    act(collection, "begin", 1, [])
    store = collection.world.view()
    collection.release(store, 1)
    return store._calls


def list_candidates(collection: Collection) -> list[str]:
    from tests.support.actors import _made

    return [candidate.place for candidate, _ in _made(collection.scratch)]


def swap_without_comparing(self: FaultyStore, key: str, body: bytes, expected: str | None) -> str:
    self._world.inner.put(key, body)
    self._world.wrote(key)
    return self._world.inner.read(key).version


def swallow(copy: Callable[..., Any]) -> Callable[..., Any]:
    """A copy whose failure nobody hears of."""

    def add_copy(draft: manifest.Draft, source: manifest.SealedObject) -> None:
        try:
            copy(draft, source)
        except StoreUnreachable:
            key = f"{draft.place}/{draft.attempt}/{source.name}"
            draft.objects.append(manifest.SealedObject(source.name, key, source.sha256, source.size_bytes))

    return add_copy


def read_only(store: ObjectStore, release_id: str) -> Whole:
    """A release of which only the manifest was looked at."""
    return Whole(read_release_manifest(store, release_id), manifest_sum(store, release_id))


BREAKS: dict[str, list[tuple[Any, str, Any]]] = {
    "stale runs may swap": [(release_stage, "_check_generation", lambda *_: None)],
    "no audit record is made up for": [(pointer, "_record", lambda *_: None)],
    "half a release is sealed": [
        (manifest.Draft, "add_copy", swallow(manifest.Draft.add_copy)),
        (release_stage, "_read_back", lambda *_: None),
    ],
    "a rollback does not look": [
        (rollback, "check_whole", lambda store, name, *_: read_only(store, name)),
    ],
}


def test_a_swap_that_compares_nothing_is_found(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    night(collection, 0)
    act(collection, "begin", 1, [])
    act(collection, "begin", 2, [])
    monkeypatch.setattr(FaultyStore, "_put_if", swap_without_comparing)
    act(collection, "release", 1, conditional={2: lambda: act(collection, "release", 2) and None})
    with pytest.raises(AssertionError):
        assert_sound(collection)


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_protocol_is_found(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name, instead in BREAKS[broken]:
        monkeypatch.setattr(owner, name, instead)
    with pytest.raises((AssertionError, SlipwayError)):
        run_sequences(600, 3, tmp_path, shrink=False)
