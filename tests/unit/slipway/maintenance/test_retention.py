"""What retention removes, what it never removes, and that it says why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway import layout
from slipway.checkpoint import Start, begin
from slipway.errors import CorruptObject, ReleaseRefused, RunInProgress, StoreUnreachable
from slipway.lease import Holder, held, read_lease
from slipway.maintenance import preview, retain, retain_alone
from slipway.maintenance.judging import NEWER
from slipway.manifest import MANIFEST, load
from slipway.pins import list_pins, pin, unpin
from slipway.pointer import Change, audit_trail, read_serving, swap_serving
from slipway.rollback import roll_back
from slipway.serving.loading import check_whole
from tests.support.releases import again
from tests.support.retaining import KEEP, Shop, assert_sound, places_of, reader_says


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def why(shop: Shop) -> dict[str, tuple[str, ...]]:
    """Of each release that is kept, all reasons."""
    return {one.release_id: one.why for one in preview(shop.run).releases if one.kept}


def offer(shop: Shop, name: str) -> None:
    """Put a release on trial."""
    summed = check_whole(shop.store, name).manifest_sha256
    swap_serving(shop.store, Change("shift", "ann", "a try"), lambda now: now.offered(name, summed, 10))


def test_nothing_goes_from_an_empty_store_and_nothing_is_written(tmp_path: Path) -> None:
    shop = Shop(tmp_path, 0)
    assert shop.retain().releases == ()
    assert list(shop.store.list()) == []


def test_the_newest_stay_and_the_others_go_with_all_their_objects(shop: Shop) -> None:
    assert [one.release_id for one in preview(shop.run).removed] == shop.names[2::-1]
    done = shop.retain()
    assert [one.release_id for one in done.removed] == shop.names[2::-1]
    assert all(one.why == ("older than the newest 2 whole releases, and not in use",) for one in done.removed)
    assert all(one.bytes > 0 for one in done.removed)
    assert places_of(shop.store) == set(shop.names[3:])
    assert read_serving(shop.store)[0].retired == {}
    assert_sound(shop.store)


def test_the_signature_goes_with_its_release(shop: Shop) -> None:
    for name in shop.names:
        shop.store.put(layout.signature(name), b"{}")
    shop.retain()
    assert [shop.store.exists(layout.signature(name)) for name in shop.names] == [False] * 3 + [True] * 2


def test_both_swaps_are_told_in_the_audit_trail(shop: Shop) -> None:
    shop.retain()
    marked, cleared = [one["changed"] for one in audit_trail(shop.store)[-2:]]
    assert {one["action"] for one in (marked, cleared)} == {"retire"}
    assert {(one["who"], one["run_id"]) for one in (marked, cleared)} == {("tester", "retention-1")}
    assert marked["why"].startswith("the newest 2 are kept, and what is in use; to be removed: ")
    assert all(name in marked["why"] and name in cleared["why"] for name in shop.names[:3])


def test_where_nothing_goes_serving_json_is_not_changed(tmp_path: Path) -> None:
    shop = Shop(tmp_path, KEEP)
    before, _ = read_serving(shop.store)
    assert shop.retain().removed == []
    assert read_serving(shop.store)[0] == before


def test_a_dry_run_tells_the_same_and_changes_nothing(shop: Shop) -> None:
    before = {info.key: info.modified_at for info in shop.store.list()}
    told = preview(shop.run)
    assert {info.key: info.modified_at for info in shop.store.list()} == before
    assert told.dry_run
    assert told.releases == shop.retain().releases


def every_case(scratch: Path) -> Shop:
    """Ten releases, each protected by another reason, or by none."""
    shop = Shop(scratch, 10)
    store, names = shop.store, shop.names
    roll_back(store, "ann", "worse", names[6])  # 9 is withdrawn and on standby; 7 and 8 are newer than what is live
    offer(shop, names[5])  # and 9 comes back when the trial is taken back
    pin(store, names[0], "ann", "for the auditors")
    reader_says(store, "web-1", names[1], live=names[1])
    reader_says(store, "web-dead", names[2], live=names[2])
    store.age(layout.reader("web-dead"), timedelta(hours=1))
    begin(again(shop.run, "night-99"), Start(1, names[3], "e" * 16))
    return shop


def test_a_dry_run_with_every_protected_case_at_once(tmp_path: Path) -> None:
    shop = every_case(tmp_path)
    names = shop.names
    with held(shop.store, Holder("night-99", "airflow", "nightly run")):
        told = {one.release_id: one for one in preview(shop.run).releases}
    pinned = list_pins(shop.store)[names[0]]
    assert {name: (told[name].kept, told[name].why) for name in names} == {
        names[0]: (True, (f"pinned by ann at {pinned.at}: for the auditors",)),
        names[1]: (True, ("loaded by reader web-1 on host",)),
        names[2]: (False, ("older than the newest 2 whole releases, and not in use",)),
        names[3]: (True, ("run night-99 is at work and builds on it",)),
        names[4]: (False, ("older than the newest 2 whole releases, and not in use",)),
        names[5]: (True, ("on trial",)),
        names[6]: (True, ("live",)),
        names[7]: (True, (NEWER,)),
        names[8]: (True, ("number 2 of the newest 2", NEWER)),
        names[9]: (True, ("on standby", "number 1 of the newest 2")),
    }
    shop.retain()
    assert shop.left == [name for name in names if name not in (names[2], names[4])]
    assert_sound(shop.store)


def test_what_was_withdrawn_is_as_old_as_any_other_and_stays_withdrawn(shop: Shop) -> None:
    roll_back(shop.store, "ann", "worse")
    bad = shop.names[-1]
    for number in range(5, 8):
        shop.night(number)
    shop.retain()
    assert bad not in places_of(shop.store)
    assert read_serving(shop.store)[0].withdrawn[bad].why == "worse"
    with pytest.raises(ReleaseRefused, match="was withdrawn"):  # its candidate is there
        shop.night(4)


def test_a_silent_reader_keeps_nothing_and_a_slow_one_does(shop: Shop) -> None:
    reader_says(shop.store, "slow", shop.names[0])
    reader_says(shop.store, "dead", shop.names[1])
    shop.store.age(layout.reader("slow"), timedelta(seconds=25))
    shop.store.age(layout.reader("dead"), timedelta(seconds=35))
    shop.retain()
    assert shop.left == [shop.names[0], *shop.names[3:]]


def test_silence_is_told_by_the_stores_clock(shop: Shop) -> None:
    shop.store.set_clock(lambda: datetime(2030, 1, 1, tzinfo=UTC))
    reader_says(shop.store, "web-1", shop.names[0])
    assert why(shop)[shop.names[0]] == ("loaded by reader web-1 on host",)


@pytest.mark.parametrize(("hours", "goes"), [(0, 0), (23, 0), (25, 3)])
def test_an_acknowledgement_that_cannot_be_read_keeps_everything_for_a_day(shop: Shop, hours: int, goes: int) -> None:
    shop.store.put(layout.reader("later"), b'{"schema": 99}')
    shop.store.age(layout.READERS, timedelta(hours=hours))
    done = shop.retain()
    assert len(done.removed) == goes
    said = "readers/later.json cannot be read, so it is not known what that reader has loaded"
    assert all(said in " ".join(one.why) for one in done.releases) == (goes == 0)


def test_a_pin_keeps_until_it_is_unpinned_even_when_it_cannot_be_read(shop: Shop) -> None:
    pin(shop.store, shop.names[0], "ann", "for the auditors")
    pin(shop.store, shop.names[1], "bob", "to compare")
    shop.store.put(layout.pin(shop.names[1]), b"{")
    shop.retain()
    assert shop.left == [*shop.names[:2], *shop.names[3:]]
    assert "is not a pin that this version can read" in why(shop)[shop.names[1]][0]
    unpin(shop.store, shop.names[0])
    shop.retain()
    assert shop.left == [shop.names[1], *shop.names[3:]]


def lose_manifest(shop: Shop, name: str) -> None:
    shop.store.delete(f"{layout.release(name)}/{MANIFEST}")


def spoil_manifest(shop: Shop, name: str) -> None:
    shop.store.put(f"{layout.release(name)}/{MANIFEST}", b"{")


def lose_object(shop: Shop, name: str) -> None:
    shop.store.delete(load(shop.store, layout.release(name)).objects[0].key)


@pytest.mark.parametrize(
    ("spoil", "fate"),
    [
        (lose_manifest, None),  # it is no release: its objects are orphans
        (spoil_manifest, "left alone, as it cannot be judged: "),
        (lose_object, "not whole, and fewer than 2 whole ones are newer: "),
    ],
)
def test_bad_input_only_whole_releases_count(shop: Shop, spoil: Callable[[Shop, str], None], fate: str | None) -> None:
    """Of five, the fourth is spoilt, so the third counts in its stead."""
    roll_back(shop.store, "ann", "worse", shop.names[0])  # 4 is on standby
    for name in (shop.names[3], shop.names[1]):
        spoil(shop, name)
    judged = {one.release_id: one for one in preview(shop.run).releases}
    assert "number 2 of the newest 2" in judged[shop.names[2]].why
    assert (shop.names[3] in judged) == (fate is not None)
    if fate:
        assert judged[shop.names[3]].why[0].startswith(fate)


def test_bad_input_what_cannot_be_judged_is_left_alone_and_what_is_not_whole_goes(shop: Shop) -> None:
    spoil_manifest(shop, shop.names[0])
    lose_object(shop, shop.names[1])
    shop.retain()
    assert shop.left == [shop.names[0], *shop.names[3:]]


@pytest.mark.parametrize("method", ["list", "read"])
def test_a_store_that_does_not_answer_stops_it_before_anything_goes(shop: Shop, method: str) -> None:
    before = [info.key for info in shop.store.list()]
    shop.store.fail_next(method, StoreUnreachable("no answer"))
    with pytest.raises(StoreUnreachable):
        shop.retain()
    assert [info.key for info in shop.store.list()] == before


def test_a_lost_live_release_keeps_all_others(shop: Shop) -> None:
    """Nothing tells then which are older than it."""
    lose_manifest(shop, shop.names[-1])
    assert shop.retain().removed == []


def test_it_waits_for_a_run_at_work_and_gives_the_lease_back(shop: Shop) -> None:
    holder = Holder("retention-1", "ann", "retention")
    with held(shop.store, Holder("night-9", "airflow", "nightly run")):
        with pytest.raises(RunInProgress, match="night-9"):
            retain_alone(shop.run, holder)
        assert len(shop.left) == 5
    retain_alone(shop.run, holder, take_over=True)
    lease, _ = read_lease(shop.store)
    assert lease and (lease.state, lease.holder.what) == ("free", "retention")
    assert len(shop.left) == KEEP
    changed = read_serving(shop.store)[0].changed
    assert changed and (changed.action, changed.who, changed.run_id) == ("retire", "ann", "retention-1")


def test_it_stops_before_the_next_release_once_another_run_is_at_work(shop: Shop) -> None:
    left = [2]  # the mark, and what removes the first release

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RunInProgress("another run took the lease")

    with pytest.raises(RunInProgress):
        retain(shop.run, "tester", check)
    assert len(shop.left) in (4, 5)
    assert set(read_serving(shop.store)[0].retired) == set(shop.names[:3])
    assert_sound(shop.store)
    shop.retain()
    assert places_of(shop.store) == set(shop.names[3:])


def test_what_cannot_be_listed_as_gone_keeps_its_mark(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody writes there at the same time, say."""
    delete = shop.store.delete
    monkeypatch.setattr(shop.store, "delete", lambda key: delete(key) if key.endswith(f"/{MANIFEST}") else None)
    shop.retain()
    assert shop.left == shop.names[3:]
    assert set(read_serving(shop.store)[0].retired) == set(shop.names[:3])
    monkeypatch.undo()
    done = shop.retain()
    assert {one.why[0][:30] for one in done.removed} == {"retention began to remove it a"}
    assert places_of(shop.store) == set(shop.names[3:])
    assert read_serving(shop.store)[0].retired == {}


def test_a_damaged_serving_json_stops_it(shop: Shop) -> None:
    shop.store.put(layout.SERVING, b"{}")
    with pytest.raises(CorruptObject):
        shop.retain()
    assert len(shop.left) == 5
