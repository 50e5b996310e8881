"""What a check found, and how a check is made so that whatever it raises becomes a finding too."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from slipway.errors import SlipwayError

Made = TypeVar("Made")
_AGAIN = "then run slipway doctor again"


class Status(StrEnum):
    """How a check ended. Only `FAIL` stops an installation from being used."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    WARN = "warn"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a check ended, what it found, and what is to be done about it."""

    status: Status
    found: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's table: which check of what, how it ended, what to do, and how long it took."""

    check: str
    subject: str
    status: Status
    found: str
    todo: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return asdict(self)


def passed(found: str) -> Outcome:
    """All is well."""
    return Outcome(Status.PASS, found)


def failed(found: str, todo: str) -> Outcome:
    """This must be mended before the first night."""
    return Outcome(Status.FAIL, found, todo)


def warned(found: str, todo: str) -> Outcome:
    """A night may go well all the same; somebody should know."""
    return Outcome(Status.WARN, found, todo)


def skipped(why: str) -> Outcome:
    """This could not be looked at, or there is nothing to look at."""
    return Outcome(Status.SKIP, why)


def examine(check: str, subject: str, look: Callable[[], Outcome]) -> Finding:
    """Make one check. What it raises is a failed check; only what ends the program goes through."""
    began = time.monotonic()
    try:
        outcome = look()
    except Exception as error:
        outcome = _failure(error)
    seconds = round(time.monotonic() - began, 3)
    return Finding(check, subject, outcome.status, outcome.found, outcome.todo, seconds)


def obtain(
    check: str, subject: str, make: Callable[[], Made], found: Callable[[Made], str]
) -> tuple[Finding, Made | None]:
    """Make something that later checks need; None, beside a failed check, where that raised."""
    made: list[Made] = []

    def look() -> Outcome:
        made.append(make())
        return passed(found(made[0]))

    finding = examine(check, subject, look)
    return finding, made[0] if made else None


def _failure(error: Exception) -> Outcome:
    if isinstance(error, SlipwayError):
        return failed(f"{type(error).__name__}: {error}", f"mend what the message names, {_AGAIN}")
    if isinstance(error, OSError):
        return failed(_reported(error), f"mend what the machine reports, {_AGAIN}")
    return failed(  # without the message: a library's may quote a password
        f"{type(error).__name__} at {_where(error)}", "this is a fault of Slipway or of a library: report it"
    )


def _reported(error: OSError) -> str:
    """What the system says, and of which file. Not the message: a library's may quote a URL with its password."""
    said = f"{error.strerror} ({error.filename})" if isinstance(error.filename, str) else str(error.strerror)
    if error.errno is None or "://" in said:
        return f"{type(error).__name__} at {_where(error)}"
    return f"{type(error).__name__}: {said}"


def _where(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
