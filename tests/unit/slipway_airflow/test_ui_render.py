"""Pages from stored numbers, without Airflow."""

import pytest

from slipway_airflow.ui import formats, render, view, view_releases
from tests.unit.slipway.results import PLAN, SOURCES, UPDATE
from tests.unit.slipway_airflow.results import HOSTILE, upgrade_result, whole_result

DONE = {"state": "success", "started_at": "2026-11-21T02:15:00+00:00", "going": False, "tasks": (), "failed_tasks": []}


def run_page(result, *, standing=None, missed=None, progress=None, plan=None, allowed=(), full=False, **state):
    found = {"result": result, "standing": standing, "missed": missed, "progress": progress}
    found |= {"plan": plan, "allowed": allowed, "full": full}
    return render.run_page("pydocs", "manual__1", found, {**DONE, **state})


def test_a_result_shows_all_its_numbers():
    page = run_page(whole_result(), standing={"state": "live", "live": "r1", "why": None})
    for shown in (
        "Released", "r1", "It is live now.", "7,012", "469", "6,543", "near duplicate", "349", "9,821", "HNSW32,SQ8",
        "efSearch = 64", "0.987", "0.512", "1.23 ms", "misspelt", "api:pandas.Gone", "1 min 11 s", "1 min 13 s in all",
        "2026-11-21 02:15 UTC", "the cleaned text has fewer than",
        "12,345", "1 h 20 min", "2,559 tokens/s", "5,367 tokens/s a worker, on cpu by openvino",
        "median of the 3 newest vector parts",
        "changes only", "everything since 2026-01-30T02:15", "1,043", "Parquet files are read in full",
        "updated in place", "20260130T021500-0a1b2c3d", "no trigger fired", "tombstone share", "0.01235", "9,880",
        "Allowed: deletes", "All rows of every source were asked for.",
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


def test_a_gate_that_nobody_could_decide_is_marked_as_such():
    open_gate = {
        "metric": "ndcg_at_10",
        "value": 0.2,
        "passed": False,
        "undecided": True,
        "reason": "ndcg_at_10 0.2: ?",
    }
    page = run_page(whole_result(gates=[open_gate], verdict="undecided", released=False), state="failed")
    assert ">undecided<" in page
    assert ">fail<" not in page


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "Released"),
        ({"released": False}, "Passed, not released"),
        ({"released": False, "nothing_changed": True}, "Nothing changed"),
        ({"released": False, "verdict": "failed"}, "Refused by its gates"),
        ({"released": False, "verdict": "undecided"}, "Undecided by its gates"),
        ({"released": False, "failed": [{"task": "release", "error": "StoreUnreachable: gone"}]}, "Failed"),
        ({"released": False, "verdict": None}, "Ended before its verdict"),
    ],
)
def test_the_headline_names_how_the_run_ended(changes, word):
    assert view.headline(whole_result(**changes))["word"] == word


def test_a_night_that_follows_the_live_release_says_so():
    told = "the collection file names encoder old, and the live release r1 is of new"
    assert f"<p>Note: {told}</p>" in run_page(whole_result(note=told))
    assert "Note:" not in run_page(whole_result())


def test_the_index_update_and_the_plan_may_hold_anything():
    for value in (None, 7, "text", [], [1], {}, {"a": "b"}, HOSTILE, 1e999, True):
        for name in UPDATE:
            update = UPDATE | {name: value}
            assert "<script>alert" not in run_page(whole_result(index=whole_result()["index"] | {"update": update}))
        for name in PLAN:
            for page in (
                run_page(whole_result(plan=PLAN | {name: value})),
                run_page(None, progress=[], plan=PLAN | {name: value}, state="running", going=True),
            ):
                assert "<script>alert" not in page
        for name in UPDATE["triggers"][0]:
            triggers = [UPDATE["triggers"][0] | {name: value}]
            page = run_page(whole_result(index={"update": UPDATE | {"triggers": triggers}}))
            assert "<script>alert" not in page
        for name in SOURCES[0]:
            assert "<script>alert" not in run_page(whole_result(sources=[SOURCES[0] | {name: value}]))


def test_a_trigger_that_fired_is_marked():
    fired = {"name": "imbalance", "value": 1.7, "limit": 1.5, "fired": True}
    built = UPDATE | {"kind": "built", "base": None, "triggers": [fired]}
    page = run_page(whole_result(index={"update": built}))
    assert "built anew" in page
    assert "vectors added" not in page
    assert '<span class="tag bad">fired</span>' in page
    assert "fired</span>" not in run_page(whole_result())


