"""Retention that is killed, or meets rollbacks, pins, readers and another retention: nothing named ever goes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway import acknowledgement, layout
from slipway.errors import ReleaseRefused, SlipwayError
from slipway.pins import list_pins, pin
from slipway.pointer import read_serving
from slipway.rollback import roll_back
from slipway.serving.loading import check_whole
from tests.support.crashing_store import CrashingStore, Killed
from tests.support.faulty_store import World
from tests.support.releases import again, publish
from tests.support.retaining import Shop, assert_sound, places_of, reader_says

Meeting = Callable[[Shop], object]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def changes_of_retention(shop: Shop) -> int:
    """How many writes a whole retention makes."""
    store = shop.clone()
    before = len(store.store.calls)
    store.retain()
    return sum(method in ("put", "put_if", "delete") for method, _ in store.store.calls[before:])


@pytest.mark.parametrize("landed", [False, True])
def test_killed_at_any_write_it_is_finished_by_the_next(template: Shop, landed: bool) -> None:
    whole = template.clone()
    whole.retain()
    changes, killed = changes_of_retention(template), 0
    for number in range(changes):
        shop = template.clone()
        shop.store.die_at, shop.store.landed = number, landed
        try:
            shop.retain()
        except Killed:
            killed += 1
        assert_sound(shop.store)
        assert set(shop.names[3:]) <= places_of(shop.store)
        shop.retain()
        assert_sound(shop.store)
        assert places_of(shop.store) == places_of(whole.store), number
        assert read_serving(shop.store)[0].retired == {}
    assert killed >= changes - 2  # a record that is there already is refused before it can kill


def meet(template: Shop, at: int, other: Meeting) -> tuple[Shop, list[str]]:
    """A retention in the middle of which, before its call numbered `at`, somebody else acts; what either was told."""
    shop, told = template.clone(), []
    world, inner = World(shop.store), shop.store

    def act(what: Callable[[], object]) -> None:
        try:
            what()
        except SlipwayError as error:
            told.append(str(error))

    def meanwhile() -> None:
        beside = template.clone()
        beside.store = inner
        act(lambda: other(beside))

    shop.store = world.view({at: meanwhile})  # type: ignore[assignment]
    act(shop.retain)
    calls = shop.store._calls  # type: ignore[attr-defined]
    shop.store = inner
    return shop, told if at < calls else ["over"]


def until_over(template: Shop, other: Meeting) -> list[tuple[Shop, list[str]]]:
    """The meeting at each of retention's calls."""
    met = []
    for at in range(1000):
        shop, told = meet(template, at, other)
        if told == ["over"]:
            assert met, "nobody met"
            return met
        assert_sound(shop.store)
        met.append((shop, told))
    raise AssertionError("retention does not end")


def test_a_rollback_to_what_it_removes_wins_or_is_refused(template: Shop) -> None:
    old = template.names[0]
    fates = set()
    for shop, _ in until_over(template, lambda shop: roll_back(shop.store, "ann", "worse", old)):
        won = read_serving(shop.store)[0].named.get(old) is not None
        fates.add(won)
        shop.retain()
        assert (old in places_of(shop.store)) == won
        assert_sound(shop.store)
    assert fates == {True, False}


def test_a_pin_wins_or_is_refused(template: Shop) -> None:
    old = template.names[0]
    fates = set()
    for shop, told in until_over(template, lambda shop: pin(shop.store, old, "ann", "for the auditors")):
        pinned = old in list_pins(shop.store)
        assert pinned or told
        fates.add(pinned)
        shop.retain()
        if pinned:
            check_whole(shop.store, old)
    assert fates == {True, False}


def test_a_reader_that_speaks_between_the_mark_and_the_removal_keeps_its_release(template: Shop) -> None:
    old = template.names[1]
    kept = marked = 0
    for shop, _ in until_over(template, lambda shop: reader_says(shop.store, "web-1", old, live=old)):
        if old in places_of(shop.store):
            check_whole(shop.store, old)
            kept += 1
            marked += old in read_serving(shop.store)[0].retired
            acknowledgement.withdraw(shop.store, "web-1")
            shop.retain()
            assert places_of(shop.store) == set(shop.names[3:])
    assert kept > marked > 0  # one that was marked before waits, and goes when it is let go


def test_two_retentions_at_once_remove_what_one_removes(template: Shop) -> None:
    for shop, _ in until_over(template, Shop.retain):
        shop.retain()
        assert places_of(shop.store) == set(shop.names[3:])
        assert read_serving(shop.store)[0].retired == {}


def test_a_retention_that_was_suspended_removes_nothing_that_went_live_since(template: Shop) -> None:
    """It lost its lease; a reader that was cut off is heard again, a second retention sees that, somebody goes back."""
    old = template.names[1]

    def meanwhile(shop: Shop) -> None:
        reader_says(shop.store, "web-1", old, live=old)
        shop.retain()
        roll_back(shop.store, "ann", "worse", old)

    fates = {old in read_serving(shop.store)[0].named for shop, _ in until_over(template, meanwhile)}
    assert fates == {True, False}


def test_a_release_in_the_middle_of_it_is_made_or_refused(template: Shop) -> None:
    """A run that lost its lease, and makes again what retention removes: the candidate is there still."""

    def night(shop: Shop) -> None:
        publish(again(shop.run, "late"), 0, count=12)

    for shop, _ in until_over(template, night):
        shop.retain()
        assert_sound(shop.store)


@pytest.mark.parametrize("what", ["rollback", "pin"])
def test_what_is_marked_cannot_come_back(template: Shop, what: str) -> None:
    shop = template.clone()
    shop.store.die_at_write_of(layout.SERVING, 0, landed=True)
    with pytest.raises(Killed):
        shop.retain()
    act = {
        "rollback": partial(roll_back, shop.store, "ann", "worse", shop.names[0]),
        "pin": partial(pin, shop.store, shop.names[0], "ann", "for the auditors"),
    }[what]
    with pytest.raises(ReleaseRefused, match="is being removed by retention since"):
        act()
    assert list_pins(shop.store) == {}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["retain", "roll back", "release", "pin", "unpin", "reader"]),
        st.integers(0, 7),
        st.none() | st.tuples(st.integers(0, 30), st.booleans()),
    ),
    min_size=3,
    max_size=12,
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_serving_json_names_whole_releases_only(
    template: Shop, steps: list[tuple[str, int, tuple[int, bool] | None]]
) -> None:
    shop = template.clone()
    for step, number, dies in steps:
        shop.store.die_at, shop.store.landed = dies if dies else (None, False)
        with suppress(SlipwayError, Killed):  # what counts is what it left
            play(shop, step, number)
        shop.store.die_at = None
        assert_sound(shop.store)
        for name in list_pins(shop.store).keys() & places_of(shop.store):
            if name not in read_serving(shop.store)[0].retired:
                check_whole(shop.store, name)


def play(shop: Shop, step: str, number: int) -> None:
    store: CrashingStore = shop.store
    name = shop.names[number % len(shop.names)]
    if step == "retain":
        shop.retain()
    elif step == "roll back":
        roll_back(store, "ann", "worse", name)
    elif step == "release":
        publish(again(shop.run, f"night-{len(store.calls)}"), number, count=12)
    elif step == "pin":
        pin(store, name, "ann", "for the auditors")
    elif step == "unpin":
        store.delete(layout.pin(name))
    else:
        reader_says(store, f"web-{number}", name)
