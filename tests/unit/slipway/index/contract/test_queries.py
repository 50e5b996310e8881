import numpy as np

from slipway.index.contract import Part, of_collection
from slipway.index.contract.queries import without_own
from slipway.index.exact import exact_neighbours, recall
from tests.unit.slipway.index.contract.trials import vectors


def test_halves_of_the_collection_have_no_vector_in_common() -> None:
    held = vectors(500)
    made = of_collection(held, 100, seed=3)
    assert made.tuning.own is not None
    assert made.held_out.own is not None
    assert len(np.intersect1d(made.tuning.own, made.held_out.own)) == 0
    assert (len(made.tuning), len(made.held_out), len(made.own)) == (50, 50, 100)
    assert (made.tuning.vectors == held[made.tuning.own]).all()
    again = of_collection(held, 100, seed=3)
    assert (again.own == made.own).all()
    assert len(of_collection(held[:10], 100, seed=3).own) == 2
    assert len(of_collection(held[:3], 100, seed=3).own) == 0


def test_a_vector_of_the_collection_does_not_find_itself() -> None:
    held = vectors(300)
    part = Part(held[[5, 9]], np.array([5, 9]))
    truth = part.exact(held, 10, "inner_product")
    assert truth.shape == (2, 10)
    assert not (truth == part.own[:, None]).any()  # type: ignore[index]
    numbers = np.arange(300) + 1_000  # rows of an index that has others before
    asking = part.asking(lambda asked, count: _shifted(held, asked, count), numbers)
    scores, rows = asking(part.vectors, 10)
    assert recall(rows, numbers[truth], 10) == 1.0
    assert scores.shape == rows.shape == (2, 10)


def _shifted(held, asked, count):  # type: ignore[no-untyped-def]
    scores, rows = exact_neighbours(held, asked, count)
    return scores, rows + 1_000


def test_a_question_finds_what_it_finds() -> None:
    held = vectors(300)
    part = Part(held[[5]])
    assert part.exact(held, 10, "inner_product")[0, 0] == 5
    search = lambda asked, count: exact_neighbours(held, asked, count)  # noqa: E731
    assert part.asking(search, np.arange(300)) is search


def test_where_an_own_row_is_not_found_the_last_is_left_out() -> None:
    rows = np.array([[7, 1, 2], [1, 2, 3]])
    assert without_own(rows, np.array([7, 7])).tolist() == [[1, 2], [1, 2]]
    assert without_own(np.empty((0, 3), np.int64), np.empty(0, np.int64)).shape == (0, 2)
    assert without_own(np.empty((2, 0), np.int64), np.array([1, 2])).shape == (2, 0)
