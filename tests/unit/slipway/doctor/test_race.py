"""The race of processes: what it says of a sound store, and of stores whose conditional writes are not atomic."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from slipway.doctor import Status
from slipway.doctor.race import LOST, WON, Fault, Lap, faults, race
from slipway.doctor.store import atomic, conditional
from slipway.errors import OperationError
from slipway.storage import open_store
from slipway.storage.s3 import S3Store
from tests.support.racy_store import CarelessApp, RacyApp
from tests.support.s3_server import CREDENTIALS, S3Server, running


@pytest.fixture
def racy(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with running(RacyApp) as server:
        name(server, monkeypatch)
        yield server


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with running(CarelessApp) as server:
        name(server, monkeypatch)
        yield server


def name(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the environment name the server, as processes that a test starts see it."""
    for variable, value in {**CREDENTIALS, "AWS_ENDPOINT_URL_S3": server.endpoint_url}.items():
        monkeypatch.setenv(variable, value)


def test_a_folder_has_one_winner_each(tmp_path: Path) -> None:
    laps = race(partial(open_store, str(tmp_path)), rounds=3, racers=4)
    assert faults(laps) == []
    assert len(laps) == 4 * 2 * 3
    assert sum(lap.told == WON for lap in laps) == 6


def test_a_store_that_looks_and_then_writes_is_found_out_and_told(racy: S3Server) -> None:
    """One writer after the other sees nothing wrong in it; eight at once do."""
    url = f"s3://{racy.new_bucket()}/probe"
    assert conditional(S3Store(f"{url}/alone", client=racy.client())).status is Status.PASS
    found = atomic(partial(open_store, url), rounds=2)
    assert found.status is Status.FAIL
    assert "of 8 writers were told that they won" in found.found
    assert "atomic conditional writes" in found.todo


def test_a_store_that_knows_no_conditions_fails_before_any_race(careless: S3Server) -> None:
    store = S3Store(f"s3://{careless.new_bucket()}", client=careless.client())
    found = conditional(store)
    assert (found.status, "If-None-Match was ignored" in found.found) == (Status.FAIL, True)


def test_a_racer_that_cannot_work_is_told() -> None:
    with pytest.raises(OperationError, match=r"a racer failed: InputError: .*cannot begin with ftp"):
        race(partial(open_store, "ftp://nowhere/store"), rounds=1, racers=2)


# --- what counts as wrong ---------------------------------------------------------------------------------------------


def lap(body: bytes, told: str, seen: bytes | None, heat: str = "round 1, create") -> Lap:
    return Lap(heat, body, told, seen)


def wrong(*laps: Lap) -> list[str]:
    return [fault.what for fault in faults(laps)]


def test_one_winner_whose_body_everybody_reads_is_right() -> None:
    assert wrong(lap(b"a", WON, b"a"), lap(b"b", LOST, b"a")) == []


def test_two_winners_are_wrong_and_none_as_well() -> None:
    assert wrong(lap(b"a", WON, b"a"), lap(b"b", WON, b"a")) == ["2 of 2 writers were told that they won"]
    assert wrong(lap(b"a", LOST, None), lap(b"b", LOST, None)) == ["0 of 2 writers were told that they won"]


@pytest.mark.parametrize("seen", [b"b", b"", None])
def test_another_body_than_the_winners_is_wrong(seen: bytes | None) -> None:
    assert wrong(lap(b"a", WON, b"a"), lap(b"b", LOST, seen)) == ["what was read afterwards is not the winner's"]


def test_an_error_for_an_answer_is_wrong_and_named() -> None:
    [what] = wrong(lap(b"a", "StateUnknown: it may or may not", b"a"), lap(b"b", LOST, b"a"))
    assert what == "the store answered a writer with StateUnknown: it may or may not"


def test_each_heat_is_judged_by_itself() -> None:
    laps = [lap(b"a", WON, b"a"), lap(b"b", WON, b"b", "round 1, replace"), lap(b"c", WON, b"b", "round 1, replace")]
    assert faults(laps) == [Fault("round 1, replace", "2 of 2 writers were told that they won")]
