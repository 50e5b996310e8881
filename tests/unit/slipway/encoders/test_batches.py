import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slipway.encoders.batches import cut, padded

LENGTHS = st.lists(st.integers(0, 600), max_size=200)
BUDGETS = st.integers(1, 5_000)


@given(LENGTHS, BUDGETS)
def test_every_text_is_in_one_batch(lengths: list[int], budget: int) -> None:
    rows = [int(row) for batch in cut(lengths, budget) for row in batch]
    assert sorted(rows) == list(range(len(lengths)))


@given(LENGTHS, BUDGETS)
def test_no_batch_of_several_texts_exceeds_the_budget(lengths: list[int], budget: int) -> None:
    for batch in cut(lengths, budget):
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= budget


@given(LENGTHS, BUDGETS)
def test_the_longest_come_first_and_like_lengths_together(lengths: list[int], budget: int) -> None:
    in_order = [lengths[row] for batch in cut(lengths, budget) for row in batch]
    assert in_order == sorted(lengths, reverse=True)


@given(LENGTHS, BUDGETS)
def test_a_batch_is_as_full_as_it_may_be(lengths: list[int], budget: int) -> None:
    batches = cut(lengths, budget)
    for batch in batches[:-1]:
        assert (len(batch) + 1) * max(1, lengths[batch[0]]) > budget


def test_padding_is_the_models_and_masked() -> None:
    tokens = [np.array(ids, dtype=np.int32) for ids in ([5, 6, 7], [], [8])]
    made = padded(np.array([0, 2, 1]), tokens, pad=1)
    assert made.ids.tolist() == [[5, 6, 7], [8, 1, 1], [1, 1, 1]]
    assert made.mask.tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]


def test_a_batch_of_nothing_but_empty_texts_has_a_length() -> None:
    assert padded(np.array([0]), [np.array([], dtype=np.int32)], pad=0).ids.shape == (1, 1)
