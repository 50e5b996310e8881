"""Whole nights through Airflow: every task a task instance, with the real model, a real store and real sources."""

import pytest

from tests.dags.bench import NOTES, asset_events

HELD = len(NOTES) + 3  # notes and guides


@pytest.fixture
def released(bench):
    """The collection after its first night."""
    first = bench.run(reason="first night")
    assert first.state == "success", first.result
    return first


def test_the_first_night_releases_and_the_second_finds_nothing_to_do(bench, released):
    assert set(released.tasks.values()) == {"success"}
    assert released.labels[:4] == ["guides", "guides", "notes", "notes"]
    assert all(label.startswith("shard ") and label.endswith(" tokens") for label in released.labels[4:])
    assert len(released.labels) > 5
    assert_small_and_without_texts(released.xcoms)
    made = released.result
    assert (made["documents_in"], made["documents"], made["rejected"]) == (HELD, HELD, {})
    assert made["embedded"] == made["chunks"] == made["vectors"] == HELD
    assert made["released"] is True
    assert made["verdict"] == "passed"
    assert {"preflight", "extract", "embed", "release"} <= made["seconds"].keys()
    serving = bench.serving()
    assert serving["slots"][serving["live"]]["release_id"] == made["release_id"]
    assert serving["changed"]["why"] == "first night"
    [event] = asset_events("slipway/tiny/release")[-1:]
    assert event["release_id"] == made["release_id"]
    assert event["documents"] == HELD
    assert event["recall_at_10"] == 1

    events = len(asset_events("slipway/tiny/release"))
    second = bench.run()
    assert second.state == "success"
    assert second.tasks["embed"] == second.tasks["release"] == "skipped"
    assert second.tasks["index"] == "success"
    assert (second.result["embedded"], second.result["reused"]) == (0, HELD)
    assert second.result["unchanged"] == HELD
    assert second.result["released"] is False
    assert second.result["release_id"] == made["release_id"]
    assert "nothing changed" in second.result["reason"]
    assert bench.serving() == serving
    assert len(asset_events("slipway/tiny/release")) == events


def assert_small_and_without_texts(xcoms):
    """Only places, ids, counts, reasons and seconds: no rows, no texts, no connection."""
    assert max(map(len, xcoms)) < 2_000
    together = " ".join(xcoms)
    assert not any(body in together for _, _, body in NOTES)
    assert "sqlite" not in together


def test_a_failed_gate_fails_the_run_and_leaves_the_live_release_alone(bench, released):
    live = bench.serving()
    bench.write_notes(NOTES[:-1])
    bench.describe(gates="{recall_at_10: 0.99, documents: 100000, p95_ms: 0.000001}")
    night = bench.run()
    assert night.state == "failed"
    assert night.tasks["gate"] == "failed"
    assert night.tasks["release"] == "upstream_failed"
    assert night.tasks["report"] == "success"
    assert night.result["released"] is False
    assert night.result["verdict"] == "failed"
    assert [gate["passed"] for gate in night.result["gates"]] == [True, False, False]
    assert "documents 62: under the minimum 100,000" in night.result["reason"]
    assert "p95_ms" in night.result["reason"]
    assert night.result["failed"][0]["task"] == "gate"
    assert bench.serving() == live


def test_a_source_that_suddenly_returns_nothing_fails_the_run_before_any_work(bench, released):
    live = bench.serving()
    bench.write_notes([])
    night = bench.run()
    assert night.state == "failed"
    assert sorted((night.tasks["extract[0]"], night.tasks["extract[1]"])) == ["failed", "success"]
    assert "returned no row" in night.result["reason"]
    assert "documents" not in night.result
    assert bench.serving() == live


def test_the_breaker_stops_a_mass_delete_until_somebody_allows_it(bench, released):
    live = bench.serving()
    bench.write_notes(NOTES[:40])
    night = bench.run()
    assert night.state == "failed"
    assert night.tasks["compare"] == "failed"
    assert "chunk" not in night.result["seconds"]
    assert "BreakerTripped: 20 of the 63 live documents would vanish" in night.result["reason"]
    assert bench.serving() == live

    bench.describe(gates="{recall_at_10: 0.99}")
    allowed = bench.run(allow_deletes=True, reason="they really closed")
    assert allowed.state == "success"
    assert (allowed.result["deleted"], allowed.result["released"]) == (20, True)
    assert bench.serving()["generation"] == live["generation"] + 1


def test_a_missing_connection_is_named_by_the_first_task(bench, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_TINY_DB")
    night = bench.run()
    assert night.state == "failed"
    assert night.tasks["preflight"] == "failed"
    assert "ConnectionMissing: there is no connection 'tiny_db'" in night.result["reason"]
    assert "AIRFLOW_CONN_TINY_DB" in night.result["reason"]
    assert bench.serving() is None


def test_a_misspelt_parameter_is_refused_by_the_first_task(bench):
    night = bench.run(allow_delete=True)
    assert night.state == "failed"
    assert night.tasks["preflight"] == "failed"
    assert "allow_delete" in night.result["reason"]
    assert "allow_deletes" in night.result["reason"]


def test_a_store_that_does_not_answer_is_tried_again(bench, monkeypatch):
    """TransientError is left to Airflow's retries."""
    from slipway.errors import StoreUnreachable
    from slipway.stages import snapshot as module

    real, tries = module.snapshot, []

    def once_unreachable(run, cleaned):
        tries.append(run.run_id)
        if len(tries) == 1:
            raise StoreUnreachable("the store did not answer")
        return real(run, cleaned)

    monkeypatch.setattr(module, "snapshot", once_unreachable)
    night = bench.run()
    assert len(tries) == 2
    assert night.state == "success"
    assert "failed" not in night.result


def test_a_task_that_died_without_a_word_is_in_the_result_too(bench, monkeypatch):
    """As after a kill for memory, or when a person marks it as failed: nothing of it is in XCom."""
    from slipway.stages import clean as module

    def killed(run, source, raw):
        raise SystemExit(9)

    monkeypatch.setattr(module, "clean", killed)
    monkeypatch.setattr("slipway_airflow.steps.FAILURE", "unsaid")
    night = bench.run()
    assert night.state == "failed"
    assert [one["task"] for one in night.result["failed"]] == ["clean", "clean"]
    assert "killed" in night.result["reason"]
