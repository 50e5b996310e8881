import pytest

from slipway.cleaning.recipe import recipe
from slipway.config import SqlSource
from slipway.config.collection import Clean

BASE = {
    "name": "api", "kind": "sql", "connection": "db", "table": "docs", "id": "id", "text": "{body}", "updated_at": "at",
}  # fmt: skip


def named(source: dict[str, object] | None = None, **clean: object) -> str:
    return recipe(SqlSource.model_validate(BASE | (source or {})), Clean.model_validate(clean))


@pytest.mark.parametrize(
    "source",
    [{"text": "{title}"}, {"metadata": ("kind",)}, {"table": "other"}, {"tombstone": "gone"}, {"updated_at": "moved"}],
)
def test_what_a_document_is_made_of_makes_another_recipe(source: dict[str, object]) -> None:
    assert named(source) != named()


@pytest.mark.parametrize("clean", [{"html": "strip"}, {"min_characters": 9}, {"languages": ("en",)}])
def test_cleaning_rules_make_another_recipe(clean: dict[str, object]) -> None:
    assert named(**clean) != named()


def test_bands_count_only_where_near_duplicates_are_sought() -> None:
    assert named(near_threshold=0.7) == named() == named(duplicates="none")
    assert len({named(duplicates="near"), named(duplicates="near", near_threshold=0.7), named()}) == 3


@pytest.mark.parametrize(
    "source", [{"overlap": 5}, {"id_scan": False}, {"full_every_days": 30}, {"may_be_empty": True}]
)
def test_how_often_a_source_is_read_does_not_matter(source: dict[str, object]) -> None:
    assert named(source) == named()
