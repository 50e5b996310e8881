"""How alike two rankings are: their overlap, and rank-biased overlap."""

from __future__ import annotations

from collections.abc import Sequence

PERSISTENCE = 0.9  # with which a person looks on to the next rank: the first ten bear 86 % of the weight


def overlap(one: Sequence[str], other: Sequence[str], k: int = 10) -> float:
    """Share of the first k that both have: of the longer of the two, where both are shorter; 1 if both are empty."""
    first, second = set(one[:k]), set(other[:k])
    longest = max(len(first), len(second))
    return len(first & second) / longest if longest else 1.0


def rank_biased_overlap(one: Sequence[str], other: Sequence[str], p: float = PERSISTENCE) -> float:
    """Extrapolated rank-biased overlap, from 0 (nothing in common) to 1 (the same), for lists without repetitions.

    Webber, Moffat and Zobel (2010), "A Similarity Measure for Indefinite Rankings", equation 32: the agreement at the
    last depth seen is taken to go on for ever, and lists may differ in length.
    """
    short, long = sorted((list(one), list(other)), key=len)
    if not short:
        return 0.0 if long else 1.0
    lengths = (len(short), len(long))
    agreed = [len(set(short[:depth]) & set(long[:depth])) for depth in range(1, lengths[1] + 1)]
    at_short, at_long = agreed[lengths[0] - 1], agreed[-1]
    seen = sum(common / depth * p**depth for depth, common in enumerate(agreed, 1))
    unseen = sum(
        at_short * (depth - lengths[0]) / (lengths[0] * depth) * p**depth
        for depth in range(lengths[0] + 1, lengths[1] + 1)
    )
    tail = ((at_long - at_short) / lengths[1] + at_short / lengths[0]) * p ** lengths[1]
    return (1 - p) / p * (seen + unseen) + tail
