"""Index specs: the default rule for the size, what a FAISS factory string needs, and its search-time parameters."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from slipway.config.index import Index, SearchParameters
from slipway.errors import IndexRefused

FLAT_BELOW = 5_000
HNSW_BELOW = 1_000_000
MIN_PER_CENTROID = 39  # below this FAISS warns that k-means has too few points per centroid


_MULTIPLES = {"": 1, "k": 1 << 10, "M": 1 << 20}  # FAISS's: IVF64k is IVF65536


@dataclass(frozen=True, slots=True)
class Spec:
    """A resolved index spec. `reason` says in a sentence why this one."""

    factory: str
    metric: str
    seed: int
    reason: str

    @property
    def lists(self) -> int | None:
        """The number of inverted lists of an IVF spec, else None."""
        found = re.search(r"IVF(\d+)([kM]?)", self.factory)
        return int(found[1]) * _MULTIPLES[found[2]] if found else None

    @property
    def is_hnsw(self) -> bool:
        """Whether the top-level index is an HNSW graph (an HNSW coarse quantiser does not count)."""
        return bool(re.search(r"(^|,)HNSW", self.factory)) and self.lists is None

    @property
    def is_hollow(self) -> bool:
        """Whether it asks for none of something (lists, codes, bits), or for a graph of fewer than two links a node."""
        return bool(re.search(r"(?<!\d)0+(?!\d)|(HNSW|NSG)1(?!\d)", self.factory))

    @property
    def refines(self) -> bool:
        """Whether results are re-scored with finer codes."""
        return bool(re.search(r",(RFlat|Refine\()", self.factory))

    @property
    def can_be_updated(self) -> bool:
        """Whether vectors can be added and taken away with little loss: others are quick to build, or cannot change."""
        return self.is_hnsw or self.lists is not None

    @property
    def centroids(self) -> int:
        """The largest number of centroids any trained part has; 0 when nothing is trained by k-means.

        A rotation (OPQ) is learned for the product codes behind it, or for codes of 8 bits where there are none.
        """
        product = r"(?<!O)PQ\d+(?:x(\d+))?"
        bits: list[str] = re.findall(product, self.factory)
        if "OPQ" in self.factory and not re.search(product, self.factory.split(",Refine(")[0]):
            bits.append("8")
        codewords: list[int] = [2 ** int(one or 8) for one in bits]
        return max(self.lists or 0, *codewords, 0)


def resolve(index: Index, vectors: int, dimension: int) -> Spec:
    """The spec that the configuration means for this many vectors."""
    if index.spec != "auto":
        return Spec(index.spec, index.metric, index.seed, "named in the collection file")
    if vectors < FLAT_BELOW:
        return Spec("Flat", index.metric, index.seed, f"exact search, as there are fewer than {FLAT_BELOW:,} vectors")
    if vectors < HNSW_BELOW:
        return Spec("HNSW32", index.metric, index.seed, f"a graph, as there are fewer than {HNSW_BELOW:,} vectors")
    lists = 2 ** round(math.log2(4 * math.sqrt(vectors)))
    factory = f"IVF{lists},{_codes(dimension)}"
    return Spec(factory, index.metric, index.seed, f"compressed lists, as there are {HNSW_BELOW:,} vectors or more")


def _codes(dimension: int) -> str:
    """Fast-scan product quantisation of about four numbers a code, refined; 8-bit numbers where that does not divide.

    A product quantiser cuts a vector into equal pieces, so the number of codes must divide the dimension.
    """
    codes = next((count for count in range(dimension // 4, 0, -1) if dimension % count == 0), 0)
    return f"PQ{codes}x4fs,Refine(SQ8)" if codes * 8 >= dimension else "SQ8"


def check_trainable(spec: Spec, vectors: int, train_vectors: int) -> None:
    """Raise `IndexRefused` when there are, or may be trained on, fewer vectors than the spec's centroids need."""
    needed = max(spec.centroids, 1)
    if vectors < needed:
        raise IndexRefused(
            f"index spec {spec.factory} needs at least {needed:,} vectors to train on (better "
            f"{needed * MIN_PER_CENTROID:,}), but there are {vectors:,}; use spec: auto or a spec with fewer lists"
        )
    if train_vectors < needed:
        raise IndexRefused(
            f"index spec {spec.factory} needs at least {needed:,} vectors to train on (better "
            f"{needed * MIN_PER_CENTROID:,}), but index.train_vectors is {train_vectors:,}; raise it"
        )


def default_parameters(spec: Spec, asked: SearchParameters) -> dict[str, int]:
    """FAISS search-time parameters by name: what was asked for, the stated defaults for the rest."""
    parameters: dict[str, int] = {}
    if spec.is_hnsw:
        parameters["efSearch"] = asked.ef_search or 128
    if spec.lists:
        parameters["nprobe"] = min(spec.lists, asked.nprobe or max(8, spec.lists // 16))
    if spec.refines:
        parameters["k_factor_rf"] = asked.refine_factor or 10
    return parameters
