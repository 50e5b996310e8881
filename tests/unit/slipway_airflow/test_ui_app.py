"""The pages' application: who may see what, and what it answers when something is wrong."""

import base64
import hashlib
from dataclasses import replace

import pytest

from slipway import acknowledgement, layout
from slipway.errors import StoreUnreachable
from slipway.pointer import Change, swap_serving
from slipway.report import page_of, read_document, read_page, write
from slipway.storage import open_store
from slipway_airflow.runs import run_key
from tests.support.playing import said
from tests.support.reports import a_judgement
from tests.unit.slipway.drift.records import a_measure
from tests.unit.slipway_airflow.results import (
    HOSTILE,
    release,
    seal_release,
    store_result,
    upgrade_result,
    whole_result,
)

RUN = "/dags/pydocs__nightly/runs/manual__1"
REPORT = f"{RUN}/report"
EVERY = (RUN, f"/api{RUN}", REPORT, f"/api{REPORT}", "/releases", "/api/releases", "/api/releases/pydocs")


@pytest.fixture(scope="module")
def signed_in(airflow_tables):
    """Headers by role."""
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    manager = create_auth_manager()

    def headers(role):
        token = manager.generate_jwt(SimpleAuthManagerUser(username="ada", role=role))
        return {"Authorization": f"Bearer {token}"}

    return {"viewer": headers("viewer"), "nobody": headers(None)}


@pytest.fixture
def known_runs(monkeypatch):
    """What Airflow says of its runs: `known_runs[dag_id, run_id] = state`."""
    from slipway_airflow.ui import runs

    states = {("pydocs__nightly", "manual__1"): "success"}

    def find_run(session, dag_id, run_id):
        state = states.get((dag_id, run_id))
        return runs.RunState(state, None, ()) if state else None

    monkeypatch.setattr(runs, "find_run", find_run)
    return states


@pytest.fixture
def client(airflow_tables, root, known_runs):
    from fastapi.testclient import TestClient

    from slipway_airflow.ui.app import build_app

    return TestClient(build_app(), raise_server_exceptions=False)


@pytest.fixture
def viewer(client, signed_in):
    client.headers.update(signed_in["viewer"])
    return client


@pytest.fixture
def pydocs(root):
    return open_store(f"{root}/store/pydocs")


@pytest.mark.parametrize("path", EVERY)
def test_anonymous_users_see_nothing(client, path):
    answer = client.get(path)
    assert answer.status_code == 401
    assert "pydocs" not in answer.text


@pytest.mark.parametrize("path", (RUN, f"/api{RUN}", REPORT, f"/api{REPORT}", "/api/releases/pydocs"))
def test_users_without_the_dag_are_refused(client, signed_in, path):
    assert client.get(path, headers=signed_in["nobody"]).status_code == 403


def test_the_overview_leaves_out_what_the_user_may_not_see(client, signed_in):
    assert client.get("/api/releases", headers=signed_in["nobody"]).json() == {"collections": []}
    assert "pydocs" not in client.get("/releases", headers=signed_in["nobody"]).text


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize("method", ("post", "put", "patch", "delete"))
def test_nothing_can_be_changed(viewer, path, method):
    assert getattr(viewer, method)(path).status_code == 405


@pytest.mark.parametrize("path", ("/docs", "/redoc", "/openapi.json"))
def test_there_are_no_documentation_pages(viewer, path):
    assert viewer.get(path).status_code == 404


def test_a_viewer_sees_a_result(viewer, pydocs):
    store_result(pydocs, "manual__1", whole_result(judged_missing=[HOSTILE]))
    release(pydocs, "r1")
    page = viewer.get(RUN)
    assert page.status_code == 200
    assert "It is live now." in page.text
    assert "<script>alert" not in page.text
    found = viewer.get(f"/api{RUN}").json()
    assert found["result"]["documents"] == 6543
    assert found["standing"] == {"state": "live", "live": "r1", "why": None}
    assert found["state"] == "success"


