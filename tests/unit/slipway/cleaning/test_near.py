import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.cleaning import near
from slipway.cleaning.near import Bands, jaccard, shingle_sets


def plain_shingles(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


words = st.lists(st.sampled_from(["red", "green", "blue", "one", "two", "three"]), min_size=1, max_size=12).map(
    " ".join
)


@given(st.lists(words, min_size=1, max_size=8))
def test_jaccard_is_that_of_the_word_3_shingles(texts: list[str]) -> None:
    hashed, plain = shingle_sets(texts), [plain_shingles(text) for text in texts]
    assert [one.size for one in hashed] == [len(one) for one in plain]
    for i in range(len(texts)):
        for j in range(len(texts)):
            assert jaccard(hashed[i], hashed[j]) == pytest.approx(len(plain[i] & plain[j]) / len(plain[i] | plain[j]))
            assert jaccard(hashed[i], hashed[j]) <= near.at_most(np.array(hashed[i].size), np.array(hashed[j].size))


@given(st.lists(st.text(max_size=30), min_size=1, max_size=10))
def test_a_text_gives_the_same_bands_in_any_company(texts: list[str]) -> None:
    bands = Bands.for_threshold(0.9)
    together = bands.of(texts)
    assert together.shape == (len(texts), bands.count)
    assert together.dtype == np.uint64
    for row, text in zip(together, texts, strict=True):
        assert (row == bands.of([text])[0]).all()


def test_case_punctuation_and_spacing_do_not_matter() -> None:
    first, second = shingle_sets(["The quick, brown fox!", "the  quick brown\nfox"])
    assert jaccard(first, second) == 1


def test_chinese_is_compared_by_character() -> None:
    first, second = shingle_sets(["我们在这里做一个很长的测试", "我们在这里做一个很长的检验"])
    assert 0.5 < jaccard(first, second) < 1


def test_no_texts_have_no_bands() -> None:
    assert Bands(12, 10).of([]).shape == (0, 12)


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_the_cut_finds_the_threshold_and_no_finer_cut_would(threshold: float) -> None:
    bands = Bands.for_threshold(threshold)
    assert bands.count * bands.rows <= near.FUNCTIONS
    assert bands.chance(threshold) >= near.FOUND
    if bands.rows < near.FUNCTIONS:
        assert Bands(near.FUNCTIONS // (bands.rows + 1), bands.rows + 1).chance(threshold) < near.FOUND


@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.9])
def test_pairs_above_the_threshold_share_a_band_as_often_as_promised(threshold: float) -> None:
    chosen, bands = random.Random(7), Bands.for_threshold(threshold)
    found = pairs = 0
    while pairs < 400:
        base = [f"w{chosen.randrange(5_000)}" for _ in range(120)]
        other = list(base)
        for _ in range(chosen.randrange(1, 9)):
            other[chosen.randrange(len(other))] = "changed"
        texts = [" ".join(base), " ".join(other)]
        if jaccard(*shingle_sets(texts)) < threshold:
            continue
        first, second = bands.of(texts)
        pairs += 1
        found += bool(np.isin(first, second).any())
    assert found / pairs >= near.FOUND


def test_unlike_texts_rarely_share_a_band() -> None:
    chosen, bands = random.Random(7), Bands.for_threshold(0.9)
    texts = [" ".join(f"w{chosen.randrange(2_000)}" for _ in range(100)) for _ in range(500)]
    flat = bands.of(texts).ravel()
    assert len(np.unique(flat)) == len(flat)