def test_shards_that_an_index_was_built_in_are_told():
    for shards, shown in (
        ({"built_in": 8, "apart": ""}, "8 shards, merged"),
        ({"built_in": 8, "apart": "graphs cannot"}, "8 shards, searched side by side: graphs cannot"),
    ):
        assert shown in run_page(whole_result(index=whole_result()["index"] | {"shards": shards}))
    for value in (None, 7, [], HOSTILE, {"built_in": HOSTILE, "apart": HOSTILE}):
        assert "<script>alert" not in run_page(whole_result(index={"shards": value}))


def test_nothing_to_embed_has_no_estimate():
    page = run_page(whole_result(plan=PLAN | {"to_embed": 0, "tokens": 0}, embedding={}))
    assert "tokens/s" not in page
    assert "chunks to embed" in page


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
            index={
                "spec": HOSTILE,
                "reason": HOSTILE,
                "parameters": {HOSTILE: HOSTILE},
                "update": {"kind": HOSTILE, "base": HOSTILE, "reason": HOSTILE, "triggers": [{"name": HOSTILE}]},
            },
            allowed=[HOSTILE],
            plan={"measured": HOSTILE, "added": HOSTILE},
            sources=[{"source": HOSTILE, "mode": HOSTILE, "reason": HOSTILE, "rows": HOSTILE}],
            reconciled={HOSTILE: HOSTILE},
            seconds={HOSTILE: 1.0},
            reason=HOSTILE,
            release_id=HOSTILE,
        ),
        standing={"state": "withdrawn", "live": HOSTILE, "why": HOSTILE},
        missed=[{"query": HOSTILE, "slice": HOSTILE, "found": [HOSTILE]}],
    )
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") > 24


def test_a_result_shows_the_steps_of_its_shift():
    step = {"percent": 50, "readers": 2, "queries": 12_345, "errors": 6, "p95_ms": 1.2345, "live_p95_ms": None}
    page = run_page(whole_result(shift=[step]))
    assert "The shift" in page
    shift = page[page.index("The shift") :]
    cells = [">50 %<", ">2<", ">12,345<", ">6<", ">1.23 ms<", ">–<"]
    places = [shift.index(cell) for cell in cells]
    assert places == sorted(places)
    assert "The shift" not in run_page(whole_result(shift=[]))
    assert "The shift" not in run_page(whole_result())
    assert "<script>alert" not in run_page(whole_result(shift=[dict.fromkeys(step, HOSTILE), HOSTILE]))


def test_a_reader_shows_how_it_does():
    reader = {"name": "web-1", "serves": "r1", "queries": 1234, "errors": 5, "p95_ms": 2.0, "heard_at": "x"}
    assert view_releases.reader_row(reader)["state"] == "follows"
    assert view_releases.reader_row({**reader, "behind": True})["state"] == "behind"
    assert view_releases.reader_row({**reader, "behind": True, "silent": True})["state"] == "silent"
    assert view_releases.reader_row({**reader, "behind": True, "refuses": True})["state"] == "refuses"
    [answers] = view_releases.reader_row(reader)["answers"]
    assert [answers[name] for name in ("release_id", "queries", "errors", "p95")] == ["r1", "1,234", "5", "2 ms"]


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ({"from_release": "r1", "to_release": "r2", "live": "r2"}, ["r1", "r2"]),
        ({"from_release": "r1", "to_release": "r1", "live": "r1"}, ["r1"]),
        ({"from_release": None, "to_release": "r1", "live": "r1"}, ["r1"]),
        ({"live": "r1"}, ["r1"]),  # a record of an older version
        ({}, []),
    ],
)
def test_a_change_shows_from_which_release_to_which(change, moved):
    assert view_releases.change_row(change)["moved"] == moved


def test_releases_are_escaped_too():
    release = {"release_id": HOSTILE, "state": "withdrawn", "spec": HOSTILE, "run_id": HOSTILE}
    change = dict.fromkeys(("at", "action", "who", "why", "run_id"), HOSTILE) | {"generation": 1, "allowed": [HOSTILE]}
    reader = dict.fromkeys(("name", "host", "serves", "trial", "percent", "queries", "p95_ms", "heard_at"), HOSTILE)
    reader |= {"refused": [dict.fromkeys(("release_id", "why", "at"), HOSTILE), HOSTILE], "trial_answers": HOSTILE}
    sections = [
        {"collection": "a", "error": HOSTILE},
        {"collection": "b", "error": None, "releases": [release], "withdrawn": {HOSTILE: HOSTILE},
         "shift": dict.fromkeys(("release_id", "percent", "began"), HOSTILE),
         "readers": [reader], "unreadable": [HOSTILE],
         "changes": [{**change, "live": HOSTILE, "from_release": HOSTILE, "to_release": "r2"}]},
    ]  # fmt: skip
    page = render.releases_page(sections)
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 20


