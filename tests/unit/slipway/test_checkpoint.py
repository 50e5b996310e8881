from pathlib import Path

import pytest

from slipway import checkpoint, layout
from slipway.checkpoint import SourceState, Start
from slipway.errors import CorruptObject, InputError, ObjectMissing
from slipway.manifest import Draft, Manifest
from slipway.run import Run
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.cleaning_run import a_run

STATE = SourceState({"kind": "watermark", "value": "7"}, "2026-01-30T02:15:00+00:00", "r1")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path)


def another(run: Run, run_id: str) -> Run:
    return Run(run.collection, run.store, run_id, run.scratch, run.connections)


def snapshot(run: Run, name: str) -> Manifest:
    return Draft(run.store, layout.snapshot(name), "snapshot", name).seal({"documents": len(name)})


def begin(run: Run) -> Start:
    newest = checkpoint.newest(run.store)
    return checkpoint.begin(run, Start(0, None, "e", newest.place if newest else None))


def test_a_run_builds_on_the_newest_checkpoint(run: Run) -> None:
    begin(run)
    assert checkpoint.base_of(run) is None
    first = checkpoint.write(run, snapshot(run, "one"), {"api": STATE})

    second_run = another(run, "run-2")
    begin(second_run)
    assert checkpoint.base_of(second_run) == first
    assert first.sources == {"api": STATE}
    assert first.snapshot == layout.snapshot("one")


def test_a_retry_sees_the_beginning_that_the_first_attempt_saw(run: Run) -> None:
    first = checkpoint.begin(run, Start(3, "r", "e", None, True, ("deletes",)))
    again = checkpoint.begin(run, Start(9, "other", "e", "checkpoints/x"))
    assert again == first == checkpoint.start_of(run) == checkpoint.started(run)


def test_a_run_without_a_beginning_is_told(run: Run) -> None:
    assert checkpoint.started(run) is None
    with pytest.raises(InputError, match="'run-1' has no beginning"):
        checkpoint.base_of(run)


def test_a_night_that_read_no_further_writes_no_checkpoint(run: Run) -> None:
    begin(run)
    first = checkpoint.write(run, snapshot(run, "one"), {"api": STATE})
    later = another(run, "run-2")
    begin(later)
    assert checkpoint.write(later, snapshot(run, "one"), {"api": STATE}) == first
    assert checkpoint.all_places(run.store) == [first.place]


def test_a_watermark_moves_with_an_unchanged_snapshot(run: Run) -> None:
    begin(run)
    checkpoint.write(run, snapshot(run, "one"), {"api": STATE})
    later = another(run, "run-2")
    begin(later)
    moved = SourceState({"kind": "watermark", "value": "8"}, STATE.full_at, STATE.recipe)
    checkpoint.write(later, snapshot(run, "one"), {"api": moved})
    newest = checkpoint.newest(run.store)
    assert newest is not None
    assert newest.sources == {"api": moved}


def test_a_retry_writes_its_checkpoint_once(run: Run) -> None:
    begin(run)
    first = checkpoint.write(run, snapshot(run, "one"), {"api": STATE})
    assert checkpoint.write(run, snapshot(run, "one"), {"api": STATE}) == first
    assert checkpoint.all_places(run.store) == [first.place]


def test_an_unfinished_checkpoint_is_none(run: Run) -> None:
    run.store.put(f"{layout.checkpoint('20260130T021500Z', 'killed')}/ab/rest", b"x")
    assert checkpoint.newest(run.store) is None


def test_bad_input_a_damaged_checkpoint_is_an_error_and_not_a_first_run(run: Run) -> None:
    begin(run)
    made = checkpoint.write(run, snapshot(run, "one"), {"api": STATE})
    run.store.put(f"{made.place}/manifest.json", b"{")
    with pytest.raises(CorruptObject, match="checkpoints/"):
        checkpoint.newest(run.store)
    with pytest.raises(ObjectMissing):
        checkpoint.read(run.store, "checkpoints/never")