def test_alarms_of_drift_are_shown(viewer, pydocs):
    measures = [a_measure("mmd", 0.7, alarm=True)]
    drift = {"place": "drift/1", "against": "r0", "alarms": ["the centroid moved <far>"], "measures": measures}
    store_result(pydocs, "manual__1", whole_result(drift=drift))
    page = viewer.get(RUN).text
    assert "Drift against release r0" in page
    assert "the centroid moved &lt;far&gt;" in page
    assert "No alarm" not in page
    store_result(pydocs, "manual__1", whole_result(drift={**drift, "alarms": []}))
    assert "No alarm" in viewer.get(RUN).text


@pytest.fixture
def reported(pydocs, tmp_path):
    """A report of the run `manual__1`."""
    made = a_judgement(pydocs, tmp_path / "scratch", queries=30, run_id="manual__1")
    return write(made.run, replace(made.reported, reason=HOSTILE))


def test_a_viewer_sees_a_report_on_which_nothing_can_run(viewer, pydocs, reported):
    answer = viewer.get(REPORT)
    assert answer.status_code == 200
    assert answer.text == read_page(pydocs, reported)
    assert "<script" not in answer.text
    policy = answer.headers["content-security-policy"]
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert policy.endswith("; sandbox")
    assert viewer.get(f"/api{REPORT}").json() == read_document(pydocs, reported)


def test_the_report_of_a_campaign_is_not_that_of_a_night_of_the_same_id(viewer, pydocs, reported, known_runs, tmp_path):
    known_runs["pydocs__reindex", "manual__1"] = "running"
    assert viewer.get("/dags/pydocs__reindex/runs/manual__1/report").status_code == 404
    made = a_judgement(pydocs, tmp_path / "scratch2", queries=30, run_id="reindex-manual__1")
    written = write(made.run, made.reported)
    assert viewer.get("/dags/pydocs__reindex/runs/manual__1/report").text == read_page(pydocs, written)
    assert viewer.get(REPORT).text == read_page(pydocs, reported)


def test_the_result_links_the_report_that_it_names(viewer, pydocs, known_runs):
    run_id = "scheduled__2026-11-21T02:15:00+00:00"
    known_runs["pydocs__nightly", run_id] = "success"
    store_result(pydocs, run_key(run_id), whole_result(report="reports/x"))
    store_result(pydocs, "manual__1", whole_result())
    page = viewer.get("/dags/pydocs__nightly/runs/scheduled__2026-11-21T02%3A15%3A00%2B00%3A00").text
    assert 'href="scheduled__2026-11-21T02%3A15%3A00%2B00%3A00/report"' in page
    assert "/report" not in viewer.get(RUN).text


def test_a_run_without_a_report_says_when_there_is_one(viewer, pydocs):
    for path in (REPORT, f"/api{REPORT}"):
        answer = viewer.get(path)
        assert answer.status_code == 404
        assert "written no report" in answer.text


def test_a_damaged_report_is_named_and_not_shown(viewer, pydocs, reported):
    pydocs.put(page_of(reported).key, b"<p>Pass</p>")
    answer = viewer.get(REPORT)
    assert answer.status_code == 500
    assert "report.html is not what its manifest says" in answer.text


def test_queries_that_found_nothing_are_shown(viewer, pydocs):
    from slipway.manifest import Draft

    draft = Draft(pydocs, layout.evaluation("00ff"), "evaluate", "00ff", {})
    queries = [{"query": "lost", "found": [], "hit_rate_at_10": 0.0}, {"query": "won", "hit_rate_at_10": 1.0}]
    draft.add_json("queries.json", queries)
    draft.seal({}, {})
    store_result(pydocs, "manual__1", whole_result(evaluation="evaluations/00ff"))
    assert [query["query"] for query in viewer.get(f"/api{RUN}").json()["missed"]] == ["lost"]


