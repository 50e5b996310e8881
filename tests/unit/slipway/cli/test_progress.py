"""What a run says on standard error while it is at work."""

import logging

import pytest

from slipway.cli.progress import Bars


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever else configured logging in this process does not hear it."""
    monkeypatch.setattr(logging.getLogger("slipway"), "propagate", False)


def test_a_shift_is_told_step_by_step_and_other_stages_only_warn(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars() as bars:
        bars("index", 1, 2, "vectors")
        logging.getLogger("slipway.rollout").info("%d %% of the requests", 10)
        logging.getLogger("slipway").info("a detail")
        logging.getLogger("slipway.lease").warning("the lease could not be renewed")
    said = capsys.readouterr()
    assert said.err.splitlines() == ["10 % of the requests", "the lease could not be renewed"]
    assert said.out == ""


def test_nothing_is_shown_after_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    before = list(logging.getLogger("slipway").handlers)
    with Bars():
        assert len(logging.getLogger("slipway").handlers) == len(before) + 1
    logging.getLogger("slipway.rollout").info("late")
    assert capsys.readouterr().err == ""
    assert logging.getLogger("slipway").handlers == before
