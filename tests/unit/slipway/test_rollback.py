"""What a rollback did, and that a retry does it once. What it does to serving.json is tested with the release stage."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway import layout, rollback
from slipway.errors import CorruptObject, LostRace, ReleaseRefused, UntrustedRelease
from slipway.pointer import Change, Serving, audit_trail, read_serving, swap_serving
from slipway.rollback import LOOKED_BACK, TRIES, outcome, roll_back
from slipway.serving.loading import manifest_key, manifest_sum
from slipway.signing import SigningKey, new_key, sign
from slipway.stages.release import name_release, seal_release
from tests.support.memory_store import MemoryStore
from tests.support.releases import PASSED, a_candidate, a_run, again, an_evaluation, publish


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def releases(store: MemoryStore, tmp_path: Path) -> list[str]:
    run = a_run(store, tmp_path)
    return [publish(again(run, f"night-{seed}"), seed).release_id for seed in range(3)]


def touch(store: MemoryStore) -> None:
    """Another change of serving.json, by somebody else."""
    swap_serving(store, Change("retire", "ann", "tidying"), lambda now: now)


def test_what_a_rollback_did(store: MemoryStore, releases: list[str]) -> None:
    after = roll_back(store, "ann", "worse")
    assert outcome(after) == {"live": releases[1], "generation": 4, "withdrawn": [releases[2]]}
    after = roll_back(store, "ann", "not worse", releases[2])
    assert outcome(after) == {"live": releases[2], "generation": 5, "withdrawn": []}


@pytest.mark.parametrize("changes", [0, 1, LOOKED_BACK - 1])
def test_a_retry_finds_what_it_did_below_the_changes_since(
    store: MemoryStore, releases: list[str], changes: int
) -> None:
    first = roll_back(store, "ann", "worse", run_id="rollback-1")
    for _ in range(changes):
        touch(store)
    records = len(audit_trail(store))
    assert roll_back(store, "ann", "worse", run_id="rollback-1") == first
    assert outcome(first)["withdrawn"] == [releases[2]]
    assert len(audit_trail(store)) == records


def test_another_run_is_no_retry(store: MemoryStore, releases: list[str]) -> None:
    roll_back(store, "ann", "worse", run_id="rollback-1")
    again = roll_back(store, "ann", "worse still", releases[0], run_id="rollback-2")
    assert outcome(again)["live"] == releases[0]


def test_lost_and_damaged_records_keep_nobody_from_rolling_back(store: MemoryStore, releases: list[str]) -> None:
    store.delete(layout.audit(1))
    store.put(layout.audit(2), b"{")
    assert outcome(roll_back(store, "ann", "worse", run_id="rollback-1"))["live"] == releases[1]


def test_what_it_withdrew_stands_in_the_change_and_in_its_record(store: MemoryStore, releases: list[str]) -> None:
    after = roll_back(store, "ann", "worse")
    assert after.changed and after.changed.withdrew == (releases[2],)
    assert audit_trail(store)[-1]["changed"]["withdrew"] == [releases[2]]
    assert read_serving(store)[0] == after


def test_a_sealed_release_can_be_brought_up_where_nothing_was_ever_live(store: MemoryStore, tmp_path: Path) -> None:
    run = a_run(store, tmp_path)
    candidate = a_candidate(run)
    evaluation = an_evaluation(run, candidate)
    name = name_release(candidate, evaluation)
    seal_release(run, name, candidate, evaluation, PASSED)
    after = roll_back(store, "ann", "bring it up", name)
    assert outcome(after) == {"live": name, "generation": 1, "withdrawn": []}


# --- forward again ----------------------------------------------------------------------------------------------------


def test_a_withdrawn_release_that_is_brought_back_leaves_the_way_back_open(
    store: MemoryStore, releases: list[str]
) -> None:
    roll_back(store, "ann", "it looked bad")
    after = roll_back(store, "ann", "it was not that", releases[2])
    assert (after.withdrawn, after.standby_release and after.standby_release.release_id) == ({}, releases[1])
    back = roll_back(store, "bob", "it is bad after all")
    assert outcome(back) == {"live": releases[1], "generation": 6, "withdrawn": [releases[2]]}


# --- what is rolled back to -------------------------------------------------------------------------------------------


def alter(store: MemoryStore, release_id: str) -> None:
    key = manifest_key(release_id)
    raw = json.loads(store.read(key).body)
    raw["facts"]["metrics"] = {"recall_at_10": 9.0}
    store.put(key, json.dumps(raw).encode())


def refuses(store: MemoryStore, to: str | None, error: type[Exception], match: str, **asked: Any) -> None:
    before = store.read(layout.SERVING).body
    with pytest.raises(error, match=match):
        roll_back(store, "ann", "worse", to, **asked)
    assert store.read(layout.SERVING).body == before


def test_a_retained_release_whose_manifest_was_altered_is_refused(store: MemoryStore, releases: list[str]) -> None:
    """No slot names it any more; the audit trail knows its sum."""
    assert releases[0] not in read_serving(store)[0].named
    alter(store, releases[0])
    refuses(store, releases[0], CorruptObject, r"has SHA-256 .* says")


def test_without_a_record_of_it_what_lies_there_is_believed(store: MemoryStore, releases: list[str]) -> None:
    store.delete(layout.audit(1))
    store.delete(layout.audit(2))
    after = roll_back(store, "ann", "worse", releases[0])
    assert after.live_release and after.live_release.manifest_sha256 == manifest_sum(store, releases[0])


def signed(store: MemoryStore, *releases: str) -> SigningKey:
    _, key = new_key()
    for one in releases:
        sign(store, one, store.read(manifest_key(one)).body, key)
    return key


def test_a_release_without_a_trusted_signature_is_refused(store: MemoryStore, releases: list[str]) -> None:
    trusted = signed(store, releases[0]).trusted
    refuses(store, None, UntrustedRelease, r"is not signed.*nothing was changed; name another", trusted=trusted)
    refuses(store, releases[0], UntrustedRelease, "is signed by key", trusted=new_key()[1].trusted)
    after = roll_back(store, "ann", "worse", releases[0], trusted=trusted)
    assert outcome(after)["live"] == releases[0]


def test_nobody_who_asks_for_no_signature_is_kept_from_rolling_back(store: MemoryStore, releases: list[str]) -> None:
    signed(store, releases[0])
    assert outcome(roll_back(store, "ann", "worse"))["live"] == releases[1]


# --- races ------------------------------------------------------------------------------------------------------------


def overtaken(monkeypatch: pytest.MonkeyPatch, store: MemoryStore, changes: list[Callable[[Serving], Serving]]) -> None:
    """Before each of the next writes of serving.json, somebody else makes one of these changes."""
    real = store.put_if

    def put_if(key: str, body: bytes, expected: str | None) -> str:
        if key == layout.SERVING and changes:
            change = changes.pop(0)
            monkeypatch.undo()
            swap_serving(store, Change("shift", "eve", "a step"), change)
            if changes:
                monkeypatch.setattr(store, "put_if", put_if)
        return real(key, body, expected)

    monkeypatch.setattr(store, "put_if", put_if)


@pytest.mark.parametrize("times", [1, TRIES - 1])
def test_a_swap_that_is_lost_to_a_note_of_retention_is_tried_again(
    store: MemoryStore, releases: list[str], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    overtaken(monkeypatch, store, [lambda now: replace(now, retired={"gone": "2026"})] * times)
    after = roll_back(store, "ann", "worse")
    assert outcome(after) == {"live": releases[1], "generation": 4 + times, "withdrawn": [releases[2]]}


def test_a_swap_that_is_lost_to_a_step_of_the_shift_is_tried_again(
    store: MemoryStore, releases: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def offer(percent: int) -> Callable[[Serving], Serving]:
        return lambda now: now.offered(releases[0], manifest_sum(store, releases[0]), percent)

    swap_serving(store, Change("shift", "eve", "a night"), offer(10))
    overtaken(monkeypatch, store, [offer(50), offer(100)])
    assert outcome(roll_back(store, "ann", "odd")) == {
        "live": releases[2], "generation": 7, "withdrawn": [releases[0]],
    }  # fmt: skip


def test_a_swap_that_is_lost_again_and_again_gives_up(
    store: MemoryStore, releases: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken(monkeypatch, store, [lambda now: now] * TRIES)
    with pytest.raises(LostRace, match="changed by somebody else at the same moment"):
        roll_back(store, "ann", "worse")
    now = read_serving(store)[0]
    assert (now.generation, now.live_release and now.live_release.release_id) == (3 + TRIES, releases[2])


@pytest.mark.parametrize("to", [None, 0])
def test_a_rollback_does_not_go_on_over_another_release(
    store: MemoryStore, releases: list[str], monkeypatch: pytest.MonkeyPatch, to: int | None
) -> None:
    """With what came meanwhile live, going back one step leads to the very release that was to be left."""
    overtaken(monkeypatch, store, [lambda now: now.promoted("night-4", "sum")])
    with pytest.raises(ReleaseRefused, match=r"was changed by eve \(shift: a step\) at the same moment, and now names"):
        roll_back(store, "ann", "worse", None if to is None else releases[to])
    now = read_serving(store)[0]
    assert (now.generation, now.live_release and now.live_release.release_id) == (4, "night-4")


def test_a_refusal_is_not_tried_again(store: MemoryStore, releases: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = rollback.check_whole

    def counted(store: MemoryStore, release_id: str, manifest_sha256: str | None) -> Any:
        looked.append(release_id)
        return real(store, release_id, manifest_sha256)

    monkeypatch.setattr(rollback, "check_whole", counted)
    refuses(store, "20200101T000000-0a1b2c3d", ReleaseRefused, "there is no release")
    assert len(looked) == 1