@pytest.mark.parametrize("place", ["../../other", "evaluations/../serving.json", 7, "evaluations/00ff"])
def test_a_result_that_names_no_evaluation_is_shown_without_its_queries(viewer, pydocs, place):
    store_result(pydocs, "manual__1", whole_result(evaluation=place))
    answer = viewer.get(f"/api{RUN}")
    assert answer.status_code == 200
    assert answer.json()["missed"] is None


def test_a_viewer_sees_releases_and_changes(viewer, pydocs):
    release(pydocs, "r1")
    release(pydocs, "r2", why=HOSTILE, allowed=("deletes", HOSTILE))
    page = viewer.get("/releases").text
    assert "r1" in page
    assert "<script>alert" not in page
    found = viewer.get("/api/releases/pydocs").json()
    assert {one["release_id"]: one["state"] for one in found["releases"]} == {"r1": "standby", "r2": "live"}
    assert [change["live"] for change in found["changes"]] == ["r2", "r1"]
    assert [change["allowed"] for change in found["changes"]] == [["deletes", HOSTILE], []]


@pytest.fixture
def shifting(pydocs):
    """`r2` is on trial at 10 % beside `r1`; two readers follow, of which one refuses it with a hostile reason."""
    release(pydocs, "r1")
    seal_release(pydocs, "r2")
    change = Change("shift", "ada", "a night", "manual__1")
    now = swap_serving(pydocs, change, lambda now: now.offered("r2", "0" * 64, 10))
    acknowledgement.publish(pydocs, said("web-1", now))
    acknowledgement.publish(pydocs, said("web-2", now, refuses=HOSTILE))
    return pydocs


def test_a_viewer_sees_the_shift_and_the_readers(viewer, shifting):
    page = viewer.get("/releases").text
    assert "<script>alert" not in page
    assert "on trial and answers 10 % of the requests" in page
    assert "on trial, 10 %" in page
    assert ">→ r2<" in page
    assert "shift at 10 %" in page
    assert 'http-equiv="refresh"' in page
    found = viewer.get("/api/releases/pydocs").json()
    assert {one["release_id"]: one["state"] for one in found["releases"]} == {"r1": "live", "r2": "trial"}
    assert found["shift"]["percent"] == 10
    assert [(one["name"], one["trial"], len(one["refused"])) for one in found["readers"]] == [
        ("web-1", "r2", 0),
        ("web-2", None, 1),
    ]
    newest = found["changes"][0]
    assert (newest["from_release"], newest["to_release"], newest["percent"]) == ("r1", "r2", 10)


def test_a_run_whose_release_is_on_trial_says_so(viewer, shifting):
    store_result(shifting, "manual__1", whole_result(release_id="r2"))
    assert "It is on trial now" in viewer.get(RUN).text


def test_users_without_the_dag_see_no_readers(client, signed_in, shifting):
    assert client.get("/api/releases/pydocs", headers=signed_in["nobody"]).status_code == 403
    assert "web-1" not in client.get("/releases", headers=signed_in["nobody"]).text
    assert "web-1" not in client.get("/releases").text


def test_a_damaged_acknowledgement_is_named_and_hides_nothing(viewer, shifting):
    shifting.put(layout.reader("web-1"), b"{")
    page = viewer.get("/releases").text
    assert "readers/web-1.json" in page
    assert "web-2" in page
    assert ">→ r2<" in page


def test_a_broken_collection_file_hides_no_releases(viewer, root):
    release(open_store(f"{root}/store/broken"), "r1")
    assert viewer.get("/api/releases/broken").json()["releases"][0]["state"] == "live"


def test_a_missing_audit_record_is_left_out(viewer, pydocs):
    release(pydocs, "r1")
    release(pydocs, "r2")
    pydocs.delete(layout.audit(1))
    assert [change["generation"] for change in viewer.get("/api/releases/pydocs").json()["changes"]] == [2]


