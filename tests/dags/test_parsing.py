"""What Airflow sees when it parses the DAG files: which DAGs, how they are wired, and what parsing costs."""

import subprocess
import sys
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.dags.bench import COLLECTION, GATES
from tests.dags.conftest import ROOT

HEAVY = ("torch", "sentence_transformers", "transformers", "faiss", "boto3", "pandas", "pyarrow", "duckdb", "numpy")
ORDER = (
    "preflight", "extract", "clean", "snapshot", "compare", "chunk",
    "plan", "embed", "index", "reconcile", "evaluate", "side_by_side", "gate", "release", "report",
)  # fmt: skip


@pytest.fixture(scope="session")
def shipped():
    """The DAGs of the collections that come with the project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_COLLECTIONS", str(ROOT / "include" / "collections"))
        return parse()


def parse():
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(ROOT / "dags"))


def describe(folder, name, **fields):
    text = COLLECTION.format(folder=folder, gates=GATES, encoder="minilm")
    for field, value in fields.items():
        text += f"{field}: {value}\n"
    (folder / f"{name}.yaml").write_text(text)


def dags_of(*collections):
    return {f"{name}__{kind}" for name in collections for kind in ("nightly", "maintenance", "reindex", "rollback")}


def test_there_are_all_dags_for_each_collection_and_no_import_error(shipped):
    assert not shipped.import_errors
    assert set(shipped.dag_ids) == dags_of("pydocs")


def test_each_collection_has_dags_of_its_own(collections):
    describe(collections, "first")
    describe(collections, "second")
    bag = parse()
    assert set(bag.dag_ids) == dags_of("first", "second")
    assert not bag.import_errors


def test_a_broken_collection_file_is_an_import_error_and_takes_no_other_dag_down(collections):
    describe(collections, "good")
    describe(collections, "bad", chunk="{tokens: many}")
    bag = parse()
    assert set(bag.dag_ids) == dags_of("good")
    [(file, message)] = bag.import_errors.items()
    assert file.endswith("collections_check.py")
    assert "bad.yaml: field chunk.tokens: got 'many'" in message
    assert "good.yaml" not in message


def test_every_broken_file_is_named(collections):
    (collections / "one.yaml").write_text("{")
    (collections / "two.yaml").write_text("description: no sources\n")
    [message] = parse().import_errors.values()
    assert "2 broken collection files" in message
    assert "one.yaml" in message
    assert "two.yaml: field sources" in message


def test_a_missing_folder_of_collections_is_an_import_error(monkeypatch, tmp_path):
    monkeypatch.setenv("SLIPWAY_COLLECTIONS", str(tmp_path / "nowhere"))
    bag = parse()
    assert not bag.dag_ids
    [message] = bag.import_errors.values()
    assert "no such folder of collection files" in message


def test_parsing_imports_nothing_heavy_that_airflow_does_not_import_itself(collections):
    """In a fresh process, since this one has imported the lot by now."""
    describe(collections, "tiny")
    airflow = "import airflow.sdk, airflow.sdk.exceptions"
    dags = "\n".join(
        f"import runpy; runpy.run_path({str(ROOT / 'dags' / name)!r})"
        for name in ("nightly.py", "maintenance.py", "reindex.py", "rollback.py", "collections_check.py")
    )
    assert imported(airflow + "\n" + dags) - imported(airflow) == set()


def imported(program):
    """The heavy modules that a fresh process has after running a program."""
    program += f"\nimport sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(eval(done.stdout.splitlines()[-1]))


def test_the_stages_follow_each_other_in_the_pipelines_order(shipped):
    dag = shipped.dags["pydocs__nightly"]
    assert set(dag.task_ids) == {*ORDER, "drift"}
    for number, task_id in enumerate(ORDER[:-1]):
        after = dag.get_task(task_id).get_flat_relative_ids(upstream=False)
        assert set(ORDER[number + 1 :]) <= after, f"not all later stages wait for {task_id}"


def test_a_release_needs_a_passed_gate_and_the_gate_an_evaluation(shipped):
    dag = shipped.dags["pydocs__nightly"]
    for task_id, upstream in (
        ("release", "gate"),
        ("gate", "side_by_side"),
        ("side_by_side", "evaluate"),
        ("evaluate", "reconcile"),
    ):
        task = dag.get_task(task_id)
        assert upstream in task.upstream_task_ids
        assert task.trigger_rule == "all_success"


def test_drift_is_observed_beside_the_gates_and_before_the_report(shipped):
    dag = shipped.dags["pydocs__nightly"]
    drift = dag.get_task("drift")
    assert "evaluate" in drift.upstream_task_ids
    assert drift.downstream_task_ids == {"report"}


def test_the_index_is_built_when_nothing_had_to_be_embedded(shipped):
    assert shipped.dags["pydocs__nightly"].get_task("index").trigger_rule == "none_failed"


def test_the_report_runs_whatever_happened_and_does_not_colour_the_run(shipped):
    report = shipped.dags["pydocs__nightly"].get_task("report")
    assert report.is_teardown
    assert not report.on_failure_fail_dagrun
    assert {"extract", "clean", "embed", "release"} <= report.upstream_task_ids


def test_every_task_has_retries_with_backoff_a_time_limit_and_a_page(shipped):
    for task in shipped.dags["pydocs__nightly"].tasks:
        assert task.retries == (40 if task.task_id == "preflight" else 2), task.task_id
        assert task.retry_exponential_backoff, task.task_id
        assert timedelta(0) < task.execution_timeout <= timedelta(hours=6), task.task_id
        assert "Red?" in task.doc_md, task.task_id


def test_the_release_has_time_for_its_shift(collections, shipped):
    describe(collections, "shifted", release="{shift: [10, 50, 100], step_minutes: 30, wait_minutes: 20}")
    limits = [dags.get_task("release").execution_timeout for dags in (shipped.dags["pydocs__nightly"],)]
    limits.append(parse().dags["shifted__nightly"].get_task("release").execution_timeout)
    assert limits == [timedelta(hours=2), timedelta(hours=2) + 3 * timedelta(minutes=50)]


def test_the_dags_page_names_every_task_and_says_what_to_do_when_the_run_is_red(shipped):
    page = shipped.dags["pydocs__nightly"].doc_md
    assert all(f"| `{task_id}` |" in page for task_id in ORDER)
    assert "The run is red" in page


def test_one_run_at_a_time_on_the_collections_schedule_and_nothing_is_caught_up(shipped):
    dag = shipped.dags["pydocs__nightly"]
    assert dag.max_active_runs == 1
    assert not dag.catchup
    assert dag.timetable.expression == "15 2 * * *"


def test_a_collection_without_a_schedule_runs_by_hand_only(collections):
    describe(collections, "manual")
    file = collections / "manual.yaml"
    file.write_text(file.read_text().replace('schedule: "15 2 * * *"\n', ""))
    assert parse().dags["manual__nightly"].timetable.can_be_scheduled is False


def test_every_parameter_of_the_form_has_a_title_and_a_description(shipped):
    params = shipped.dags["pydocs__nightly"].params
    allowed = {"allow_deletes", "allow_changes", "allow_over_budget", "allow_encoder_change", "allow_undecided"}
    assert set(params) == {"reason", "full", *allowed}
    for name in params:
        schema = params.get_param(name).schema
        assert schema["title"]
        assert len(params.get_param(name).description) > 20


def test_every_pool_that_a_task_names_is_among_those_that_set_up_creates(collections, airflow_tables):
    from airflow.models.pool import Pool

    describe(collections, "on_cpu")
    describe(collections, "on_gpu")
    file = collections / "on_gpu.yaml"
    file.write_text(file.read_text().replace("embed: {", "embed: {device: cuda, "))
    dags = parse().dags
    named = {task.pool for dag in dags.values() for task in dag.tasks}
    assert named == {"default_pool", "slipway_embed_cpu", "slipway_embed_gpu", "slipway_index"}
    assert named <= {pool.pool for pool in Pool.get_pools()}
    for kind in ("nightly", "reindex"):
        assert dags[f"on_gpu__{kind}"].get_task("embed").pool == "slipway_embed_gpu"


def test_creating_the_pools_again_keeps_the_slots_that_somebody_set(airflow_tables):
    from airflow.models.pool import Pool

    from slipway_airflow.pools import INDEX, create_pools

    before = Pool.get_pool(INDEX)
    Pool.create_or_update_pool(INDEX, 3, "more memory", include_deferred=False)
    try:
        assert create_pools() == []
        assert Pool.get_pool(INDEX).slots == 3
    finally:  # files that come after this one have the same database
        Pool.create_or_update_pool(INDEX, before.slots, before.description, include_deferred=False)


def test_the_release_produces_the_collections_asset(shipped):
    [asset] = shipped.dags["pydocs__nightly"].get_task("release").outlets
    assert asset.name == "slipway/pydocs/release"
    assert asset.uri.rstrip("/") == "slipway://pydocs/release"


def test_the_maintenance_waits_for_hours_while_a_run_is_at_work(shipped):
    dag = shipped.dags["pydocs__maintenance"]
    for task in (dag.get_task("retention"), dag.get_task("maintain")):
        assert not task.retry_exponential_backoff  # steady, or run after run would go first
        assert task.retries * task.retry_delay >= timedelta(hours=6)


def test_the_maintenance_is_one_task_after_another_each_with_its_page(shipped):
    dag = shipped.dags["pydocs__maintenance"]
    order = ["verify", "retention", "maintain", "backup", "drill"]
    assert [task.task_id for task in dag.topological_sort()] == order
    for before, after in pairwise(order):
        assert dag.get_task(before).downstream_task_ids == {after}
    for task in dag.tasks:
        assert timedelta(0) < task.execution_timeout <= timedelta(hours=6)
        assert "Red?" in task.doc_md
        assert f"| `{task.task_id}` |" in dag.doc_md


def test_the_maintenance_runs_once_at_a_time_on_the_collections_schedule(collections):
    describe(collections, "weekly")
    describe(collections, "asked", maintenance="{schedule: null}")
    dags = parse().dags
    assert dags["weekly__maintenance"].max_active_runs == 1
    assert not dags["weekly__maintenance"].catchup
    assert dags["weekly__maintenance"].timetable.expression == "45 12 * * 0"
    assert dags["asked__maintenance"].timetable.can_be_scheduled is False


def test_the_rollback_is_started_by_hand_only_and_at_once(shipped):
    dag = shipped.dags["pydocs__rollback"]
    assert dag.timetable.can_be_scheduled is False
    assert dag.is_paused_upon_creation is False
    assert dag.max_active_runs == 1
    [task] = dag.tasks
    nightly = shipped.dags["pydocs__nightly"]
    assert task.priority_weight > sum(one.priority_weight for one in nightly.tasks) * len(nightly.tasks)
    assert task.pool == "default_pool"
    assert task.retries == 2
    assert timedelta(0) < task.execution_timeout <= timedelta(minutes=15)
    assert "Red?" in task.doc_md
    assert f"| `{task.task_id}` |" in dag.doc_md
    assert [asset.name for asset in task.outlets] == ["slipway/pydocs/release"]


def test_the_form_of_a_rollback_asks_for_a_reason_and_explains_itself(shipped):
    params = shipped.dags["pydocs__rollback"].params
    reason, to = params.get_param("reason"), params.get_param("to")
    assert list(params) == ["reason", "to"]
    assert not reason.has_value
    assert reason.schema["minLength"] > 0
    assert (to.value, to.schema["type"]) == (None, ["null", "string"])
    assert all(one.schema["title"] and len(one.description) > 20 for one in (reason, to))


CAMPAIGN = ("preflight", "sample", "shards", "embed", "build", "judge", "approve", "release", "report")


def test_the_parts_of_an_upgrade_follow_each_other(shipped):
    dag = shipped.dags["pydocs__reindex"]
    assert set(dag.task_ids) == set(CAMPAIGN)
    for number, task_id in enumerate(CAMPAIGN[:-1]):
        after = dag.get_task(task_id).get_flat_relative_ids(upstream=False)
        assert set(CAMPAIGN[number + 1 :]) <= after, f"not all later parts wait for {task_id}"
    assert dag.get_task("approve").trigger_rule == dag.get_task("release").trigger_rule == "all_success"
    assert dag.get_task("report").is_teardown


def test_an_upgrade_goes_on_where_its_sample_or_its_embedding_was_skipped(shipped):
    dag = shipped.dags["pydocs__reindex"]
    assert {dag.get_task(name).trigger_rule for name in ("shards", "build")} == {"none_failed"}


def test_every_part_of_an_upgrade_has_retries_a_time_limit_and_a_page(shipped):
    dag = shipped.dags["pydocs__reindex"]
    for task in dag.tasks:
        assert task.retries >= 2, task.task_id
        assert timedelta(0) < task.execution_timeout <= timedelta(hours=8), task.task_id
        assert "Red?" in task.doc_md, task.task_id
        assert f"| `{task.task_id}` |" in dag.doc_md
    release = dag.get_task("release")
    for waiting in (dag.get_task("preflight"), release):  # for another upgrade, or for a night
        assert not waiting.retry_exponential_backoff
        assert waiting.retries * waiting.retry_delay >= timedelta(hours=6)
    assert [asset.name for asset in release.outlets] == ["slipway/pydocs/release"]


def test_an_upgrade_is_started_by_hand_only_one_at_a_time(shipped):
    dag = shipped.dags["pydocs__reindex"]
    assert dag.timetable.can_be_scheduled is False
    assert dag.is_paused_upon_creation is False
    assert dag.max_active_runs == 1


def test_the_form_of_an_upgrade_asks_for_encoder_and_reason_and_explains_itself(shipped):
    params = shipped.dags["pydocs__reindex"].params
    assert list(params) == ["encoder", "reason", "index", "sample", "approval", "budget_hours"]
    encoder, reason = params.get_param("encoder"), params.get_param("reason")
    assert not encoder.has_value
    assert not reason.has_value
    assert encoder.schema["enum"] == ["minilm"]
    assert params.dump() | {"encoder": None, "reason": None} == {
        "encoder": None, "reason": None, "index": None, "sample": 2000, "approval": True, "budget_hours": None,
    }  # fmt: skip
    for name in params:
        assert params.get_param(name).schema["title"]
        assert len(params.get_param(name).description) > 20


def test_the_form_of_an_upgrade_lists_the_encoders_beside_the_collection_files(collections):
    describe(collections, "tiny", reindex="{sample: 50, approval_hours: 5}")
    (collections.parent / "encoders").mkdir()
    (collections.parent / "encoders" / "other.yaml").write_text("dimension: 8")
    dag = parse().dags["tiny__reindex"]
    assert dag.params.get_param("encoder").schema["enum"] == ["minilm", "other"]
    assert dag.params.get_param("sample").value == 50
    assert dag.get_task("approve").response_timeout == timedelta(hours=5)
    assert dag.get_task("approve").defaults == ["Reject"]
