"""Watches a run from inside its process: a line as each task ends, and how far the work has come in between."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from airflow.listeners import hookimpl

from slipway_demo.screen import Screen


class Watcher(logging.Handler):
    """Listens to Airflow's task instances and to the logger `slipway.progress`, and tells the screen."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.INFO)
        self._screen = screen
        self._label = ""
        self._started = self._first_shard = 0.0
        self._tokens = self._embedded = self._in_shard = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Show how far the task at work is."""
        text = record.getMessage()
        if getattr(record, "stage", "") == "embed":
            text = self._all_shards(int(getattr(record, "done", 0)))
        self._screen.update(f"  … {self._label:<18} {text}")

    def _all_shards(self, done: int) -> str:
        """Shards run one after another here, so their sum tells how long the whole will take."""
        self._in_shard = done
        done += self._embedded
        speed = done / max(time.monotonic() - self._first_shard, 0.001)
        left = (self._tokens - done) / speed if speed else 0
        return f"{done:,} of {self._tokens:,} tokens embedded, {speed:,.0f} a second, {left:,.0f} s left"

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        """A task begins."""
        self._started = time.monotonic()
        if task_instance.task_id == "embed" and not self._first_shard:
            self._first_shard = self._started
        self._label = _label(task_instance)
        self._screen.start(f"  … {self._label}")

    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
        """A task ended well."""
        returned = _returned(task_instance)
        if task_instance.task_id == "plan":
            self._tokens = returned["tokens"]
        if task_instance.task_id == "embed":
            self._embedded, self._in_shard = self._embedded + self._in_shard, 0
        self._line("✓", _label(task_instance), _summary(task_instance.task_id, returned))

    @hookimpl
    def on_task_instance_skipped(self, previous_state: Any, task_instance: Any) -> None:
        """A task found nothing to do."""
        released = task_instance.xcom_pull(task_ids="release", key="released") or {}
        self._line("-", _label(task_instance), released.get("reason", "skipped"))

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
        """A task failed."""
        self._line("✗", _label(task_instance), str(error))

    def _line(self, mark: str, label: str, text: str) -> None:
        self._screen.say(f"  {mark} {label:<18} {time.monotonic() - self._started:6.1f} s   {text}")


def _label(task_instance: Any) -> str:
    task_id, index = task_instance.task_id, task_instance.map_index
    if index < 0:
        return str(task_id)
    shown = f"shard {index}" if task_id == "embed" else task_instance.rendered_map_index or f"[{index}]"
    return f"{task_id} {shown}"


def _returned(task_instance: Any) -> Any:
    key = "plan" if task_instance.task_id == "plan" else "released" if task_instance.task_id == "release" else None
    keyed = {"key": key} if key else {}
    index = task_instance.map_index if task_instance.map_index >= 0 else None
    return task_instance.xcom_pull(task_ids=task_instance.task_id, map_indexes=index, **keyed)


def _summary(task_id: str, returned: Any) -> str:
    write = SUMMARIES.get(task_id)
    return write(returned) if write and returned is not None else ""


def _evaluated(made: Mapping[str, Any]) -> str:
    names = ("recall_at_10", "ndcg_at_10", "hit_rate_at_10", "p95_ms")
    return "  ".join(f"{name} {made['metrics'][name]:.3f}" for name in names if name in made["metrics"])


SUMMARIES: dict[str, Callable[[Any], str]] = {
    "preflight": lambda made: f"live release: {made['live_release'] or 'none yet'}",
    "extract": lambda made: f"{made['rows']:,} rows",
    "clean": lambda made: f"{made['documents']:,} documents, {made['rejected']:,} rejected",
    "snapshot": lambda made: f"{made['documents']:,} documents, {made['rejected']:,} rejected in all",
    "compare": lambda made: ", ".join(f"{made[name]:,} {name}" for name in ("added", "changed", "deleted")),
    "chunk": lambda made: f"{made['chunks']:,} chunks, {made['tokens']:,} tokens",
    "plan": lambda made: f"{made['to_embed']:,} chunks to embed, {made['reused']:,} have a vector already",
    "embed": lambda made: f"{made['embedded']:,} chunks embedded, {made['resumed']:,} were there",
    "index": lambda made: f"{made['spec']} over {made['vectors']:,} vectors",
    "evaluate": _evaluated,
    "side_by_side": lambda made: f"{made['queries']:,} golden queries asked of the live release too",
    "drift": lambda made: f"{made['measures']} measures, {made['alarms']} alarms",
    "gate": lambda made: f"{len(made)} of {len(made)} gates passed",
    "release": lambda made: f"{made['release_id']} is live",
}
