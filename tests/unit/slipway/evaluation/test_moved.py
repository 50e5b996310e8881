from pathlib import Path

import numpy as np

from slipway.evaluation.golden import GoldenQuery
from slipway.evaluation.moved import MOST, Answered, Documents, moved
from slipway.index import artifact
from tests.support.releases import unit_vectors, write_files


def documents(folder: Path, prefix: str, count: int = 5) -> Documents:
    return Documents(write_files(folder, unit_vectors(count, 8), prefix=prefix)[artifact.DOCUMENTS])


def answered(number: int, difference: float, candidate: str = "", live: str = "", relevant: str = "a") -> Answered:
    query = GoldenQuery(f"q{number:03d}", f"words {number}", dict.fromkeys(relevant, 2), "all", "judging")
    return Answered(query, list(candidate), list(live), difference)


def test_the_largest_losers_and_winners_come_first(tmp_path: Path) -> None:
    here = documents(tmp_path, "doc")
    drawn = np.random.default_rng(1).permutation(np.linspace(-1, 1, 101))
    found = moved([answered(number, float(value)) for number, value in enumerate(drawn)], here, here)
    losses = [one["difference"] for one in found["losers"]]
    wins = [one["difference"] for one in found["winners"]]
    assert losses == sorted(losses)
    assert wins == sorted(wins, reverse=True)
    assert (len(losses), len(wins), losses[0], wins[0]) == (MOST, MOST, -1.0, 1.0)


def test_queries_that_are_equal_are_neither(tmp_path: Path) -> None:
    here = documents(tmp_path, "doc")
    assert moved([answered(1, 0.0)], here, here) == {"losers": [], "winners": []}


def test_what_moved_and_what_is_judged_is_shown_with_both_ranks(tmp_path: Path) -> None:
    here = documents(tmp_path, "doc")
    [loser] = moved([answered(1, -0.5, candidate="xbca", live="abc", relevant="az")], here, here)["losers"]
    ranks = {one["document_id"]: (one["rank_live"], one["rank_candidate"]) for one in loser["documents"]}
    assert ranks == {"a": (1, 4), "x": (None, 1), "z": (None, None)}  # b and c stay where they were
    assert [one["grade"] for one in loser["documents"] if one["document_id"] in "az"] == [2, 2]


def test_texts_come_from_the_candidate_and_else_from_the_live_release(tmp_path: Path) -> None:
    ours, theirs = documents(tmp_path / "ours", "new"), documents(tmp_path / "theirs", "old")
    one = Answered(answered(1, 0.0).query, ["new-00001"], ["old-00002"], 0.5)
    [winner] = moved([one], ours, theirs)["winners"]
    titles = {shown["document_id"]: shown["title"] for shown in winner["documents"]}
    assert titles == {"new-00001": "Title of new-00001", "old-00002": "Title of old-00002", "a": ""}
    assert all(len(shown["snippet"]) <= 200 for shown in winner["documents"])


def test_only_what_is_there_is_held(tmp_path: Path) -> None:
    assert documents(tmp_path, "doc").held(["doc-00001", "doc-00009", "other"]) == {"doc-00001"}
