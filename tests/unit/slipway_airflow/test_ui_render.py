"""Pages from stored numbers, without Airflow."""

import pytest

from slipway_airflow.ui import render, view
from tests.unit.slipway_airflow.results import HOSTILE, whole_result

DONE = {"state": "success", "started_at": "2026-11-21T02:15:00+00:00", "going": False, "tasks": (), "failed_tasks": []}


def run_page(result, *, standing=None, missed=None, progress=None, **state):
    found = {"result": result, "standing": standing, "missed": missed, "progress": progress}
    return render.run_page("pydocs", "manual__1", found, {**DONE, **state})


def test_a_result_shows_all_its_numbers():
    page = run_page(whole_result(), standing={"state": "live", "live": "r1", "why": None})
    for shown in (
        "Released", "r1", "It is live now.", "7,012", "469", "6,543", "near duplicate", "349", "9,821", "HNSW32,SQ8",
        "efSearch = 64", "0.987", "0.512", "1.23 ms", "misspelt", "api:pandas.Gone", "1 min 11 s", "1 min 13 s in all",
        "2026-11-21 02:15 UTC", "the cleaned text has fewer than",
    ):  # fmt: skip
        assert shown in page, shown


def test_a_failed_gate_comes_first_and_is_the_headline():
    failed = {"metric": "ndcg_at_10", "value": 0.2, "passed": False, "reason": "ndcg_at_10 0.2: under the minimum 0.3"}
    result = whole_result(
        gates=[*whole_result()["gates"], failed], verdict="failed", released=False, release_id=None,
        reason="ndcg_at_10 0.2: under the minimum 0.3",
    )  # fmt: skip
    page = run_page(result, state="failed")
    assert "Refused by its gates" in page
    assert "the live release serves on" in page
    assert page.index(">fail<") < page.index(">pass<")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "Released"),
        ({"released": False}, "Passed, not released"),
        ({"released": False, "verdict": "failed"}, "Refused by its gates"),
        ({"released": False, "failed": [{"task": "release", "error": "StoreUnreachable: gone"}]}, "Failed"),
        ({"released": False, "verdict": None}, "Ended before its verdict"),
    ],
)
def test_the_headline_names_how_the_run_ended(changes, word):
    assert view.headline(whole_result(**changes))["word"] == word


@pytest.mark.parametrize("key", sorted(whole_result()))
def test_any_key_may_be_missing(key):
    result = whole_result()
    del result[key]
    assert "</html>" in run_page(result)


@pytest.mark.parametrize("value", [None, 7, "text", [], [1], {}, {"a": "b"}, HOSTILE, 1e999, True])
@pytest.mark.parametrize("key", sorted(whole_result()))
def test_any_key_may_hold_anything(key, value):
    page = run_page(whole_result(**{key: value}))
    assert "</html>" in page
    assert "<script>alert" not in page


def test_what_a_source_or_a_person_wrote_is_escaped_everywhere():
    page = run_page(
        whole_result(
            judged_missing=[HOSTILE],
            rejected={HOSTILE: 3},
            by_slice={HOSTILE: {HOSTILE: 0.5}},
            gates=[{"metric": HOSTILE, "passed": False, "reason": HOSTILE}],
            failed=[{"task": HOSTILE, "error": HOSTILE}],
            index={"spec": HOSTILE, "reason": HOSTILE, "parameters": {HOSTILE: HOSTILE}},
            seconds={HOSTILE: 1.0},
            reason=HOSTILE,
            release_id=HOSTILE,
        ),
        standing={"state": "withdrawn", "live": HOSTILE, "why": HOSTILE},
        missed=[{"query": HOSTILE, "slice": HOSTILE, "found": [HOSTILE]}],
    )
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") > 15


def test_releases_are_escaped_too():
    release = {"release_id": HOSTILE, "state": "withdrawn", "spec": HOSTILE, "run_id": HOSTILE}
    change = {"generation": 1, "at": HOSTILE, "action": HOSTILE, "who": HOSTILE, "why": HOSTILE, "run_id": HOSTILE}
    sections = [
        {"collection": "a", "error": HOSTILE},
        {"collection": "b", "error": None, "releases": [release], "withdrawn": {HOSTILE: HOSTILE},
         "changes": [{**change, "live": HOSTILE}]},
    ]  # fmt: skip
    page = render.releases_page(sections)
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 9


def test_a_run_that_is_going_says_so_and_looks_again():
    page = run_page(None, progress=[], state="running", going=True)
    assert "The run is still going" in page
    assert 'http-equiv="refresh"' in page


def test_a_run_that_failed_before_its_report_says_what_there_is():
    progress = [{"stage": "extract", "source": "api", "counts": {"rows": 5432}}]
    page = run_page(None, progress=progress, state="failed", failed_tasks=["clean"])
    assert "The run ended without a result" in page
    assert "Failed: clean." in page
    assert "5,432 rows" in page
    assert "refresh" not in page


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (None, ""),
        ({"state": "live", "live": "r1", "why": None}, "It is live now."),
        ({"state": "retained", "live": "r2", "why": None}, "It is not live any more. Live is r2."),
        ({"state": "withdrawn", "live": "r2", "why": "bad"}, "It was rolled back: bad"),
    ],
)
def test_where_a_release_stands(found, sentence):
    assert view.standing(found) == sentence


def test_pages_load_nothing_from_elsewhere():
    page = run_page(whole_result())
    assert "http://" not in page
    assert "https://" not in page
    assert " style=" not in page  # the policy would block it
    policy = render.headers()["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy


def test_a_long_list_is_cut():
    page = run_page(whole_result(judged_missing=[f"api:{number}" for number in range(1200)]))
    assert "does not hold: 1,200" in page
    assert "and 1,180 more" in page
    assert "api:19<" in page
    assert "api:20<" not in page


def test_a_run_that_its_reason_names_is_not_named_twice():
    why = "run scheduled__2026-11-21T02:15:00+00:00 of pydocs__nightly"
    change = {"at": "2026-11-21T02:20:00+00:00", "why": why, "run_id": "scheduled__2026-11-21T02-15-00-00-00"}
    assert view.change_row(change)["run_id"] == ""
    assert view.change_row({**change, "why": "by hand"})["run_id"] == change["run_id"]


def test_stages_stand_in_the_order_of_the_work():
    page = run_page(whole_result(seconds={"chunk": 1.0, "embed": 2.0, "extract": 3.0, "other": 4.0}))
    places = [page.index(f"<th>{stage}</th>") for stage in ("extract", "chunk", "embed", "other")]
    assert places == sorted(places)
