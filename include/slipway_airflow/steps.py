"""`@step`: what all tasks of a run have in common. Retries, time limit, error mapping, and the seconds it took."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import get_current_context, task

from slipway_airflow.failures import describe, task_failures

RETRIES = 2
WAITING_RETRIES = 40  # ten minutes apart at most: the first task waits for another run, or for the store, half a night
FIRST_RETRY = timedelta(seconds=30)
LAST_RETRY = timedelta(minutes=10)

# XCom keys beside the return value. The report reads them of failed tasks too.
SECONDS = "seconds"
FAILURE = "failure"
MESSAGE_CHARACTERS = 2_000


def step(hours: float, **settings: Any) -> Callable[[Callable[..., Any]], Any]:
    """A TaskFlow task that may take `hours` and gets `settings`. Its docstring is its page in the Airflow UI."""

    def decorate(body: Callable[..., Any]) -> Any:
        @functools.wraps(body)
        def measured(*args: Any, **kwargs: Any) -> Any:
            ti, started = get_current_context()["ti"], time.monotonic()
            try:
                with told_failures(ti):
                    return body(*args, **kwargs)
            finally:
                ti.xcom_push(SECONDS, round(time.monotonic() - started, 3))

        return task(
            multiple_outputs=False,
            retries=RETRIES,
            retry_delay=FIRST_RETRY,
            retry_exponential_backoff=2,
            max_retry_delay=LAST_RETRY,
            execution_timeout=timedelta(hours=hours),
            doc_md=inspect.getdoc(body),  # mapped tasks do not take it from the docstring by themselves
            **settings,
        )(measured)

    return decorate


@contextmanager
def told_failures(ti: Any) -> Iterator[None]:
    """Map errors as `task_failures` does, and leave a sentence about them for the report."""
    try:
        with task_failures():
            yield
    except BaseException as error:  # Airflow's time limit is no Exception
        if not _is_skip(error):
            ti.xcom_push(FAILURE, describe(error)[:MESSAGE_CHARACTERS])
        raise


def _is_skip(error: BaseException) -> bool:
    from airflow.sdk.exceptions import AirflowSkipException

    return isinstance(error, AirflowSkipException)
