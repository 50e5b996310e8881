from typing import Any

import numpy as np
import pytest

from slipway.chunking import chunk_hash
from slipway.drift import Measure, Rules, Sample
from slipway.drift.fidelity import fidelity
from slipway.drift.of_neighbours import neighbours
from slipway.drift.of_rejects import rejects
from slipway.drift.of_texts import identifier, texts
from slipway.drift.of_vectors import centroid, moved, sound, trend
from tests.support.drifting import GERMAN, cloud, documents, sample, unit

RULES = Rules()
LIVE = "release 20260131T021500-1a2b3c4d"


def alarms(measures: list[Measure]) -> set[str]:
    return {one.name for one in measures if one.alarm}


def only(measures: list[Measure], name: str) -> Measure:
    return next(one for one in measures if one.name == name)


def live(vectors: Any, held: Any = None, **more: Any) -> Sample:
    return sample(vectors, held, name=LIVE, **more)


def test_other_vectors_of_the_same_kind_raise_no_alarm() -> None:
    for seed in range(1, 6):
        now, before = sample(cloud(400, seed=2 * seed)), live(cloud(400, seed=2 * seed + 1))
        assert alarms([*sound(now, before, RULES), *moved(now, before, RULES)]) == set()


def test_a_fifth_of_another_subject_moves_the_vectors() -> None:
    mixed = np.vstack([cloud(320, seed=1), cloud(80, subject=1)])
    found = moved(sample(mixed), live(cloud(400, seed=2)), RULES)
    assert alarms(found) == {"centroid_shift", "mmd"}
    assert LIVE in only(found, "mmd").says


def test_truncated_vectors_are_seen_without_the_encoder() -> None:
    cut = cloud(400, seed=1)
    cut[:, 16:] = 0
    assert {"centroid_shift", "mmd"} <= alarms(moved(sample(unit(cut)), live(cloud(400, seed=1)), RULES))


def test_vectors_of_two_encoders_are_never_compared() -> None:
    found = moved(sample(cloud(400)), live(cloud(400, subject=1), encoder="f" * 16), RULES)
    assert [(one.value, one.alarm) for one in found] == [(None, False)] * 2
    assert "another encoder" in found[0].says


def test_too_few_vectors_are_not_compared() -> None:
    found = moved(sample(cloud(5)), live(cloud(400, subject=1)), RULES)
    assert [one.value for one in found] == [None, None]


def test_zero_vectors_and_norms_are_told_even_where_nothing_is_live() -> None:
    vectors = cloud(50)
    vectors[3] = 0
    vectors[4] *= 2
    assert alarms(sound(sample(vectors), None, RULES)) == {"zero_vectors", "smallest_norm", "largest_norm"}


def test_vectors_that_became_equal_raise_an_alarm() -> None:
    same = np.vstack([cloud(300), np.repeat(cloud(1, seed=5), 100, axis=0)])
    found = sound(sample(same), live(cloud(400)), RULES)
    assert alarms(found) == {"equal_vectors"}
    assert only(found, "equal_vectors").before == 0


def test_a_slow_drift_shows_against_the_oldest_record() -> None:
    first = sample(cloud(400, seed=1))
    oldest = {"centroid": centroid(first), "sample": {"vectors": 400}, "at": "20250131T021500Z"}
    assert not trend(sample(cloud(400, seed=2)), oldest, RULES).alarm
    gone = trend(sample(np.vstack([cloud(300, seed=2), cloud(100, subject=1)])), oldest, RULES)
    assert gone.alarm
    assert "20250131T021500Z" in gone.says
    assert trend(first, None, RULES).value is None


def test_documents_in_another_language_are_told_with_both_shares() -> None:
    tell = identifier()
    now = sample(cloud(4), [*documents(160), *documents(40, 160, GERMAN)])
    found = texts(now, live(cloud(4), documents(200)), RULES, tell)
    assert "languages" in alarms(found)
    assert only(found, "languages").says == f"20.0 % of the documents are in language de, 0.0 % in {LIVE}"


def test_the_same_documents_raise_no_alarm() -> None:
    now = sample(cloud(4), documents(200, 200, author="x"))
    assert alarms(texts(now, live(cloud(4), documents(200, author="y")), RULES, lambda text: "en")) == set()


def test_longer_documents_raise_an_alarm() -> None:
    now = sample(cloud(4), documents(200, text="a far longer text " * 40))
    assert alarms(texts(now, live(cloud(4), documents(200)), RULES, lambda text: "en")) == {"lengths"}


@pytest.mark.parametrize("empty", [None, "", "  ", [], {}])
def test_a_field_that_is_no_longer_filled_raises_an_alarm(empty: Any) -> None:
    now = sample(cloud(4), [*documents(150, author="x"), *documents(50, 150, author=empty)])
    found = texts(now, live(cloud(4), documents(200, author="x")), RULES, lambda text: "en")
    assert alarms(found) == {"has:author"}
    assert only(found, "has:author").before == 1


