import pytest

from slipway.index.build import build
from slipway.index.contract.candidates import candidates, lists_for
from slipway.index.memory import estimate
from slipway.index.spec import check_trainable
from tests.unit.slipway.index.contract.trials import DIMENSION, vectors


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
def test_every_candidate_can_be_built_and_its_size_is_known(metric: str) -> None:
    held = vectors(400)
    for one in candidates(400, DIMENSION, 400):
        spec = one.spec(400, metric, 1, 400)
        assert build(held, spec, 400, 40).ntotal == 400
        assert estimate(spec, 400, DIMENSION, 400).index_bytes > 0


@pytest.mark.parametrize("count", [1, 5, 100, 3_000, 50_000, 10**6, 10**8])
@pytest.mark.parametrize("dimension", [1, 7, 384, 1_024])
def test_no_candidate_needs_more_than_there_is_to_train_on(count: int, dimension: int) -> None:
    made = candidates(count, dimension, 262_144)
    assert "Flat" in [one.template for one in made]
    for one in made:
        check_trainable(one.spec(count, "l2", 1, 262_144), count, 262_144)


@pytest.mark.parametrize(
    ("vectors", "trained", "lists"),
    [(0, 100, 1), (39, 100, 1), (2_000, 2_000, 32), (50_000, 262_144, 1_024), (10**6, 10**6, 4_096), (10**8, 999, 32)],
)  # fmt: skip
def test_the_number_of_lists_grows_with_the_root(vectors: int, trained: int, lists: int) -> None:
    assert lists_for(vectors, trained) == lists
