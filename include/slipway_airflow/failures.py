"""What Airflow does with each of Slipway's errors: try again, or fail at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from slipway.errors import CorruptObject, InputError, Refused, SlipwayError, StoreDenied, disk_errors

# The same input gives the same answer: a second try would only delay the alert.
PERMANENT = (InputError, Refused, CorruptObject, StoreDenied)


@contextmanager
def task_failures() -> Iterator[None]:
    """Fail the task without retries on errors that only a person can mend; all others are left to the retries."""
    try:
        with disk_errors():
            yield
    except PERMANENT as error:
        raise AirflowFailException(describe(error)) from error


def describe(error: BaseException) -> str:
    """A sentence for the result page. Errors that Slipway does not know are only named: they may quote secrets."""
    if isinstance(error, AirflowFailException) and isinstance(error.__cause__, SlipwayError):
        error = error.__cause__
    if isinstance(error, SlipwayError):
        return f"{type(error).__name__}: {error}"
    return f"{type(error).__name__}: see the task's log"
