"""An old serving.json that somebody put back: no change goes on from it, and nothing that was changed is forgotten."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slipway import layout, pointer
from slipway.errors import CorruptObject, ReleaseRefused
from slipway.pointer import Change, audit_trail, read_serving, swap_serving
from slipway.recover import Lost, recover, sound_or_lost
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.storage.base import ObjectInfo
from slipway.verification import verify
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, again, publish

CHANGE = Change("release", "ada", "a night")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path / "scratch")


@pytest.fixture
def nights(run: Run) -> list[str]:
    return [publish(again(run, f"night-{seed}"), seed).release_id for seed in range(4)]


def releases(store: MemoryStore) -> list[str]:
    return [one["changed"]["to_release"] for one in audit_trail(store)]


def set_back(run: Run, generation: int) -> bytes:
    body = run.store.read(layout.audit(generation)).body
    run.store.put(layout.SERVING, body)
    return body


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_no_change_goes_on_from_a_state_that_was_set_back(generation: int, run: Run, nights: list[str]) -> None:
    body = set_back(run, generation)
    for change in (
        lambda: publish(again(run, "night-9"), 9),
        lambda: roll_back(run.store, "ada", "worse"),
        lambda: swap_serving(run.store, CHANGE, lambda now: now.promoted("z", "s")),
    ):
        with pytest.raises(CorruptObject, match=rf"at generation {generation}, .* set it back.*slipway recover"):
            change()
    assert run.store.read(layout.SERVING).body == body
    assert releases(run.store) == nights

    done = recover(run.store, "ada", "an old one was put back")
    assert (done.live, done.record, done.generation) == (nights[3], 4, 5)
    assert publish(again(run, "night-9"), 9).released
    assert [one["generation"] for one in audit_trail(run.store)] == [1, 2, 3, 4, 5, 6]


def test_somebody_who_is_first_is_no_sign_of_a_state_that_was_set_back() -> None:
    class Overtaken(MemoryStore):
        """A store where another change lands between the state and the look at the trail."""

        def exists(self, key: str) -> bool:
            if key == layout.audit(2):
                other = MemoryStore(_shared=self._shared)
                swap_serving(other, CHANGE, lambda now: now.promoted("theirs", "s"))
            return super().exists(key)

    store = Overtaken()
    swap_serving(store, CHANGE, lambda now: now.promoted("first", "s"))
    with pytest.raises(ReleaseRefused, match="changed by somebody else at the same moment; nothing was changed"):
        swap_serving(store, CHANGE, lambda now: now.promoted("ours", "s"))
    assert releases(store) == ["first", "theirs"]


def swapped_after_it_was_set_back(run: Run, generation: int) -> None:
    """A change that was made of a state which was set back between the look at the trail and the swap."""
    live, _ = read_serving(run.store)
    old = run.store.read(layout.audit(generation))
    run.store.put(layout.SERVING, old.body)
    state, version = read_serving(run.store)
    made = replace(state.promoted("z", "s"), generation=generation + 1, changed=CHANGE, at="2026-02-03", nonce="z")
    pointer.write_state(run.store, made, version, "release")
    assert live.generation > generation


@pytest.mark.parametrize("generation", [1, 3])
def test_a_swap_that_landed_on_one_is_told_and_outlived(
    generation: int, run: Run, nights: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "slipway.pointer"):
        swapped_after_it_was_set_back(run, generation)
    (told,) = caplog.messages
    assert "this release is done, and has no record" in told

    with pytest.raises(CorruptObject, match="slipway recover"):
        swap_serving(run.store, CHANGE, lambda now: now.promoted("y", "s"))
    found = sound_or_lost(run.store)
    assert isinstance(found, Lost)
    assert found.unrecorded is not None

    done = recover(run.store, "ada", "set back")
    assert (done.live, done.record, done.generation) == (nights[3], 4, 5)
    said = f"a release by ada at 2026-02-03, to generation {generation + 1} with z live, has no record and is left out"
    assert said in done.notes
    assert audit_trail(run.store)[-1]["changed"]["why"] == f"set back ({said})"
    assert sound_or_lost(run.store) == read_serving(run.store)[0]


def test_one_that_goes_on_to_the_trails_newest_generation_is_still_seen(run: Run, nights: list[str]) -> None:
    swapped_after_it_was_set_back(run, 3)
    assert read_serving(run.store)[0].generation == 4
    with pytest.raises(CorruptObject, match=r"generation 4 of serving.json is not the one that audit/00000004.json"):
        swap_serving(run.store, CHANGE, lambda now: now.promoted("y", "s"))


def test_a_damaged_record_keeps_nobody_from_rolling_back(run: Run, nights: list[str]) -> None:
    run.store.put(layout.audit(4), b"{half")
    after = roll_back(run.store, "ada", "worse")
    assert after.live_release is not None
    assert after.live_release.release_id == nights[2]


def test_a_release_while_verify_looks_is_no_damage(run: Run, nights: list[str], tmp_path: Path) -> None:
    class Busy(MemoryStore):
        """A store where a night ends at each look at the trail, before and after it."""

        nights = 0

        def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
            if prefix == layout.AUDIT:
                self._night()
                found = super().list(prefix)
                self._night()
                return found
            return super().list(prefix)

        def _night(self) -> None:
            Busy.nights += 1
            other = MemoryStore(_shared=self._shared)
            publish(again(replace(run, store=other), f"late-{Busy.nights}"), 10 + Busy.nights % 2)

    assert isinstance(run.store, MemoryStore)
    found = verify(Busy(_shared=run.store._shared), tmp_path / "scrub")
    assert (found.serving, Busy.nights >= 2) == (None, True)
