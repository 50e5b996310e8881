"""The executor that imports before it forks."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.executors.local_executor import LocalExecutor

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
