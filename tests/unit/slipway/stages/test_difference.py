import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import BreakerTripped
from slipway.manifest import Manifest
from slipway.run import Run
from slipway.stages.clean import clean
from slipway.stages.difference import difference
from slipway.stages.snapshot import snapshot
from slipway.storage.local import LocalStore
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.cleaning_run import a_run, raw_of, read, table


def a_snapshot(run: Run, texts: dict[str, str | None]) -> Manifest:
    return snapshot(run, [clean(run, "api", raw_of(run, [table(*texts.items())]))])


def a_local_run(folder: Path, **limits: float) -> Run:
    return a_run(LocalStore(folder / "store"), folder / "scratch", limits=limits, clean={"duplicates": "none"})


def numbered(first: int, last: int, word: str = "text") -> dict[str, str | None]:
    return {f"{n:04d}": f"{word} {n}" for n in range(first, last)}


def test_what_changed_is_listed_by_id(tmp_path: Path) -> None:
    run = a_local_run(tmp_path, deleted_share=0.5)
    live = a_snapshot(run, {"a": "stays", "b": "changes", "c": "goes"})
    new = a_snapshot(run, {"a": "stays", "b": "has changed", "d": "comes"})
    made = difference(run, new, live)
    assert made.counts == {
        "added": 1, "changed": 1, "deleted": 1, "unchanged": 1, "documents": 3, "baseline_documents": 3,
    }  # fmt: skip
    assert read(run, made, "difference") == [
        {"document_id": "api:b", "change": "changed"},
        {"document_id": "api:c", "change": "deleted"},
        {"document_id": "api:d", "change": "added"},
    ]
    assert made.place == f"differences/{live.fingerprint}-{new.fingerprint}"


def test_without_a_live_release_everything_is_added(tmp_path: Path) -> None:
    run = a_local_run(tmp_path)
    made = difference(run, a_snapshot(run, numbered(0, 10)), None)
    assert (made.counts["added"], made.counts["baseline_documents"]) == (10, 0)
    assert made.place.startswith("differences/none-")


def test_a_title_or_metadata_that_changed_is_a_change(tmp_path: Path) -> None:
    run = a_local_run(tmp_path)
    before, after = (
        snapshot(run, [clean(run, "api", raw_of(run, [table(("1", "text"), kind=[kind])]))]) for kind in "ab"
    )
    assert difference(run, after, before).counts["changed"] == 1


def test_the_same_snapshot_changes_nothing(tmp_path: Path) -> None:
    run = a_local_run(tmp_path)
    live = a_snapshot(run, numbered(0, 10))
    made = difference(run, live, live)
    assert made.counts["unchanged"] == 10
    assert made.objects == ()


def test_it_is_worked_out_once(tmp_path: Path) -> None:
    run = a_local_run(tmp_path)
    live, new = a_snapshot(run, numbered(0, 10)), a_snapshot(run, numbered(0, 11))
    assert difference(run, new, live) == difference(run, new, live)


def test_more_deletions_than_allowed_trip_the_breaker(tmp_path: Path) -> None:
    run = a_local_run(tmp_path, deleted_share=0.2)
    live, new = a_snapshot(run, numbered(0, 1_000)), a_snapshot(run, numbered(201, 1_000))
    with pytest.raises(BreakerTripped) as tripped:
        difference(run, new, live)
    message = str(tripped.value)
    assert "201 of the 1,000 live documents would vanish (20.1%)" in message
    assert "limits.deleted_share allows (20.0%)" in message
    assert "api:0000, api:0001, api:0002, api:0003, api:0004;" in message
    assert "--allow-deletes" in message
    # refused a second time too, from what was sealed the first time
    with pytest.raises(BreakerTripped):
        difference(run, new, live)
    assert difference(run, new, live, allow_deletes=True).counts["deleted"] == 201


@pytest.mark.parametrize(("share", "left"), [(0.2, 800), (1.0, 0), (0.0, 1_000)])
def test_as_many_deletions_as_allowed_pass(tmp_path: Path, share: float, left: int) -> None:
    run = a_local_run(tmp_path, deleted_share=share)
    live, new = a_snapshot(run, numbered(0, 1_000)), a_snapshot(run, numbered(1_000 - left, 1_000))
    assert difference(run, new, live).counts["deleted"] == 1_000 - left


def test_a_source_that_suddenly_returns_nothing_trips_the_breaker(tmp_path: Path) -> None:
    run = a_local_run(tmp_path)
    live, new = a_snapshot(run, numbered(0, 10)), a_snapshot(run, {})
    with pytest.raises(BreakerTripped, match="10 of the 10 live documents would vanish"):
        difference(run, new, live)


def test_more_rejected_rows_than_allowed_trip_the_breaker(tmp_path: Path) -> None:
    run = a_local_run(tmp_path, rejected_share=0.5)
    new = a_snapshot(run, numbered(0, 4) | {f"x{n}": None for n in range(6)})
    with pytest.raises(BreakerTripped) as tripped:
        difference(run, new, None, allow_deletes=True)
    assert "6 of the 10 rows read were turned away (60.0%)" in str(tripped.value)
    assert "limits.rejected_share allows (50.0%): no_text 6" in str(tripped.value)


def test_repeated_texts_do_not_trip_the_breaker(tmp_path: Path) -> None:
    run = a_run(LocalStore(tmp_path / "store"), tmp_path / "scratch", limits={"rejected_share": 0.1})
    new = a_snapshot(run, {str(n): "the same page again" for n in range(20)})
    assert difference(run, new, None).counts["added"] == 1


collections = st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from(["one", "two", "three"]), max_size=10)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(collections, collections)
def test_the_counts_are_those_of_plain_sets(before: dict[str, Any], after: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = a_run(MemoryStore(), Path(folder), clean={"duplicates": "none"}, limits={"deleted_share": 1})
        made = difference(run, a_snapshot(run, after), a_snapshot(run, before))
        both = before.keys() & after.keys()
        changed = {key for key in both if before[key] != after[key]}
        counts = dict(made.counts)
        assert counts["added"] + counts["changed"] + counts["unchanged"] == counts["documents"] == len(after)
        assert (
            counts["deleted"] + counts["changed"] + counts["unchanged"] == counts["baseline_documents"] == len(before)
        )
        listed = {(row["document_id"].removeprefix("api:"), row["change"]) for row in read(run, made, "difference")}
        assert listed == (
            {(key, "added") for key in after.keys() - before.keys()}
            | {(key, "deleted") for key in before.keys() - after.keys()}
            | {(key, "changed") for key in changed}
        )
