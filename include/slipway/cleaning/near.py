"""Near-duplicates: word 3-shingles, their MinHash bands, and the exact Jaccard similarity that has the last word.

MinHash signatures of 128 hash functions are cut into bands of r rows each; two texts are candidates when they agree
on a whole band. Texts of similarity s agree on a band with probability s^r, so on at least one of b bands with
1 - (1 - s^r)^b (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, 3.4). The most rows are taken that still
find a pair exactly at the threshold with probability 0.99; a pair above it is found more surely still.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

Hashes = npt.NDArray[np.uint64]

FUNCTIONS = 128
SEED = 1
SHINGLE_WORDS = 3
FOUND = 0.99
SCHEME = int(RMinHash.ALGORITHM_VERSION)
"""Bands of another scheme cannot be compared with these."""

_WORD = re.compile(r"\w+")
# Chinese and Japanese are written without spaces: each of their characters stands for a word
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD_OR_CJK = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
_MIX = tuple(np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


@dataclass(frozen=True, slots=True)
class Bands:
    """How signatures are cut: `count` bands of `rows` hash functions each."""

    count: int
    rows: int

    @classmethod
    def for_threshold(cls, threshold: float) -> Bands:
        """The cut with the fewest false candidates that finds pairs at the threshold with probability 0.99."""
        for rows in range(FUNCTIONS, 1, -1):
            bands = cls(FUNCTIONS // rows, rows)
            if bands.chance(threshold) >= FOUND:
                return bands
        return cls(FUNCTIONS, 1)

    def chance(self, similarity: float) -> float:
        """The probability that two texts of this Jaccard similarity share a band."""
        return float(1 - (1 - similarity**self.rows) ** self.count)

    def of(self, texts: Sequence[str]) -> Hashes:
        """The bands of each text: (len(texts), count) uint64. Each band's number is mixed into its value, so two texts
        share a band when any value of one is among the values of the other.
        """
        if not texts:
            return np.empty((0, self.count), np.uint64)
        shingles, offsets = _shingles(texts)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(shingles, offsets, FUNCTIONS, SEED)
        signatures = np.asarray(matrix.to_rows(), np.uint64)
        used = signatures[:, : self.count * self.rows].reshape(len(texts), self.count, self.rows)
        bands = np.broadcast_to(np.arange(1, self.count + 1, dtype=np.uint64), used.shape[:2])
        for row in range(self.rows):
            bands = _mixed(bands ^ used[:, :, row])
        return bands


def shingle_sets(texts: Sequence[str]) -> list[Hashes]:
    """The distinct word 3-shingles of each text as sorted 64-bit hashes; a shorter text is one shingle."""
    shingles, offsets = _shingles(texts)
    return [np.unique(shingles[offsets[i] : offsets[i + 1]]) for i in range(len(texts))]


def jaccard(first: Hashes, second: Hashes) -> float:
    """The share of common elements of two sorted sets, 0 to 1; two empty sets are equal."""
    if first.size > second.size:
        first, second = second, first
    if not second.size:
        return 1.0
    places = np.minimum(np.searchsorted(second, first), second.size - 1)
    common = int(np.count_nonzero(second[places] == first))
    return common / (first.size + second.size - common)


def at_most(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The largest Jaccard similarity that sets of these sizes (at least 1) can have, pair by pair."""
    return np.asarray(np.minimum(first, second) / np.maximum(first, second))


def _shingles(texts: Sequence[str]) -> tuple[Hashes, Hashes]:
    """All shingles of all texts one after another, and where each text's begin: (n,) uint64, (len(texts) + 1,) uint64.

    Each text has at least one shingle; one without any word is a shingle of its own.
    """
    words = [_words(text) for text in texts]
    hashed = np.concatenate([np.asarray(row, np.uint64) for row in RMinHash.hash_token_sets(words)])
    counts = np.asarray([len(row) for row in words])
    # each text is led in by two zeros, so that every window of three ends in a word of one text alone
    padded = np.zeros(len(hashed) + (SHINGLE_WORDS - 1) * len(texts), np.uint64)
    first = np.arange(len(texts)).repeat(counts)
    padded[np.arange(len(hashed)) + (first + 1) * (SHINGLE_WORDS - 1)] = hashed
    windows = _mixed(padded[2:] ^ _mixed(padded[1:-1] ^ _mixed(padded[:-2])))
    starts = np.concatenate([[0], np.cumsum(counts + SHINGLE_WORDS - 1)])
    # a text's first two windows hold fewer than three words: they count only where there is no other
    keep = np.ones(len(windows), bool)
    for skipped in range(SHINGLE_WORDS - 1):
        keep[starts[:-1][counts > skipped + 1] + skipped] = False
    # windows that begin in one text and end in the next are those whose last place is a lead-in zero
    for lead in range(SHINGLE_WORDS - 1):
        inside = starts[1:-1] + lead - (SHINGLE_WORDS - 1)
        keep[inside] = False
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    offsets = kept_before[np.minimum(starts, len(windows))]
    return windows[keep], offsets.astype(np.uint64)


def _words(text: str) -> list[str]:
    pattern = _WORD if text.isascii() else _WORD_OR_CJK
    return pattern.findall(text.lower()) or [text]


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit of the output."""
    mixed = values + _MIX[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[1]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[2]
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), np.uint64)
