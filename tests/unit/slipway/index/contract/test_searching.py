import re
from dataclasses import replace

import pytest

from slipway.errors import ContractRefused, IndexRefused
from slipway.index.contract import Found, ceiling, check_possible, search
from slipway.index.contract.candidates import Candidate
from slipway.index.contract.searching import SPARE
from slipway.index.contract.trial import expected_bytes
from slipway.index.contract.tried import TIE, dominates
from slipway.index.memory import estimate
from slipway.index.spec import Spec
from tests.unit.slipway.index.contract.trials import DIMENSION, queries, settings, vectors

VECTORS = vectors()
QUERIES = queries(VECTORS)


@pytest.fixture(scope="module")
def found() -> Found:
    return search(VECTORS, QUERIES, settings(memory="400KiB", p95_ms=10))


def test_the_cheapest_that_keeps_every_clause_comes_first(found: Found) -> None:
    best = found.order[0]
    assert best.kept
    assert best.recall_at_10 is not None
    assert best.recall_at_10 >= 0.95
    assert best.memory_bytes <= min(one.memory_bytes for one in found.order) * TIE
    assert len(found.order) == SPARE + 1
    assert not any(dominates(one, best) for one in found.tried if one.measured_on)


def test_what_can_only_be_dearer_is_not_tried(found: Found) -> None:
    left = [one for one in found.tried if not one.measured_on]
    assert all(one.memory_bytes > found.order[0].memory_bytes for one in left)
    assert {one.why.partition(":")[0] for one in left} == {"not tried"}
    over = [one for one in left if one.memory_bytes > 400 * 1024]
    assert over
    assert all(one.why.endswith("more memory than the contract allows") for one in over)


def test_the_same_seed_leads_to_the_same(found: Found) -> None:
    again = search(VECTORS, QUERIES, settings(memory="400KiB", p95_ms=10))
    assert [one.spec for one in again.order] == [one.spec for one in found.order]
    assert again.tried == found.tried


def test_what_finds_the_most_is_tried_when_the_time_is_over_and_nothing_is_kept() -> None:
    """Five minutes a trial: after four there is no time, and the least memory does not find 0.999."""
    found = search(VECTORS, QUERIES, settings(seconds=150, recall_at_10=0.999))
    measured = sorted((one for one in found.tried if one.measured_on), key=lambda one: one.memory_bytes)
    late = [one for one in found.tried if one.why == "not tried: 20 minutes of trying were over"]
    assert late
    best = found.order[0]
    assert (best, len(found.order)) == (measured[-1], 1)
    assert best.memory_bytes > max(one.memory_bytes for one in late if "HNSW" not in one.spec)


def test_a_refusal_for_want_of_time_says_so() -> None:
    few = VECTORS[:500]
    with pytest.raises(IndexRefused) as refused:
        search(few, queries(few, 80), settings(seconds=150, p95_ms=0.5))
    assert re.match(
        r"no index that was tried keeps the contract .* \(the 20 minutes of trying were over and [1-9]\d* candidates "
        r"were not tried\)\. Possible: p95_ms of ",
        str(refused.value),
    )


def test_what_cannot_be_built_is_left_out_with_the_reason() -> None:
    def unaffordable(spec, vectors, dimension):  # type: ignore[no-untyped-def]
        assert (vectors, dimension) == (len(VECTORS), DIMENSION)
        return "" if spec.factory == "Flat" else "too large for this worker"

    asked = replace(settings(), unaffordable=unaffordable)
    found = search(VECTORS, QUERIES, asked)
    assert [one.spec for one in found.tried if one.measured_on] == ["Flat"]
    assert "not tried: it cannot be built in the memory that there is: too large for this worker" in [
        one.why for one in found.tried
    ]
    with pytest.raises(
        IndexRefused, match=r"no index that was tried .* \(\d+ cannot be built in the memory that there is"
    ):
        search(VECTORS, QUERIES, replace(settings(memory="100KiB"), unaffordable=unaffordable))


def test_too_little_memory_is_refused_with_what_would_do() -> None:
    with pytest.raises(IndexRefused) as refused:
        search(VECTORS, QUERIES, settings(memory="40KiB"))
    said = str(refused.value)
    assert said.startswith("no index keeps the contract recall_at_10 0.95, memory 40.0 KiB. Possible: ")
    assert "recall_at_10 of 0.9" in said  # within the memory
    assert "within the other clauses (" in said
    assert "KiB with the other clauses kept (SQ6," in said


def test_a_refusal_says_which_memory_would_do_however_far_off() -> None:
    with pytest.raises(ContractRefused, match=r"; or memory of .* KiB with the other clauses kept \(") as refused:
        search(VECTORS, QUERIES, settings(memory="40KiB", recall_at_10=0.999))
    over = [one for one in refused.value.tried if one.measured_on and one.memory_bytes > 40 * 1024]
    assert any((one.recall_at_10 or 0) >= 0.999 for one in over)
    assert len(over) <= 4 + 5  # the nearest four, and the rest halved
    assert [one.spec for one in refused.value.tried].count("Flat") == 1


