"""Which verdict a run has asked a person about. Airflow keeps a task's first question, and shows it ever after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipway.run import Run


def check_question(run: Run, judged: Mapping[str, Any]) -> None:
    """Keep what the run's first question is about. `judged` is what the task `judge` returned.

    Raises `InputError` where the run has asked about another verdict: whoever answered would have seen that one.
    """
    from slipway import layout
    from slipway.errors import ConflictError, InputError
    from slipway.manifest import fingerprint

    digest = fingerprint(dict(judged)).encode()
    key = layout.question(run.run_id)
    try:
        run.store.put_if(key, digest, None)
    except ConflictError:
        if run.store.read(key).body == digest:
            return
        raise InputError(
            "this run has asked before about another verdict, and Airflow would show that one again: start a new run "
            "of this DAG with the same form; nothing is embedded again"
        ) from None
