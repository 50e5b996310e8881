"""The memory that building an index may take: estimated before anything is added, watched while it is.

What counts is memory of the process's own. Vectors come from memory-mapped files in blocks, and the pages of such files
are not counted: the system takes them back when it needs them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slipway.config.index import Index
from slipway.errors import IndexRefused, MemoryExceeded
from slipway.index.build import ADD_STEP
from slipway.index.memory import estimate, merge_bytes
from slipway.index.spec import Spec
from slipway.machine import memory_left
from slipway.sizes import size

SHARE = 0.9  # of what the machine has free, where nothing is configured: others live there too
_BLOCKS = 16  # a block of vectors that is added may take this part of the budget at most
_LEAST_STEP = 256  # vectors added at once, however small the budget is
_BOUNDLESS = 1 << 62
_STATUS = Path("/proc/self/status")

logger = logging.getLogger("slipway")

_REMEDY = "Give this worker more memory (or raise index.build_memory), set index.shards.vectors, or take a smaller spec"
_ANEW = f"{_REMEDY}; or train on fewer (index.train_vectors)"
_SMALLER = (
    "Lower index.shards.vectors, give this worker more memory (or raise index.build_memory), or take a smaller spec"
)
_APART = (
    "Set index.shards.release to apart, so that they are served side by side; or give this worker more memory (or "
    "raise index.build_memory)"
)


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes that building may take over the `held` ones that the process had when it began; `says` who set it."""

    bytes: int
    says: str
    held: int

    @classmethod
    def of(cls, settings: Index) -> Budget:
        """The budget of a collection's settings, from now on; boundless where neither it nor the machine sets one."""
        held = own_memory() or 0
        if settings.build_memory is not None:
            return cls(int(settings.build_memory), "index.build_memory", held)
        left = memory_left()
        if left is None:
            return cls(_BOUNDLESS, "no bound is known", held)
        return cls(int(left.bytes * SHARE), f"{left.says} has {size(left.bytes)} free", held)

    @property
    def taken(self) -> int | None:
        """Bytes taken since the budget began; None where the system does not tell."""
        now = own_memory()
        return None if now is None else max(0, now - self.held)

    def check_estimate(self, spec: Spec, vectors: int, dimension: int, train_vectors: int) -> None:
        """Raise `IndexRefused` when the index cannot be built within the budget."""
        what = f"building {spec.factory} of {_described(vectors, dimension)}, trained on at most {train_vectors:,},"
        self._check(what, _ask(spec, lambda: estimate(spec, vectors, dimension, train_vectors).build_bytes), _ANEW)

    def check_training(self, spec: Spec, vectors: int, dimension: int, train_vectors: int) -> None:
        """Raise `IndexRefused` when the index cannot be trained within the budget."""
        what = f"training {spec.factory} on at most {train_vectors:,} of {_described(vectors, dimension)}"
        self._check(what, _ask(spec, lambda: estimate(spec, vectors, dimension, train_vectors).train_bytes), _ANEW)

    def check_adding(self, spec: Spec, vectors: int, dimension: int) -> None:
        """Raise `IndexRefused` when a shard of so many vectors cannot be filled within the budget."""
        what = f"filling a shard of {spec.factory} with {_described(vectors, dimension)}"
        self._check(what, _ask(spec, lambda: estimate(spec, vectors, dimension, 1).add_bytes), _SMALLER)

    def check_merge(self, spec: Spec, vectors: int, dimension: int, largest: int) -> None:
        """Raise `IndexRefused` when shards of at most `largest` vectors cannot be merged within the budget."""
        what = f"merging the shards of {spec.factory} with {vectors:,} vectors"
        self._check(what, _ask(spec, lambda: merge_bytes(spec, vectors, dimension, largest)), _APART)

    def _check(self, what: str, expected: int | None, remedy: str) -> None:
        if expected is not None and expected > self.bytes:
            raise IndexRefused(
                f"{what} would take about {size(expected)} of memory, and there are {size(self.bytes)} ({self.says}). "
                f"{remedy}"
            )

    def check(self, doing: str) -> None:
        """Raise `MemoryExceeded` when more than the budget was taken."""
        taken = self.taken
        if taken is not None and taken > self.bytes:
            raise MemoryExceeded(
                f"{doing} has taken {size(taken)} of memory, and may take {size(self.bytes)} ({self.says}). {_REMEDY}"
            )

    def step(self, dimension: int) -> int:
        """How many vectors to add at once."""
        return max(_LEAST_STEP, min(ADD_STEP, self.bytes // (_BLOCKS * 4 * dimension)))

    def watching(self, doing: str, told: Callable[[int], None]) -> Callable[[int], None]:
        """`told`, and a look at the memory each time. Raises `MemoryExceeded`."""

        def called(added: int) -> None:
            told(added)
            self.check(doing)

        return called


def _described(vectors: int, dimension: int) -> str:
    return f"{vectors:,} vectors of dimension {dimension}"


def _ask(spec: Spec, estimated: Callable[[], int]) -> int | None:
    """The estimate; None for a spec whose size FAISS does not tell, which is watched all the same."""
    try:
        return estimated()
    except IndexRefused as error:  # a spec that cannot be built is refused by the build, in its own words
        logger.warning("what building %s takes is not known beforehand: %s", spec.factory, error)
        return None


def own_memory(status: Path = _STATUS) -> int | None:
    """Bytes of memory of this process that no file backs; None where the system does not tell (Linux does)."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:")), None)
