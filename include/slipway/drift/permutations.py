"""Thresholds by permutation: how far apart two samples would lie if they were drawn from one and the same population.

Both samples are put together and cut in two anew, at random, many times. What the statistic gives then is what it gives
where nothing differs, whatever the data look like. The samples of two nights share most of their members, which brings
them closer to each other than chance does; the error rate is below `alpha` then, and not above it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Members = npt.NDArray[np.float32]
Statistic = Callable[[Members], npt.NDArray[np.float64]]
"""From (cuts, first + second) memberships, 1 for those in the first sample, to one number a cut."""

BLOCK = 256  # cuts at once: memory of a block is that times the members


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What was seen, and the value that it exceeds by chance with a probability of at most alpha."""

    value: float
    threshold: float

    def over(self, floor: float) -> bool:
        """Whether it is beyond chance, and large enough (`floor`) for anybody to care. So is what is not a number."""
        return not self.value <= max(self.threshold, floor)


def calibrate(statistic: Statistic, first: int, second: int, alpha: float, permutations: int, seed: int) -> Calibrated:
    """The statistic of samples of `first` and `second` members as they are, and its threshold.

    More permutations than asked for are made where alpha could not be told with fewer.
    """
    seen = np.zeros((1, first + second), dtype=np.float32)
    seen[0, :first] = 1
    count = max(permutations, math.ceil(1 / alpha) - 1)
    shuffled = np.concatenate([statistic(block) for block in _cuts(first, second, count, seed)])
    return Calibrated(float(statistic(seen)[0]), _quantile(shuffled, alpha))


def _quantile(shuffled: npt.NDArray[np.float64], alpha: float) -> float:
    """The smallest shuffled value that at most alpha of all, the one that was seen among them, may lie above."""
    allowed = math.floor(alpha * (len(shuffled) + 1) + 1e-9)  # that many ranks at the top, the value's own included
    return float(np.sort(shuffled)[-max(allowed, 1)])


def _cuts(first: int, second: int, count: int, seed: int) -> Iterator[Members]:
    for packed in _drawn(first, second, count, seed):
        yield np.unpackbits(packed, axis=1, count=first + second).astype(np.float32)


@lru_cache(maxsize=2)
def _drawn(first: int, second: int, count: int, seed: int) -> tuple[npt.NDArray[np.uint8], ...]:
    """Blocks of cuts, a bit a member. All measures of a run cut the same samples alike, and drawing takes longest."""
    random = np.random.default_rng(seed)
    members = np.zeros(first + second, dtype=np.float32)
    members[:first] = 1
    blocks = []
    for start in range(0, count, BLOCK):
        block = np.tile(members, (min(BLOCK, count - start), 1))
        blocks.append(np.packbits(random.permuted(block, axis=1, out=block).astype(np.bool_), axis=1))
    return tuple(blocks)