def test_a_damaged_audit_record_hides_no_releases(viewer, pydocs):
    for name in ("r1", "r2", "r3"):
        release(pydocs, name)
    pydocs.put(layout.audit(2), b"{half")
    found = viewer.get("/api/releases/pydocs").json()
    assert (found["error"], [change["generation"] for change in found["changes"]]) == (None, [3, 2, 1])
    assert "audit/00000002.json cannot be read" in found["changes"][1]["why"]
    assert "audit/00000002.json cannot be read" in viewer.get("/releases").text


def test_run_ids_are_found_as_the_tasks_write_them(viewer, pydocs, known_runs):
    run_id = "scheduled__2026-11-21T02:15:00+00:00"
    known_runs["pydocs__nightly", run_id] = "success"
    store_result(pydocs, run_key(run_id), whole_result())
    path = "/dags/pydocs__nightly/runs/scheduled__2026-11-21T02%3A15%3A00%2B00%3A00"
    assert "Released" in viewer.get(path).text


def test_an_upgrade_is_not_taken_for_a_night_of_the_same_id(viewer, pydocs, known_runs):
    known_runs["pydocs__reindex", "manual__1"] = "success"
    store_result(pydocs, "manual__1", whole_result(released=False, verdict=None))
    store_result(pydocs, "reindex-manual__1", upgrade_result())
    assert "the same golden queries" in viewer.get("/dags/pydocs__reindex/runs/manual__1").text
    assert "Ended before its verdict" in viewer.get("/dags/pydocs__nightly/runs/manual__1").text


@pytest.mark.parametrize(
    "path",
    [
        "/dags/pydocs__nightly/runs/manual__2",
        "/dags/pydocs__rollback/runs/manual__1",
        "/dags/other/runs/manual__1",
        "/dags/..__nightly/runs/manual__1",
        "/dags/%2e%2e__nightly/runs/manual__1",
        "/dags/..%2fpydocs__nightly/runs/manual__1",
        "/dags/__nightly/runs/manual__1",
        "/dags/pydocs__nightly/runs/..",
        "/dags/pydocs__nightly/runs/%2e%2e",
        "/dags/pydocs__nightly/runs/..%2f..%2fserving.json",
        "/dags/pydocs__nightly/runs/manual__1%00",
        "/dags/pydocs__nightly/runs/" + "x" * 3000,
        "/nothing",
    ],
)
@pytest.mark.parametrize("prefix", ("", "/api"))
def test_unknown_and_hostile_runs_are_not_found(viewer, pydocs, prefix, path):
    store_result(pydocs, "manual__1", whole_result())
    answer = viewer.get(prefix + path)
    assert answer.status_code == 404
    assert "6543" not in answer.text
    assert "6,543" not in answer.text


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2fpydocs", "nothing", "PYDOCS", "pydocs%00", "pydocs%0a", "a" * 99]
)
def test_unknown_and_hostile_collections_are_not_found(viewer, name):
    assert viewer.get(f"/api/releases/{name}").status_code == 404


def test_a_run_without_a_result_says_what_there_is(viewer, known_runs):
    known_runs["pydocs__nightly", "manual__1"] = "running"
    assert "The run is still going" in viewer.get(RUN).text
    assert viewer.get(f"/api{RUN}").json()["result"] is None


def test_a_run_that_embeds_shows_its_plan_and_what_it_was_told(viewer, pydocs, known_runs):
    from slipway.manifest import Draft

    counts = {"added": 7, "to_embed": 4321, "tokens": 98765, "chunks": 5000, "reused": 679}
    estimate = {"minutes": 75, "tokens_per_second": 21.9, "measured": HOSTILE, "bytes": 1 << 20, "index_bytes": None}
    told = {"generation": 0, "allowed": ["over_budget"], "full": True}
    Draft(pydocs, layout.start("manual__1"), "start", "manual__1").seal({}, told)
    Draft(pydocs, layout.plan("manual__1"), "plan", "manual__1").seal(counts, {"estimate": estimate, "shards": []})
    known_runs["pydocs__nightly", "manual__1"] = "running"
    page, found = viewer.get(RUN).text, viewer.get(f"/api{RUN}").json()
    for shown in ("The run is still going", "4,321", "98,765", "1 h 15 min", "1.0 MiB", "Allowed: over budget"):
        assert shown in page
    assert "<script>alert" not in page
    assert (found["plan"]["to_embed"], found["plan"]["minutes"]) == (4321, 75)
    assert (found["allowed"], found["full"], found["progress"]) == (["over_budget"], True, [])


