"""docs/configuration.md is what the models say."""

from pathlib import Path

from slipway.config.reference import reference

PAGE = Path(__file__).parents[4] / "docs" / "configuration.md"


def test_the_page_is_current():
    assert PAGE.read_text() == reference(), "run: python -m slipway.config.reference > docs/configuration.md"
