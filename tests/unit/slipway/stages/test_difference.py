import hashlib
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway import layout
from slipway.cleaning.reasons import DUPLICATE
from slipway.errors import BreakerTripped, InputError
from slipway.manifest import Draft, Manifest, fingerprint
from slipway.parts import PartWriter
from slipway.records import SNAPSHOT
from slipway.run import Run
from slipway.stages import difference as stage
from slipway.storage.local import LocalStore
from tests.support.memory_store import MemoryStore
from tests.support.starts import started
from tests.unit.slipway.stages.cleaning_run import a_run, read


def difference(run: Run, new: Manifest, live: Manifest | None) -> Manifest:
    """The difference, past the breaker."""
    made = stage.difference(run, new, live)
    stage.check_breaker(run, new, made)
    return made


def a_snapshot(run: Run, texts: dict[str, str], rejected: dict[str, int] | None = None, kind: str = "") -> Manifest:
    """A sealed snapshot of documents by key and text, and of so many rejected rows by reason."""
    rejected = rejected or {}
    name = fingerprint(texts, rejected, kind)
    draft = Draft(run.store, layout.snapshot(name), "snapshot", name)
    rows = [
        {
            "document_id": f"api:{key}",
            "source": "api",
            "title": "",
            "text": text,
            "metadata": "{}",
            "content_hash": hashlib.sha256((text + kind).encode()).hexdigest()[:32],
        }
        for key, text in sorted(texts.items())
    ]
    with PartWriter(draft, "documents", run.scratch / f"making-{name}") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=SNAPSHOT))
    documents_in = len(rows) + sum(rejected.values())
    counts = {"documents_in": documents_in, "documents": len(rows), "rejected": sum(rejected.values())}
    return draft.seal(counts, {"rejected_by_reason": rejected})


def a_local_run(folder: Path, *allowed: str, **limits: float) -> Run:
    return started(a_run(LocalStore(folder / "store"), folder / "scratch", limits=limits), *allowed)


def numbered(first: int, last: int, word: str = "text") -> dict[str, str]:
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
    run = a_local_run(tmp_path, changed_share=1)
    before, after = (a_snapshot(run, {"1": "text"}, kind=kind) for kind in "ab")
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
    assert f"all are in differences/{live.fingerprint}-{new.fingerprint}." in message
    assert "--allow-deletes" in message
    # refused a second time too, from what was sealed the first time
    with pytest.raises(BreakerTripped):
        difference(run, new, live)


def test_more_changes_than_allowed_trip_the_breaker(tmp_path: Path) -> None:
    run = a_local_run(tmp_path, changed_share=0.25)
    live = a_snapshot(run, numbered(0, 200))
    new = a_snapshot(run, numbered(0, 149) | numbered(149, 200, "other") | numbered(200, 210))
    with pytest.raises(BreakerTripped) as tripped:
        difference(run, new, live)
    message = str(tripped.value)
    assert "51 of the 200 live documents would change (25.5%)" in message
    assert "limits.changed_share allows (25.0%)" in message
    assert "The first: api:0149, api:0150, api:0151, api:0152, api:0153;" in message
    assert "--allow-changes" in message
    assert "vanish" not in message


def test_all_that_is_too_much_is_said_at_once(tmp_path: Path) -> None:
    run = a_local_run(tmp_path)
    live, new = a_snapshot(run, numbered(0, 10)), a_snapshot(run, numbered(4, 10, "other"))
    with pytest.raises(BreakerTripped) as tripped:
        difference(run, new, live)
    first, second = str(tripped.value).splitlines()
    assert first.startswith("4 of the 10 live documents would vanish")
    assert second.startswith("6 of the 10 live documents would change")


@pytest.mark.parametrize(
    ("allowed", "left"),
    [
        (("deletes",), ["change"]),
        (("changes",), ["vanish"]),
        (("over_budget", "encoder_change"), ["vanish", "change"]),
        (("changes", "deletes"), []),
    ],
)
def test_an_allowance_lets_its_own_breaker_pass(tmp_path: Path, allowed: tuple[str, ...], left: list[str]) -> None:
    run = a_local_run(tmp_path, *allowed)
    live, new = a_snapshot(run, numbered(0, 10)), a_snapshot(run, numbered(4, 10, "other"))
    if left:
        with pytest.raises(BreakerTripped) as tripped:
            difference(run, new, live)
        assert [word for word in ("vanish", "change") if f"would {word}" in str(tripped.value)] == left
    else:
        assert difference(run, new, live).counts["changed"] == 6


def test_a_run_that_has_not_begun_is_refused(tmp_path: Path) -> None:
    run = a_run(LocalStore(tmp_path / "store"), tmp_path / "scratch")
    with pytest.raises(InputError, match="run its preflight first"):
        difference(run, a_snapshot(run, numbered(0, 1)), None)


@pytest.mark.parametrize(("share", "changed"), [(0.2, 200), (1.0, 1_000), (0.0, 0)])
def test_as_many_changes_as_allowed_pass(tmp_path: Path, share: float, changed: int) -> None:
    run = a_local_run(tmp_path, changed_share=share)
    live = a_snapshot(run, numbered(0, 1_000))
    new = a_snapshot(run, numbered(0, changed, "other") | numbered(changed, 1_000))
    assert difference(run, new, live).counts["changed"] == changed


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
    run = a_local_run(tmp_path, "deletes", "changes", rejected_share=0.5)
    new = a_snapshot(run, numbered(0, 4), {"no_text": 5, "too_short": 1})
    with pytest.raises(BreakerTripped) as tripped:
        difference(run, new, None)
    assert "6 of the 10 rows read were turned away (60.0%)" in str(tripped.value)
    assert "limits.rejected_share allows (50.0%): no_text 5, too_short 1" in str(tripped.value)


def test_rejected_rows_are_judged_first(tmp_path: Path) -> None:
    run = a_local_run(tmp_path)
    live, new = a_snapshot(run, numbered(0, 10)), a_snapshot(run, {}, {"no_text": 10})
    with pytest.raises(BreakerTripped, match="turned away"):
        difference(run, new, live)


def test_repeated_texts_do_not_trip_the_breaker(tmp_path: Path) -> None:
    run = a_local_run(tmp_path, rejected_share=0.1)
    new = a_snapshot(run, numbered(0, 1), {DUPLICATE: 19})
    assert difference(run, new, None).counts["added"] == 1


collections = st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from(["one", "two", "three"]), max_size=10)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(collections, collections)
def test_the_counts_are_those_of_plain_sets(before: dict[str, Any], after: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = started(a_run(MemoryStore(), Path(folder), limits={"deleted_share": 1, "changed_share": 1}))
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
