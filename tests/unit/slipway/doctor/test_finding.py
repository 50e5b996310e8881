"""A check that raises is a failed check, with what to do, and never a traceback."""

from __future__ import annotations

from email.message import Message
from urllib.error import HTTPError

import pytest

from slipway.doctor import Outcome, Status, examine, failed, passed, skipped, warned
from slipway.doctor.finding import obtain
from slipway.errors import StoreDenied


def raising(error: BaseException) -> Outcome:
    raise error


def test_an_outcome_becomes_a_finding_with_its_time() -> None:
    for outcome in (passed("a"), failed("b", "do c"), warned("d", "do e"), skipped("f")):
        finding = examine("check", "subject", lambda outcome=outcome: outcome)
        assert (finding.check, finding.subject) == ("check", "subject")
        assert (finding.status, finding.found, finding.todo) == (outcome.status, outcome.found, outcome.todo)
        assert finding.seconds >= 0
        assert finding.as_json()["status"] == str(outcome.status)


def test_an_error_raised_on_purpose_keeps_its_words() -> None:
    found = examine("check", "subject", lambda: raising(StoreDenied("cannot write; check the rights")))
    assert (found.status, found.found) == (Status.FAIL, "StoreDenied: cannot write; check the rights")
    assert found.todo


def test_what_the_machine_reports_is_told() -> None:
    found = examine("check", "subject", lambda: raising(PermissionError(13, "Permission denied", "/scratch")))
    assert (found.status, "/scratch" in found.found) == (Status.FAIL, True)


@pytest.mark.parametrize(
    "error",
    [
        OSError("https://ann:hunter2@db/ does not answer"),
        ConnectionError("Max retries exceeded with url: https://ann:hunter2@db/"),
        HTTPError("https://ann:hunter2@db/", 404, "Not Found", Message(), None),
        OSError(5, "Input/output error", "https://ann:hunter2@db/"),
        OSError(5, "no answer from https://ann:hunter2@db/"),
    ],
)
def test_of_what_a_library_reports_only_the_systems_words_are_told(error: OSError) -> None:
    found = examine("check", "subject", lambda: raising(error))
    assert (found.status, found.found.startswith(type(error).__name__)) == (Status.FAIL, True)
    assert "hunter2" not in found.found + found.todo


def test_a_librarys_error_is_told_without_its_words_which_may_hold_a_password() -> None:
    found = examine("check", "subject", lambda: raising(ValueError("postgresql://ann:hunter2@db")))
    assert (found.status, found.found.startswith("ValueError at test_finding.py:")) == (Status.FAIL, True)
    assert "hunter2" not in found.found + found.todo


def test_what_ends_the_program_goes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        examine("check", "subject", lambda: raising(KeyboardInterrupt()))


def test_what_later_checks_need_is_there_or_a_failure_is() -> None:
    finding, made = obtain("check", "subject", lambda: 7, lambda made: f"made {made}")
    assert (finding.status, finding.found, made) == (Status.PASS, "made 7", 7)
    finding, nothing = obtain("check", "subject", lambda: int("x"), lambda made: f"made {made}")
    assert (finding.status, nothing) == (Status.FAIL, None)
