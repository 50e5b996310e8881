"""The soak sees what it is there to see: failures, mixed answers, and answers of a release that did not serve."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.soak import out_of_turn
from benchmarks.soaks.searching import GROUPS, K, Searching, Told, read, write
from benchmarks.soaks.swaps import Swaps
from slipway.rollback import roll_back
from slipway.serving import Hit
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run
from tests.support.shifts import offer, promote, sealed


def hits(*prefixes: str, count: int = K, group: int = 0) -> list[Hit]:
    return [Hit(1.0, f"{prefixes[n % len(prefixes)]}-{n}", "", "", {"group": group}) for n in range(count)]


class Reader:
    """Answers as it is told to."""

    def __init__(self, answer: Callable[[int, Any], list[Hit]]) -> None:
        self._answer, self.calls = answer, 0

    def search_batch(self, vectors: Any, k: int, key: str | None, where: dict[str, int] | None) -> list[list[Hit]]:
        self.calls += 1
        return [self._answer(number, where) for number in range(len(vectors))]

    def metrics(self) -> Any:
        return SimpleNamespace(generation=3, loads=5, refused=())


def searched(answer: Callable[[int, Any], list[Hit]], calls: int = 200) -> Told:
    reader = Reader(answer)
    searching = Searching(reader, "r", 1, 2)  # type: ignore[arg-type]
    while reader.calls < calls:
        time.sleep(0)
    told, times = searching.stop()
    assert told.queries >= len(times) > 0 or told.failed
    return told


def group_of(where: dict[str, int] | None) -> int:
    return where["group"] if where else GROUPS


def test_right_answers_are_neither_failed_nor_mixed() -> None:
    told = searched(lambda _, where: hits("seed1", group=group_of(where)))
    assert (told.failed, told.mixed, told.changes, told.loads) == (0, 0, 0, 5)
    assert told.queries > 200
    assert set(told.served) == {("seed1", 3, 3)}


def raising(_: int, where: object) -> list[Hit]:
    raise RuntimeError("no")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (raising, "RuntimeError: no"),
        (lambda _, where: hits("seed1", count=K - 1, group=group_of(where)), "hits for"),
        (lambda _, where: hits("seed1", group=GROUPS + 1), "documents of other groups"),
        (lambda _, where: [], "hits for"),
    ],
)
def test_errors_and_wrong_answers_are_failures(answer: Callable[[int, Any], list[Hit]], why: str) -> None:
    told = searched(answer)
    assert told.failed > 0
    assert told.mixed == 0
    assert why in told.examples[0]


def test_an_answer_of_two_releases_is_mixed_also_across_a_batch() -> None:
    assert searched(lambda _, where: hits("seed1", "seed2", group=group_of(where))).mixed > 0
    told = searched(lambda number, where: hits(f"seed{number}", group=group_of(where)))
    assert 0 < told.mixed < told.queries
    assert told.failed == 0


def test_an_answer_of_a_release_that_did_not_serve_is_found(tmp_path: Path) -> None:
    store = MemoryStore()
    run = a_run(store, tmp_path)
    first, second, third = (sealed(run, seed) for seed in (1, 2, 3))
    promote(store, first)  # generation 1
    offer(store, second, 10)  # 2
    promote(store, second)  # 3
    promote(store, third)  # 4
    roll_back(store, "tester", "worse")  # 5
    releases = {"a": first, "b": second, "c": third}

    def wrong(prefix: str, first: int, last: int) -> int:
        return len(out_of_turn([Told("r", served=[(prefix, first, last)])], store, releases))

    assert [wrong("a", 1, 1), wrong("b", 2, 2), wrong("b", 1, 1), wrong("c", 3, 3), wrong("b", 4, 4)] == [0] * 5
    assert [wrong("c", 1, 1), wrong("a", 3, 4), wrong("c", 1, 2), wrong("c", 5, 5)] == [1] * 4


def test_what_a_process_saw_comes_back(tmp_path: Path) -> None:
    told = Told("r", 5, 1, 2, 3, 4, 0, [("seed1", 1, 2)], ["failed: x"])
    write(told, [1.5, 2.5], tmp_path / "r.json")
    again, times = read(tmp_path / "r.json")
    assert again == told
    assert times.tolist() == [1.5, 2.5]


def test_swaps_are_of_every_kind_and_the_same_for_a_seed(tmp_path: Path) -> None:
    histories = []
    for turn in ("first", "second"):
        store = MemoryStore()
        releases = [sealed(a_run(store, tmp_path / turn), seed) for seed in (1, 2, 3)]
        promote(store, releases[0])
        swaps = Swaps(store, releases, [], seed=4)
        swaps.make(60)
        histories.append(swaps.made)
    assert set(histories[0]) == {"shift", "promote", "take back", "roll back", "roll back to"}
    assert histories[0] == histories[1]
    assert histories[0].total() == 60


def test_a_reader_that_does_not_follow_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.soaks.swaps.WAIT_SECONDS", 0)
    store = MemoryStore()
    releases = [sealed(a_run(store, tmp_path), seed) for seed in (1, 2)]
    promote(store, releases[0])
    with pytest.raises(TimeoutError, match="web-1 did not act on generation 2"):
        Swaps(store, releases, ["web-1"], seed=1).make(1)
