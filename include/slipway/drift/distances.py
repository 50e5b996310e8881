"""How far two samples of vectors lie apart: their centroids, and the maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slipway.drift.permutations import Members, Statistic

Vectors = npt.NDArray[np.float32]
KERNEL_MOST = 2_000  # vectors of each sample: the kernel matrix of both has 64 MB then


def norms(vectors: Vectors) -> npt.NDArray[np.float64]:
    """Length of each vector, (n,)."""
    lengths: npt.NDArray[np.float64] = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return lengths


def repeated(vectors: Vectors) -> int:
    """How many vectors are equal, bit by bit, to an earlier one."""
    return len(vectors) - len({row.tobytes() for row in vectors})


def centroid_shift(first: Vectors, second: Vectors) -> Statistic:
    """Distance between the mean vectors of the two samples, for `permutations.calibrate`.

    No query's mean inner product with the collection can have moved by more than that.
    """
    pooled = np.vstack([first, second])
    one, two = len(first), len(second)

    def statistic(members: Members) -> npt.NDArray[np.float64]:
        weights = members * np.float32(1 / one + 1 / two) - np.float32(1 / two)
        moved: npt.NDArray[np.float64] = np.linalg.norm((weights @ pooled).astype(np.float64), axis=1)
        return moved

    return statistic


def mmd(first: Vectors, second: Vectors, shared: Sequence[tuple[int, int]] = ()) -> Statistic:
    """Squared maximum mean discrepancy, the unbiased estimate of Gretton et al. (2012), for `permutations.calibrate`.

    The kernel is Gaussian, with the median distance between the vectors as its bandwidth (the same paper's heuristic).
    `shared` names members of the first and the second sample that are one and the same: a vector's similarity with
    itself says nothing of two populations, so these pairs are left out of the mean as the diagonals are.
    """
    first, second = first[:KERNEL_MOST], second[:KERNEL_MOST]
    one, two = len(first), len(second)
    left = np.array([(a, one + b) for a, b in shared if a < one and b < two], dtype=np.int64).reshape(-1, 2)
    kernel = _kernel(np.vstack([first, second]))
    np.fill_diagonal(kernel, 0)
    kernel[left[:, 0], left[:, 1]] = kernel[left[:, 1], left[:, 0]] = 0
    total = float(kernel.sum(dtype=np.float64))

    def statistic(members: Members) -> npt.NDArray[np.float64]:
        similar = members @ kernel
        within = np.einsum("bn,bn->b", similar, members, dtype=np.float64)
        between = np.einsum("bn,bn->b", similar, 1 - members, dtype=np.float64)
        ends = members[:, left[:, 0]].astype(np.float64) + members[:, left[:, 1]]
        both, split, neither = ((ends == number).sum(axis=1) for number in (2, 1, 0))
        here = within / (one * (one - 1) - 2 * both)
        there = (total - within - 2 * between) / (two * (two - 1) - 2 * neither)
        return np.asarray(here + there - 2 * between / (one * two - split))

    return statistic


def _kernel(pooled: Vectors) -> npt.NDArray[np.float32]:
    """exp(-distance² / (2 median²)) of all pairs, (n, n) float32."""
    squares = np.einsum("nd,nd->n", pooled, pooled)
    apart = np.maximum(squares[:, None] + squares[None, :] - 2 * (pooled @ pooled.T), 0)
    step = max(1, len(pooled) // 1_000)  # the median of a million pairs is as good as that of all
    some = apart[::step, ::step]
    middle = float(np.median(some[np.triu_indices(len(some), 1)]))
    np.multiply(apart, -1 / (2 * max(middle, 1e-12)), out=apart)
    made: npt.NDArray[np.float32] = np.exp(apart, out=apart)
    return made


def centroid_noise(vectors: Vectors, other: int, alpha: float) -> float:
    """How far the centroid of these vectors may lie from that of `other` ones of the same population by chance.

    Exceeded with a probability of at most alpha: the bound of Laurent and Massart (2000, lemma 1) on weighted sums of
    chi-squares, with the covariance that these vectors have. For records of which only the centroid was kept.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    variances = np.maximum(np.linalg.eigvalsh(centred.T @ centred / max(len(vectors) - 1, 1)), 0)
    rare = np.log(1 / alpha)
    spread = variances.sum() + 2 * np.sqrt((variances**2).sum() * rare) + 2 * variances.max() * rare
    return float(np.sqrt((1 / len(vectors) + 1 / other) * spread))