def test_what_cannot_be_merged_is_left_out_where_shards_are_to_be_merged() -> None:
    def apart(spec, vectors, dimension):  # type: ignore[no-untyped-def]
        return "" if spec.lists else "only inverted files can be merged"

    found = search(VECTORS, QUERIES, replace(settings(), apart=apart))
    assert all("IVF" in one.spec for one in found.order)
    why = "not tried: it cannot be merged from shards: only inverted files can be merged"
    assert why in [one.why for one in found.tried]
    with pytest.raises(IndexRefused, match=r"Possible: memory of .* kept \(IVF") as refused:
        search(VECTORS, QUERIES, replace(settings(memory="40KiB", recall_at_10=0.999), apart=apart))
    assert "cannot be merged from shards; index.shards.release apart allows them" in str(refused.value)


def test_few_vectors_are_searched_exactly_in_whatever_shards() -> None:
    few = VECTORS[:50]
    found = search(few, queries(few), replace(settings(), apart=lambda *_: "only inverted files can be merged"))
    assert [one.spec for one in found.order] == ["Flat"]


def test_where_nothing_can_be_merged_the_refusal_says_what_left_it_out() -> None:
    with pytest.raises(IndexRefused, match=r"cannot be merged from shards; index\.shards\.release apart allows them"):
        search(VECTORS, QUERIES, replace(settings(recall_at_10=1, memory="600KiB"), apart=lambda *_: "no"))


def test_a_latency_that_nothing_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(IndexRefused, match=r"Possible: p95_ms of 1\.\d+ with the other clauses kept \("):
        search(VECTORS[:500], queries(VECTORS[:500], 80), settings(p95_ms=0.5))


def test_a_building_time_that_nothing_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(IndexRefused, match=r"Possible: build_minutes of 1\.\d+ with the others kept \("):
        search(VECTORS[:500], queries(VECTORS[:500], 80), settings(seconds=60, build_minutes=0.5))


def test_what_misses_the_latency_is_also_measured_within_it() -> None:
    """Faster with less effort: what then is found says what would be possible."""

    def by_effort(search_one, asked):  # type: ignore[no-untyped-def]
        search_one(asked[:1])
        index = search_one.__closure__[0].cell_contents.made
        return float(getattr(index, "nprobe", 100))

    asked = settings(p95=by_effort, p95_ms=10, recall_at_10=0.999, memory="80KiB")
    with pytest.raises(IndexRefused, match=r"recall_at_10 of 0.* within the other clauses"):
        search(VECTORS, QUERIES, asked)


def test_all_vectors_are_estimated_from_a_sample() -> None:
    whole = search(VECTORS, QUERIES, settings(memory="400KiB"))
    part = search(VECTORS, QUERIES, settings(memory="400KiB"), sample=1_000)
    one = next(one for one in part.tried if one.spec == "SQ8")
    other = next(one for one in whole.tried if one.spec == "SQ8")
    assert (one.measured_on, other.measured_on) == (1_000, 2_000 - len(QUERIES.own))
    assert one.p95_ms == 2.0  # 1 ms on half of them
    assert one.memory_bytes == pytest.approx(2_000 * DIMENSION, rel=0.02)


def test_too_few_vectors_to_measure_by_are_searched_exactly() -> None:
    few = VECTORS[:50]
    assert [one.spec for one in search(few, queries(few), settings()).order] == ["Flat"]
    with pytest.raises(IndexRefused, match=r"Possible: memory of 6\.\d KiB"):
        search(few, queries(few), settings(memory="1KiB"))


def test_what_no_estimate_can_keep_is_known_without_a_trial() -> None:
    with pytest.raises(IndexRefused, match=r"memory 1\.0 MiB cannot be kept by any index of 1,000,000 vectors"):
        check_possible(1_000_000, DIMENSION, settings(memory="1MiB").index)
    check_possible(1_000_000, DIMENSION, settings(memory="1GiB").index)
    check_possible(1_000_000, DIMENSION, settings().index)


def test_memory_before_a_trial_is_a_readers_that_searches() -> None:
    """A search in a graph marks each vector that it has seen with a byte, which is not in the file."""
    index = settings().index
    graph, exact = (expected_bytes(Candidate(name), 2_000, DIMENSION, index) for name in ("HNSW16", "Flat"))
    files = [estimate(Spec(name, "l2", 1, ""), 2_000, DIMENSION, 2_000).index_bytes for name in ("HNSW16", "Flat")]
    assert [graph - files[0], exact - files[1]] == [2_000, 0]


def test_codes_that_find_too_little_among_few_are_not_built_on_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = settings(memory="400KiB", recall_at_10=0.95)
    everything = search(VECTORS, QUERIES, asked)
    monkeypatch.setattr(ceiling, "FEW", 900)
    found = search(VECTORS, QUERIES, settings(memory="400KiB", recall_at_10=0.95))
    low = [one for one in found.tried if "its codes find" in one.why]
    assert low
    assert not any(one.measured_on for one in low)
    before = {one.spec: one.recall_at_10 or 0 for one in everything.tried}
    assert all(before[one.spec] < 0.95 for one in low)  # nothing was left out that keeps the contract
    assert found.order[0].spec == everything.order[0].spec


def test_the_best_of_what_finds_too_little_is_tried_before_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "FEW", 900)
    with pytest.raises(IndexRefused, match=r"recall_at_10 of 0\.\d+ within the other clauses"):
        search(VECTORS, QUERIES, settings(memory="40KiB"))