def test_a_plan_of_another_version_is_shown_as_far_as_it_goes(viewer, pydocs):
    from slipway.manifest import Draft

    Draft(pydocs, layout.plan("manual__1"), "plan", "manual__1").seal({"to_embed": 4321}, {"encoder": "e"})
    page = viewer.get(RUN)
    assert page.status_code == 200
    assert "4,321" in page.text


@pytest.fixture
def unreachable(monkeypatch):
    from slipway_airflow.ui import store

    class Unreachable:
        calls = 0

        def __getattr__(self, name):
            Unreachable.calls += 1
            raise StoreUnreachable("cannot read in bucket lake: the store did not answer")

    monkeypatch.setattr(store, "open_store", lambda url: Unreachable())
    return Unreachable


def test_an_unreachable_store_is_named(viewer, unreachable):
    page, found = viewer.get(RUN), viewer.get(f"/api{RUN}")
    assert page.status_code == found.status_code == 503
    assert "the store did not answer" in page.text
    assert "Traceback" not in page.text
    assert found.json() == {"detail": "cannot read in bucket lake: the store did not answer"}


def test_an_unreachable_store_is_asked_once_for_all_its_collections(viewer, unreachable):
    found = viewer.get("/api/releases").json()["collections"]
    assert [one["collection"] for one in found] == ["broken", "pydocs"]
    assert all("did not answer" in one["error"] for one in found)
    assert unreachable.calls == 1
    assert "not readable" in viewer.get("/releases").text


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"metrics": NaN}', b"\xff"])
def test_a_damaged_result_is_named(viewer, pydocs, body):
    pydocs.put(layout.result("manual__1"), body)
    page = viewer.get(RUN)
    assert page.status_code == 500
    assert "The result cannot be read" in page.text
    assert "runs/manual__1/result.json" in page.text


def test_a_missing_collections_folder_is_named(viewer, monkeypatch):
    monkeypatch.setenv("SLIPWAY_COLLECTIONS", "/nowhere")
    answer = viewer.get("/releases")
    assert answer.status_code == 500
    assert "The configuration is wrong" in answer.text


def test_an_unforeseen_error_shows_nothing_of_itself(viewer, monkeypatch):
    from slipway_airflow.ui import store

    def broken(*_):
        raise RuntimeError("password=secret")

    monkeypatch.setattr(store, "read_run", broken)
    answer = viewer.get(RUN)
    assert answer.status_code == 500
    assert "secret" not in answer.text


@pytest.mark.parametrize("path", [*EVERY, "/nothing", "/dags/other/runs/x"])
def test_every_answer_carries_the_policy(client, viewer, path):
    for answer in (client.get(path), viewer.get(path), client.get(path, headers={"Authorization": ""})):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_a_dag_run_is_found_in_airflows_database(airflow_tables):
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType

    from slipway_airflow.ui.runs import find_run

    with create_session() as session:
        session.add(
            DagRun(dag_id="ui__nightly", run_id="manual__1", run_type=DagRunType.MANUAL, state=DagRunState.RUNNING)
        )
        session.flush()
        found = find_run(session, "ui__nightly", "manual__1")
        assert found is not None
        assert (found.state, found.going, found.tasks) == ("running", True, ())
        assert find_run(session, "ui__nightly", "manual__2") is None
        session.rollback()