def test_a_run_that_is_going_says_so_and_looks_again():
    page = run_page(None, progress=[], state="running", going=True)
    assert "The run is still going" in page
    assert 'http-equiv="refresh"' in page


def test_a_run_that_is_going_shows_its_plan_and_what_it_may_do():
    page = run_page(None, progress=[], plan=PLAN, allowed=["over_budget"], full=True, state="running", going=True)
    for shown in ("12,345", "1 h 20 min", "2,559 tokens/s", "Allowed: over budget", "All rows of every source"):
        assert shown in page
    assert "Plan" not in run_page(None, progress=[], state="running", going=True)


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
        ({"state": "withdrawn", "live": "r2", "why": "bad"}, "It was withdrawn: bad"),
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
    assert view_releases.change_row(change)["run_id"] == ""
    assert view_releases.change_row({**change, "why": "by hand"})["run_id"] == change["run_id"]


def test_stages_stand_in_the_order_of_the_work():
    page = run_page(whole_result(seconds={"chunk": 1.0, "embed": 2.0, "extract": 3.0, "other": 4.0}))
    places = [page.index(f"<th>{stage}</th>") for stage in ("extract", "chunk", "embed", "other")]
    assert places == sorted(places)


def test_an_upgrade_shows_what_was_asked_who_decided_and_both_releases():
    page = run_page(upgrade_result())
    for shown in (
        "minilm", "HNSW32", "2.5 hours", "2,000 documents: nothing certain",
        "0.5300", "-0.0300", "-0.0500 to -0.0100", "too few queries", "164 queries judged on both", "42%",
        "approved", "eve", "we know", "overrode",
    ):  # fmt: skip
        assert shown in page, shown
    places = [page.index(f"<th>{part}</th>") for part in ("preflight", "sample", "judge")]
    assert places == sorted(places)


@pytest.mark.parametrize("value", [None, 7, "text", [], [1], {}, {"a": "b"}, {"metrics": {"x": HOSTILE}}, 1e999, True])
@pytest.mark.parametrize("key", ["asked", "sample", "note", "comparison", "approval"])
def test_any_key_of_an_upgrade_may_hold_anything(key, value):
    page = run_page(upgrade_result(**{key: value}))
    assert "</html>" in page
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"approval": {"approved": False}, "verdict": "passed"}, "Rejected"),
        ({"approval": None, "verdict": "undecided"}, "Undecided by its gates"),
    ],
)
def test_the_headline_of_an_upgrade_names_who_stopped_it(changes, word):
    assert view.headline(upgrade_result(released=False, **changes))["word"] == word


def test_an_undecided_gate_is_no_failed_one():
    gate = {"metric": "ndcg_at_10", "value": 0.2, "passed": False, "undecided": True, "reason": "ndcg_at_10 0.2: …"}
    page = run_page(whole_result(gates=[gate], verdict="undecided", released=False))
    assert ">undecided<" in page
    assert ">fail<" not in page


def test_what_a_release_was_allowed_stands_with_its_change():
    change = dict.fromkeys(("at", "action", "who", "run_id", "live")) | {"generation": 2, "why": "they closed"}

    def page(*allowed):
        changes = [{**change, "allowed": list(allowed)}]
        return render.releases_page([{"collection": "a", "error": None, "changes": changes}])

    assert "<small>allowed: deletes, over budget</small>" in page("deletes", "over_budget")
    assert "allowed" not in page()


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "under a minute"), (12.4, "12 min"), (60, "1 h 0 min"), ("x", "–")]
)
def test_minutes_are_for_people(value, text):
    assert formats.minutes(value) == text


def test_a_damaged_release_is_marked_with_what_is_wrong() -> None:
    nothing = dict.fromkeys(("created_at", "documents", "vectors", "bytes", "spec", "encoder", "metrics", "run_id"))
    broken = {"release_id": "r-broken", "state": "live", "damaged": "its manifest <is gone>", **nothing}
    page = render.releases_page([{"collection": "docs", "error": None, "releases": [broken]}])
    assert '<span class="tag bad">damaged</span>' in page
    assert "its manifest &lt;is gone&gt;" in page
    sound = render.releases_page([{"collection": "docs", "error": None, "releases": [broken | {"damaged": None}]}])
    assert "damaged" not in sound
