from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway.building import bounded
from slipway.building.bounded import Budget, own_memory
from slipway.config.index import Index
from slipway.errors import IndexRefused, MemoryExceeded
from slipway.machine import Memory
from slipway.run import Run
from slipway.stages.index import index
from slipway.stages.shards import cut
from tests.support.memory_store import MemoryStore
from tests.support.releases import spec
from tests.unit.slipway.stages.index_run import a_run, embedded, use_fake_encoder

MIB = 1 << 20
TEXTS = [f"document number {number} of the bounded ones" for number in range(120)]


def test_the_setting_is_the_budget_and_else_what_the_machine_has_free(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Budget.of(Index(build_memory="3MiB")).bytes == 3 * MIB  # type: ignore[arg-type]
    monkeypatch.setattr(bounded, "memory_left", lambda: Memory(100 * MIB, "the control group /x"))
    found = Budget.of(Index())
    assert (found.bytes, found.says) == (90 * MIB, "the control group /x has 100.0 MiB free")
    monkeypatch.setattr(bounded, "memory_left", lambda: None)
    Budget.of(Index()).check_estimate(spec("HNSW32"), 10**9, 1024, 1)


def test_what_will_not_fit_is_refused_with_the_numbers_and_what_to_do() -> None:
    budget = Budget(100 * MIB, "index.build_memory", 0)
    budget.check_estimate(spec("Flat"), 10_000, 384, 1)
    with pytest.raises(IndexRefused) as refused:
        budget.check_estimate(spec("HNSW32"), 100_000, 384, 1)
    said = str(refused.value)
    for part in (
        "HNSW32 of 100,000 vectors of dimension 384",
        "100.0 MiB (index.build_memory)",
        "index.shards.vectors",
    ):
        assert part in said


def test_a_kind_whose_size_is_not_known_is_only_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> None:
        raise IndexRefused("what it takes in memory is not known")

    monkeypatch.setattr(bounded, "estimate", unknown)
    monkeypatch.setattr(bounded, "merge_bytes", unknown)
    budget = Budget(1, "index.build_memory", 0)
    budget.check_estimate(spec("IVF8,LSQ4x4fs"), 10**6, 384, 1)
    budget.check_merge(spec("IVF8,LSQ4x4fs"), 10**6, 384, 10**5)


def test_a_merge_that_will_not_fit_is_refused_and_may_be_left_out() -> None:
    budget = Budget(60 * MIB, "index.build_memory", 0)
    budget.check_merge(spec("IVF64,SQ8"), 10**8, 384, 10**6)  # from file to file
    budget.check_merge(spec("IVF64,PQ32x4fs,RFlat"), 10**6, 384, 10**6)
    with pytest.raises(IndexRefused, match=r"(?i)set index\.shards\.release to apart"):
        budget.check_merge(spec("IVF64,PQ32x4fs,RFlat"), 10**7, 384, 10**6)


def test_memory_that_is_taken_beyond_the_budget_stops_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "own_memory", lambda: 30 * MIB)
    told: list[int] = []
    Budget(10 * MIB, "index.build_memory", 20 * MIB).watching("building Flat", told.append)(5)
    with pytest.raises(MemoryExceeded, match=r"building Flat has taken 11\.0 MiB of memory, and may take 10\.0 MiB"):
        Budget(10 * MIB, "index.build_memory", 19 * MIB).watching("building Flat", told.append)(6)
    assert told == [5, 6]


def test_blocks_shrink_with_the_budget() -> None:
    budget = Budget(1 << 40, "", 0)
    assert budget.step(384) == bounded.ADD_STEP
    assert replace(budget, bytes=100 * MIB).step(384) == 100 * MIB // (16 * 4 * 384)
    assert replace(budget, bytes=1).step(384) == 256


def test_own_memory_is_what_no_file_backs(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("VmRSS:\t  900 kB\nRssAnon:\t  300 kB\nRssFile:\t  600 kB\n")
    assert own_memory(status) == 300 << 10
    status.write_text("VmRSS:\t  900 kB\n")
    assert own_memory(status) is None
    assert own_memory(tmp_path / "none") is None


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = a_run(MemoryStore(), tmp_path)
    use_fake_encoder(made, monkeypatch)
    return made


def with_index(run: Run, **settings: Any) -> Run:
    index_settings = Index.model_validate(settings)
    return replace(run, collection=run.collection.model_copy(update={"index": index_settings}))


def test_the_stages_keep_to_the_budget(run: Run) -> None:
    chunks = embedded(run, TEXTS)
    small = {"spec": "IVF4,SQ8", "build_memory": "2KiB"}
    with pytest.raises(IndexRefused, match="would take about"):
        index(with_index(run, **small), chunks)
    with pytest.raises(IndexRefused, match="would take about"):
        cut(with_index(run, **small, shards={"vectors": 50}), chunks)
    enough = index(with_index(run, spec="IVF4,SQ8", build_memory="1GiB"), chunks)
    assert enough.counts["vectors"] == len(TEXTS)


def test_a_build_that_grows_beyond_its_budget_is_stopped_between_two_steps(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = embedded(run, TEXTS)
    grown = iter(range(0, 10_000 * MIB, 600 * MIB))
    monkeypatch.setattr(bounded, "own_memory", lambda: next(grown))
    with pytest.raises(MemoryExceeded, match=r"(training|building) Flat has taken"):
        index(with_index(run, spec="Flat", build_memory="1GiB"), chunks)
    assert not [info for info in run.store.list("candidates/") if info.key.endswith("manifest.json")]
