"""How far an index has drifted from the day it was built: the numbers that are taken then, and again at each update.

Recall here is a drift alarm, not the recall that is judged and published: it is measured on texts of the collection
with noise on them, at default search parameters. What counts is that both measurements follow one recipe on nearly the
same probes: those with the smallest chunk hashes. Hashes order texts at random, so these are a fair sample, and where
one text in a hundred changes, ninety-nine probes in a hundred stay and bring their noise with them. So a difference
tells of the index, and not of the luck of the draw.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.config.index import SearchParameters
from slipway.index.anatomy import codec, inverted_file, is_exact, transformed
from slipway.index.build import set_parameters, training_sample
from slipway.index.exact import exact_neighbours, recall
from slipway.index.live import Live, nearest
from slipway.index.sharded import parts
from slipway.index.spec import Spec, default_parameters

PROBES = (
    256  # exact search for them grows with the vectors as building does; they are told by the same texts night by night
)
NEIGHBOURS = 10
NOISE = 0.5  # length of the noise on a unit vector: the probe's cosine with its text is about 0.9
ERROR_SAMPLE = 1_024

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Built:
    """What was measured when an index was built; updates carry it on unchanged.

    `seconds` is the wall time of training and adding, `seconds_per_vector` of adding alone. `imbalance` is that of the
    inverted lists (1: all are as long), `error` the mean squared quantisation error; None where there is no such thing.
    `probe_recall` is a drift alarm (see the module). `ef_construction` and `train_vectors` are the settings.
    """

    vectors: int
    seconds: float
    seconds_per_vector: float
    imbalance: float | None
    error: float | None
    probe_recall: float
    created_at: str
    ef_construction: int
    train_vectors: int

    def as_json(self) -> dict[str, Any]:
        """As it stands in a candidate's facts."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Trigger:
    """One reason to build anew: it fires when `value` is over `limit`."""

    name: str
    value: float
    limit: float

    @property
    def fired(self) -> bool:
        """Whether it speaks for building anew."""
        return self.value > self.limit

    def as_json(self) -> dict[str, Any]:
        """As it stands in a candidate's facts."""
        return {**asdict(self), "fired": self.fired}

    def __str__(self) -> str:
        return f"{self.name} {self.value:.4g}, {'over' if self.fired else 'within'} the limit of {self.limit:.4g}"


def imbalance(index: Any) -> float | None:
    """Imbalance of the inverted lists, of shards the largest: 1 when all are as long; None where there are none."""
    found = [ivf.invlists.imbalance_factor() for ivf in map(inverted_file, parts(index)) if ivf is not None]
    return float(max(found)) if found else None


def quantisation_errors(index: Any, vectors: Vectors) -> npt.NDArray[np.float64] | None:
    """Squared distance of each of `vectors` ((n, d) float32) from what its code says, (n,).

    None where nothing is learnt from vectors: they are kept as they are, or FAISS cannot decode this codec by itself.
    """
    part = codec(index)
    if is_exact(part) or not len(vectors):
        return None
    seen = transformed(index, vectors)
    try:
        decoded = part.sa_decode(part.sa_encode(seen))
    except RuntimeError:  # FAISS: "standalone codec not implemented"; there is nothing to ask beforehand
        return None
    return np.asarray(((decoded.astype(np.float64) - seen) ** 2).sum(axis=1))


def error_of(index: Any, vectors: Vectors, seed: int) -> float | None:
    """Mean squared quantisation error of a seeded sample of `vectors`."""
    errors = quantisation_errors(index, training_sample(vectors, ERROR_SAMPLE, seed))
    return None if errors is None else float(errors.mean())


def error_growth(index: Any, vectors: Vectors, built: Built) -> float | None:
    """Growth of the mean squared quantisation error from the vectors at training to `vectors`; 1 when it is the same.

    Of a few vectors the mean says little, so two standard errors are taken off: growth that is beyond doubt. None when
    there is no error to compare with, or fewer than two vectors.
    """
    errors = quantisation_errors(index, vectors) if built.error else None
    if errors is None or not built.error or len(errors) < 2:
        return None
    certain = errors.mean() - 2 * errors.std(ddof=1) / np.sqrt(len(errors))
    return float(max(certain, 0.0) / built.error)


def probe_recall(
    index: Any, spec: Spec, vectors: Vectors, hashes: list[str], live: Live, numbers: npt.NDArray[np.int64]
) -> float:
    """recall@10 on noisy texts of the collection against exact search over all live vectors.

    `vectors` are the live ones in chunk hash order, `hashes` the first of their hashes (at most PROBES are used), and
    `numbers` the row of each vector. Sets default search parameters on the index.
    """
    probes = noisy(vectors[: len(hashes[:PROBES])], hashes[:PROBES], spec.seed)
    truth = numbers[exact_neighbours(vectors, probes, NEIGHBOURS, spec.metric)[1]]
    return recall_of(index, spec, probes, truth, live)


def recall_of(index: Any, spec: Spec, probes: Vectors, truth: npt.NDArray[np.int64], live: Live) -> float:
    """recall@10 on probes, whose exact neighbours' rows are `truth`. Sets default search parameters on the index."""
    prepare(index, spec)
    return recall(nearest(index, live, probes, NEIGHBOURS)[1], truth, NEIGHBOURS)


def prepare(index: Any, spec: Spec) -> None:
    """Set the default search parameters on the index, with which it is measured, and written."""
    set_parameters(index, default_parameters(spec, SearchParameters()))


def noisy(vectors: Vectors, hashes: list[str], seed: int) -> Vectors:
    """Unit vectors beside `vectors` ((n, d) float32), each moved by noise that its hash and the seed decide."""
    noise = np.stack([_noise(name, seed, vectors.shape[1]) for name in hashes])
    moved = vectors + NOISE * noise
    return np.ascontiguousarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), dtype=np.float32)


def _noise(name: str, seed: int, dimension: int) -> npt.NDArray[np.float64]:
    drawn = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    direction = np.random.default_rng(int.from_bytes(drawn[:8], "big")).normal(size=dimension)
    return np.asarray(direction / np.linalg.norm(direction))