def test_zero_and_false_fill_a_field() -> None:
    now = sample(cloud(4), [*documents(150, year=0), *documents(50, 150, year=False)])
    found = texts(now, live(cloud(4), documents(200, year=1)), RULES, lambda text: "en")
    assert only(found, "has:year").value == 1


def test_without_a_live_release_there_are_values_and_no_alarms() -> None:
    now = sample(cloud(40), documents(40, author="x"), rejected={"too_short": 9_000})
    found = [*sound(now, None, RULES), *texts(now, None, RULES, lambda text: "en"), *rejects(now, None, RULES)]
    assert alarms(found) == set()
    assert all(one.before is None for one in found)


def test_rejected_rows_are_compared_reason_by_reason() -> None:
    now = sample(cloud(4), rejected={"too_short": 700, "duplicate": 105})
    found = rejects(now, live(cloud(4), rejected={"too_short": 100, "duplicate": 100}), RULES)
    assert alarms(found) == {"rejected:too_short"}
    assert only(found, "rejected:too_short").says.startswith("7.0 % of the rows were turned away as too_short")
    assert only(found, "rejected:too_short").before == pytest.approx(0.01)


def compared(overlap: float, other: str = "e") -> dict[str, Any]:
    spaces = {"candidate": {"fingerprint": "e"}, "live": {"fingerprint": other}}
    found = {"overlap_at_10": overlap, "rank_biased_overlap": overlap, "changed_share": 0.5}
    return {"neighbours": found, "encoders": spaces}


def test_neighbours_may_change_as_much_as_documents_did() -> None:
    assert alarms(neighbours(compared(0.8), LIVE, churn=0.1)) == set()
    assert alarms(neighbours(compared(0.8), LIVE, churn=0.01)) == {"overlap_at_10"}


def test_neighbours_in_another_space_or_without_a_known_change_raise_no_alarm() -> None:
    assert alarms(neighbours(compared(0.1, other="f"), LIVE, churn=0.0)) == set()
    assert alarms(neighbours(compared(0.1), LIVE, churn=None)) == set()


class _Encoder:
    fingerprint, dimension, device = "e", 32, "cpu"

    def __init__(self, vectors: Any) -> None:
        self.vectors = vectors

    def encode_documents(self, texts: Any) -> Any:
        return np.stack([self.vectors[text] for text in texts])

    def encode_queries(self, texts: Any) -> Any:
        raise AssertionError("fidelity asks for no queries")


def fidelity_of(stored: Any, said: list[str] | None = None) -> list[Measure]:
    passages = [f"passage {number}" for number in range(20)]
    encoder = _Encoder(dict(zip(passages, cloud(20), strict=True)))
    return fidelity([chunk_hash(text) for text in passages], said or passages, stored, encoder)


def test_stored_vectors_that_are_those_of_their_texts_are_faithful() -> None:
    rounded = cloud(20) + np.float32(1e-5) * np.random.default_rng(1).normal(size=(20, 32)).astype(np.float32)
    found = fidelity_of(rounded)
    assert alarms(found) == set()
    assert only(found, "fidelity_median").value == pytest.approx(1, abs=1e-6)


def test_shuffled_vectors_are_not_those_of_their_texts() -> None:
    found = fidelity_of(np.roll(cloud(20), 1, axis=0))
    assert alarms(found) == {"fidelity"}
    assert only(found, "fidelity").says.startswith("20 of 20 stored vectors are not what the encoder makes")


def test_one_wrong_vector_is_enough() -> None:
    stored = cloud(20)
    stored[7] = 0
    assert alarms(fidelity_of(stored)) == {"fidelity"}


def test_a_passage_that_does_not_give_its_hash_is_told_and_not_embedded() -> None:
    said = [f"passage {number}" for number in range(19)] + ["something else"]
    found = fidelity_of(cloud(20), said)
    assert alarms(found) == {"altered_passages"}
    assert only(found, "altered_passages").value == 1


def test_vectors_that_are_no_numbers_raise_alarms() -> None:
    broken = cloud(200, seed=1)
    broken[:50] = np.nan
    now, before = sample(broken), live(cloud(200, seed=1))
    oldest = {"centroid": centroid(before), "sample": {"vectors": 200}, "at": "20250131T021500Z"}
    found = [*sound(now, before, RULES), *moved(now, before, RULES), trend(now, oldest, RULES)]
    assert {"smallest_norm", "mean_norm", "largest_norm", "centroid_shift", "mmd", "centroid_trend"} <= alarms(found)
    assert only(found, "mmd").as_json()["value"] is None
    assert centroid(now) == []


def test_stored_vectors_that_are_no_numbers_are_not_those_of_their_texts() -> None:
    stored = cloud(20)
    stored[7] = np.nan
    found = fidelity_of(stored)
    assert alarms(found) == {"fidelity"}
    assert only(found, "fidelity").says.startswith("1 of 20 stored vectors")
