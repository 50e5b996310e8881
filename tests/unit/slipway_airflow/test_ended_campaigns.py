"""A campaign clears up after the same refusals in Airflow and on the command line."""

import pytest

from slipway.errors import EncoderError, LostRace, Refused, RunInProgress, SlipwayError
from slipway.reindex import ends_campaign
from slipway_airflow.campaign_report import is_refused


@pytest.mark.parametrize("error", [*Refused.__subclasses__(), LostRace, EncoderError, RunInProgress])
@pytest.mark.parametrize("task", ["build", "release"])
def test_the_campaign_has_ended(error: type[SlipwayError], task: str) -> None:
    told = {"failed": [{"task": task, "error": f"{error.__name__}: no"}]}
    assert is_refused(told) is ends_campaign(error("no"))
