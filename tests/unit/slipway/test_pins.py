"""Pins: who keeps which release, and that nothing else can be pinned. What they keep is tested with retention."""

from pathlib import Path

import pytest

from slipway import layout
from slipway.errors import CorruptObject, InputError, ReleaseRefused
from slipway.manifest import MANIFEST
from slipway.pins import Pin, list_pins, pin, unpin
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, publish


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def release(store: MemoryStore, tmp_path: Path) -> str:
    return publish(a_run(store, tmp_path)).release_id


def test_a_pin_is_listed_with_who_and_why(store: MemoryStore, release: str) -> None:
    made = pin(store, release, "ann", "for the auditors")
    assert list_pins(store) == {release: made}
    assert (made.who, made.why, made.at[-6:]) == ("ann", "for the auditors", "+00:00")


def test_pinned_again_it_says_the_newer_reason(store: MemoryStore, release: str) -> None:
    pin(store, release, "ann", "for the auditors")
    pin(store, release, "bob", "to compare")
    assert [(one.who, one.why) for one in list_pins(store).values()] == [("bob", "to compare")]


def test_unpinned_it_is_gone_from_the_list(store: MemoryStore, release: str) -> None:
    pin(store, release, "ann", "for the auditors")
    unpin(store, release)
    assert list_pins(store) == {}
    with pytest.raises(InputError, match=f"release {release} is not pinned"):
        unpin(store, release)


def test_a_pin_needs_a_reason(store: MemoryStore, release: str) -> None:
    with pytest.raises(InputError, match="needs a reason"):
        pin(store, release, "ann", " ")


def test_what_is_not_there_or_not_whole_cannot_be_pinned(store: MemoryStore, release: str) -> None:
    with pytest.raises(ReleaseRefused, match="there is no release 2020-nothing"):
        pin(store, "2020-nothing", "ann", "because")
    store.delete(f"{layout.release(release)}/{MANIFEST}")
    with pytest.raises(ReleaseRefused, match="is not whole"):
        pin(store, release, "ann", "because")
    assert list_pins(store) == {}


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"schema": 9}', b'{"schema": 1, "who": "ann"}', b"[" * 100_000])
def test_bad_input_a_pin_that_cannot_be_read_pins_as_well(store: MemoryStore, release: str, body: bytes) -> None:
    store.put(layout.pin(release), body)
    with pytest.raises(CorruptObject):
        Pin.from_json(body, layout.pin(release))
    assert "pins/" in list_pins(store)[release].why


def test_other_objects_there_are_no_pins(store: MemoryStore, release: str) -> None:
    store.put(f"{layout.PINS}readme.txt", b"x")
    assert list_pins(store) == {}
