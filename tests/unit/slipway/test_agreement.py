"""Index settings of releases that were made before some of today's settings were there."""

from pathlib import Path
from typing import Any

import pytest

from slipway import agreement
from slipway.agreement import as_now, index_of
from slipway.checkpoint import Start, begin
from slipway.config.index import Index
from slipway.manifest import Draft
from slipway.pipeline import verdict
from slipway.run import Run
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_candidate, a_run, an_evaluation, publish

NEW = {"contract", "shards", "build_memory"}


def as_before(**settings: Any) -> dict[str, Any]:
    """Index settings as a release of an older version holds them."""
    return Index(**settings).model_dump(mode="json", exclude=NEW)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path, index={"spec": "Flat"})


def test_what_older_versions_did_not_know_has_its_default() -> None:
    assert as_now(as_before(spec="HNSW16")) == Index(spec="HNSW16").model_dump(mode="json")
    assert as_now(None) is None


def test_a_file_that_names_what_an_older_campaign_replaced_is_known(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"encoder": "e", agreement.INDEX: as_before(spec="HNSW16")}
    facts[agreement.INSTEAD_OF] = {"index": as_before(spec="Flat")}
    live = Draft(run.store, "releases/one", "release", "one").seal({}, facts)
    monkeypatch.setattr(agreement, "named_releases", lambda store: {"one": live})
    assert index_of(run).spec == "HNSW16"


def test_a_file_that_names_a_campaign_of_before_that_was_left_is_known(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Draft(run.store, "releases/live", "release", "live").seal({}, {agreement.INDEX: as_before(spec="HNSW16")})
    left = {agreement.INDEX: as_before(spec="Flat"), agreement.INSTEAD_OF: {"index": as_before(spec="HNSW16")}}
    standby = Draft(run.store, "releases/left", "release", "left").seal({}, left)
    monkeypatch.setattr(agreement, "named_releases", lambda store: {"live": live, "left": standby})
    assert index_of(run).spec == "HNSW16"


def test_a_campaign_back_to_the_index_of_an_older_release_is_no_upgrade(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Index, "model_dump", _without_new(Index.model_dump))
    publish(run)
    monkeypatch.undo()
    begin(run, Start(0, None, "e" * 16, settings={"index": {"spec": "Flat"}}))
    assert verdict(run, an_evaluation(run, a_candidate(run, seed=9)), None).gates == ()


def _without_new(dump: Any) -> Any:
    def older(index: Index, **options: Any) -> Any:
        return {name: value for name, value in dump(index, **options).items() if name not in NEW}

    return older
