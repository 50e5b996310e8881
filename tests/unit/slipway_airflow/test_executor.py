"""The executor that imports before it forks."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.executors.local_executor import LocalExecutor
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.state import TaskInstanceState

from slipway_airflow.executor import PRELOADED, PreloadedLocalExecutor
from slipway_demo.surroundings import airflow_environment

HEAVY = {"torch", "openvino", "sentence_transformers", "transformers", "onnxruntime"}


def test_it_imports_before_the_workers_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(importlib, "import_module", order.append)
    monkeypatch.setattr(LocalExecutor, "start", lambda self: order.append("workers"))
    PreloadedLocalExecutor(parallelism=1).start()
    assert order == [*PRELOADED, "workers"]


def test_what_is_imported_brings_all_stages_and_no_encoder() -> None:
    code = (
        f"import importlib, json, sys\nfor name in {PRELOADED!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert {f"slipway.stages.{stage}" for stage in ("extract", "chunk", "embed", "index", "drift", "release")} <= loaded
    assert not loaded & HEAVY


def test_the_demo_has_it_and_a_setting_of_ones_own_comes_first(tmp_path: Path) -> None:
    name = "AIRFLOW__CORE__EXECUTOR"
    assert airflow_environment(tmp_path, 0, {})[name] == f"{PreloadedLocalExecutor.__module__}.PreloadedLocalExecutor"
    assert airflow_environment(tmp_path, 0, {name: "LocalExecutor"})[name] == "LocalExecutor"


KEY = TaskInstanceKey("pydocs__reindex", "approve", "demo", 1)
SUCCESS, FAILED = TaskInstanceState.SUCCESS, TaskInstanceState.FAILED


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Iterator[PreloadedLocalExecutor]:
    """One that has started, with its queues and without workers: the tests say what those would report."""
    monkeypatch.setattr("slipway_airflow.executor.PRELOADED", ())
    monkeypatch.setattr(LocalExecutor, "_spawn_workers_with_gc_freeze", lambda self, number: None)
    monkeypatch.setattr(LocalExecutor, "_check_workers", lambda self: None)
    made = PreloadedLocalExecutor(parallelism=1)
    made.start()
    yield made
    made.end()


def hand_out(executor: PreloadedLocalExecutor, key: TaskInstanceKey = KEY) -> None:
    executor.queued_tasks[key] = SimpleNamespace(key=key, ti=SimpleNamespace(priority_weight=1))
    executor.heartbeat()


def reported(executor: PreloadedLocalExecutor, state: TaskInstanceState, key: TaskInstanceKey = KEY) -> dict[str, str]:
    executor.result_queue.put((key, state, None))
    executor.heartbeat()
    return {key.task_id: state for key, (state, _) in executor.get_event_buffer().items()}


@pytest.mark.parametrize("state", [SUCCESS, FAILED])
def test_the_end_of_a_process_is_told_once(executor, state):
    hand_out(executor)
    assert executor.get_event_buffer() == {}
    assert reported(executor, state) == {"approve": state}
    assert executor.get_event_buffer() == {}


def test_the_end_of_a_task_that_waits_is_not_told_once_it_was_started_again(executor):
    hand_out(executor)
    hand_out(executor)
    assert reported(executor, SUCCESS) == {}
    assert reported(executor, FAILED) == {"approve": FAILED}


def test_an_end_that_the_scheduler_has_not_read_is_forgotten_when_the_task_is_started_again(executor):
    hand_out(executor)
    executor.result_queue.put((KEY, SUCCESS, None))
    executor.sync()
    hand_out(executor)
    assert executor.get_event_buffer() == {}
    assert reported(executor, FAILED) == {"approve": FAILED}


def test_an_end_that_arrives_with_the_second_start_is_not_taken_for_its(executor):
    hand_out(executor)
    executor.result_queue.put((KEY, SUCCESS, None))
    hand_out(executor)  # one heartbeat starts first and reads then
    assert executor.get_event_buffer() == {}


def test_a_failure_is_told_though_an_earlier_process_never_told_its_end(executor):
    hand_out(executor)  # its worker is killed once the task waits
    hand_out(executor)
    assert reported(executor, FAILED) == {"approve": FAILED}
    hand_out(executor)
    assert reported(executor, FAILED) == {"approve": FAILED}


def test_other_tasks_and_tries_are_told_as_they_end(executor):
    others = (KEY._replace(task_id="judge"), KEY._replace(try_number=2), KEY._replace(map_index=3))
    hand_out(executor)
    for other in others:
        hand_out(executor, other)
    for other in others:
        assert reported(executor, SUCCESS, other) == {other.task_id: SUCCESS}


def test_a_task_that_was_never_handed_out_can_be_failed(executor):
    executor.fail(KEY)
    assert {state for state, _ in executor.get_event_buffer().values()} == {FAILED}
    hand_out(executor)
    assert reported(executor, SUCCESS) == {"approve": SUCCESS}
