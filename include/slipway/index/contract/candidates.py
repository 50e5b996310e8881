"""The kinds of index that a contract may lead to, as FAISS factory strings for any number of vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from slipway.index.spec import MIN_PER_CENTROID, Spec

LEAST_PER_LIST = 16  # training vectors
SCALAR = ("SQ8", "SQ6", "SQ4")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A FAISS factory string with {lists}, or {half} of them, where the number of inverted lists goes.

    That depends on the vectors.
    """

    template: str

    def spec(self, vectors: int, metric: str, seed: int, train_vectors: int, reason: str = "") -> Spec:
        """As a spec for so many vectors, trained on at most `train_vectors` of them."""
        lists = lists_for(vectors, train_vectors)
        factory = self.template.format(lists=lists, half=max(1, lists // 2))
        return Spec(factory, metric, seed, reason)


def lists_for(vectors: int, train_vectors: int) -> int:
    """The power of two nearest to 4 √n, and less where too few vectors would fall on a list, or be trained on for it.

    With so many lists, to find the lists and to scan some of them cost about the same.
    """
    most = max(1, min(vectors // MIN_PER_CENTROID, train_vectors // LEAST_PER_LIST))
    return int(min(2 ** round(math.log2(4 * math.sqrt(max(vectors, 1)))), 2 ** math.floor(math.log2(most))))


def candidates(vectors: int, dimension: int, train_vectors: int) -> list[Candidate]:
    """Candidates that so many vectors can train, in no order that matters.

    Product codes of eight bits are not among them: to train them takes longer than to build all the others, and they
    find no more than RaBitQ's codes of the same size (docs/decisions/0016).
    """
    made = (Candidate(template) for template in dict.fromkeys(_templates(dimension)))
    return [one for one in made if _is_trainable(one.spec(vectors, "l2", 0, train_vectors), vectors, train_vectors)]


def _is_trainable(spec: Spec, vectors: int, train_vectors: int) -> bool:
    """Inverted lists of few vectors save nothing, and codewords need points to stand for."""
    if spec.lists is not None and spec.lists < 4:
        return False
    return spec.centroids <= (spec.lists or 0) or min(vectors, train_vectors) >= MIN_PER_CENTROID * spec.centroids


def _templates(dimension: int) -> Iterator[str]:
    yield from ("Flat", *SCALAR)
    yield from ("HNSW16", "HNSW32", "HNSW16,SQ8", "HNSW32,SQ8")
    yield from (f"IVF{{lists}},{codes}" for codes in ("Flat", *SCALAR))
    # turned at random, as their codes expect of vectors; with less memory for centroids, where memory is what counts
    yield from (f"RR{dimension},IVF{{half}},RaBitQ{bits}" for bits in (2, 3, 4, 5))
    yield from (f"IVF{{lists}},RaBitQ,Refine({finer})" for finer in SCALAR)
    for share in (2, 4, 6):
        codes = _dividing(dimension, dimension // share)
        yield from (f"IVF{{lists}},PQ{codes}x4fs,Refine({finer})" for finer in ("SQfp16", *SCALAR))
    yield from _projected(dimension)


def _projected(dimension: int) -> Iterator[str]:
    """Lists and coarse codes of half the dimensions, those in which the vectors differ most, turned so that each code
    has about as much to tell; scored again in all.
    """
    half = dimension // 2
    if half:
        codes = _dividing(half, half // 2)
        coarse = f"OPQ{codes}_{half},IVF{{lists}},PQ{codes}x4fs"
        yield from (f"{coarse},Refine({finer})" for finer in ("SQfp16", *SCALAR))


def _dividing(dimension: int, most: int) -> int:
    """The largest number of equal pieces, at most `most`, that vectors can be cut into."""
    return next(count for count in range(max(most, 1), 0, -1) if dimension % count == 0)
