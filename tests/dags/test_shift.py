"""Nights with a gradual shift through Airflow, and a reader that follows or refuses."""

import logging

import pytest

from slipway import rollout
from slipway.pointer import audit_trail
from slipway.storage import LocalStore
from tests.dags.bench import NOTES
from tests.support.playing import playing

SHIFT = "release: {shift: [10, 100], step_minutes: 0, wait_minutes: 2}"


@pytest.fixture
def lines(monkeypatch):
    """What the shift logs, as Airflow's task log gets it."""
    monkeypatch.setattr(rollout, "POLL_SECONDS", 0.02)
    heard = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    logger = logging.getLogger("slipway.rollout")
    logger.addHandler(handler)
    yield heard
    logger.removeHandler(handler)


def test_a_good_release_is_shifted_to_and_a_refused_one_is_taken_back(bench, lines):
    bench.describe(other=SHIFT)
    first = bench.run()
    assert (first.state, first.result["shift"]) == ("success", [])  # nothing to shift from
    store = LocalStore(bench.store)

    bench.write_notes(NOTES[:-1])
    with playing(store, "web-1"):
        night = bench.run()
    assert night.state == "success", night.result
    steps = night.result["shift"]
    assert [(step["percent"], step["readers"], step["queries"], step["errors"]) for step in steps] == [
        (10, 1, 40, 0),
        (100, 1, 40, 0),
    ]
    assert [line.split(" failed")[0] for line in lines] == [
        "10 % of the requests: waiting until the readers have loaded it (1)",
        "10 % of the requests: loaded, and watched for 0 minutes",
        "10 % of the requests: 1 reader, 40 queries, 0",
        "100 % of the requests: waiting until the readers have loaded it (1)",
        "100 % of the requests: loaded, and watched for 0 minutes",
        "100 % of the requests: 1 reader, 40 queries, 0",
    ]
    live = bench.serving()
    assert live["slots"][live["live"]]["release_id"] == night.result["release_id"]

    bench.write_notes(NOTES[:-2])
    with playing(store, "web-1"), playing(store, "web-2", refuses="its smoke queries find nothing"):
        bad = bench.run()
    assert bad.state == "failed"
    assert bad.tasks["release"] == "failed"
    [failed] = bad.result["failed"]
    assert failed["task"] == "release"
    assert "was taken back: at 10 % of the requests reader web-2 refused it: its smoke queries" in failed["error"]
    assert bad.result["released"] is False
    now = bench.serving()
    assert now["slots"][now["live"]]["release_id"] == night.result["release_id"]
    assert now["shift"] is None
    actions = [one["changed"]["action"] for one in audit_trail(store)]
    assert actions == ["release", "shift", "shift", "release", "shift", "take back"]
