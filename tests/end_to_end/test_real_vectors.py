"""Real vectors and real questions, where SLIPWAY_TEST_DATA names the folder that has them.

mnist_784: 19,000 images as vectors of 784 numbers under squared distance, with an exact ground truth that was made
elsewhere. squad_dev: 2,067 paragraphs (nine too long for one chunk) with the questions that people asked about them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.squad import run_squad
from slipway import serving
from slipway.config.index import Index, SearchParameters
from slipway.index.build import build
from slipway.index.contract.tried import aim
from slipway.index.exact import exact_neighbours, recall
from slipway.index.spec import resolve
from slipway.index.tune import TARGET, tune

DATA = os.environ.get("SLIPWAY_TEST_DATA")
TUNING = 200  # of the 1,000 queries; the others judge

pytestmark = pytest.mark.skipif(not DATA, reason="SLIPWAY_TEST_DATA names no folder of real vectors")


def data_folder(name: str) -> Path:
    folder = Path(DATA or "") / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


class Mnist:
    """Base and query vectors, and the rows of the 100 exact neighbours of each query."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "mnist_784_u8.npz") as numbers:
            self.base: npt.NDArray[np.float32] = numbers["base"].astype(np.float32)
            self.queries: npt.NDArray[np.float32] = numbers["queries"].astype(np.float32)
        self.truth: npt.NDArray[np.int64] = np.load(folder / "groundtruth_l2_top100.npy").astype(np.int64)


@pytest.fixture(scope="module")
def mnist() -> Mnist:
    return Mnist(data_folder("mnist_784"))


def test_our_exact_neighbours_are_the_published_ones(mnist: Mnist) -> None:
    scores, rows = exact_neighbours(mnist.base, mnist.queries, 100, "l2")
    assert [set(found) for found in rows.tolist()] == [set(truth) for truth in mnist.truth.tolist()]
    assert (rows == mnist.truth).mean() > 0.999  # equal distances change places
    distances = [
        ((mnist.base[found] - query) ** 2).sum(axis=1) for found, query in zip(rows, mnist.queries, strict=True)
    ]
    assert np.allclose(scores, distances, rtol=1e-5)


@pytest.mark.parametrize(
    ("factory", "least"),
    [
        ("auto", 0.99),
        ("HNSW32,SQ8", 0.98),
        ("IVF128,PQ98x4fs,RFlat", 0.95),
        ("IVF128,PQ98x4fs,Refine(SQ8)", 0.95),
        ("IVF128_HNSW32,PQ98x4fs,RFlat", 0.95),
    ],
)
def test_an_index_of_images_finds_the_published_neighbours(mnist: Mnist, factory: str, least: float) -> None:
    """Tuned on some of the queries, judged on the others."""
    index = Index(spec=factory, metric="l2")
    spec = resolve(index, *mnist.base.shape)
    built = build(mnist.base, spec, index.train_vectors, index.ef_construction)
    target = aim(TARGET, TUNING)
    parameters, _ = tune(built, spec, SearchParameters(), mnist.queries[:TUNING], mnist.truth[:TUNING], target)
    found = recall(built.search(mnist.queries[TUNING:], 10)[1], mnist.truth[TUNING:], 10)
    print(f"{spec.factory}: recall@10 {found:.4f} with {parameters}")
    assert found >= least, f"{spec.factory} with {parameters}"


@pytest.fixture(scope="module")
def squad(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the result of a run over all paragraphs, judged by 600 of the questions."""
    folder = tmp_path_factory.mktemp("squad")
    return folder, run_squad(folder, data_folder("squad_dev"), "HNSW32", tuning=50, judging=600)


def test_questions_find_their_paragraphs_as_exact_search_would(squad: tuple[Path, dict[str, Any]]) -> None:
    made = squad[1]
    metrics = made["metrics"]
    assert (made["documents"], made["chunks"], made["judged_missing"]) == (2_067, 2_076, [])
    assert made["index"]["spec"] == "HNSW32"
    assert metrics["recall_at_10"] >= 0.98
    assert metrics["hit_rate_at_10"] >= metrics["exact_hit_rate_at_10"] - 0.005
    assert metrics["hit_rate_at_10"] >= 0.88  # all 10,570 questions: 0.920
    assert made["released"] is True


def test_the_released_paragraphs_are_searched_by_text(squad: tuple[Path, dict[str, Any]]) -> None:
    with serving.open(squad[0] / "store") as reader:
        hits = reader.search("When did the 1973 oil crisis begin?", 3)
    assert hits[0].document_id.startswith("squad:1973_oil_crisis")
    assert "1973" in hits[0].snippet


def test_compressed_lists_of_the_same_vectors_do_as_well(squad: tuple[Path, dict[str, Any]]) -> None:
    made = run_squad(squad[0], data_folder("squad_dev"), "IVF32,PQ96x4fs,RFlat", tuning=50, judging=600)
    assert (made["embedded"], made["reused"]) == (0, 2_076)
    assert made["metrics"]["recall_at_10"] >= 0.95
    assert made["metrics"]["hit_rate_at_10"] >= made["metrics"]["exact_hit_rate_at_10"] - 0.01
