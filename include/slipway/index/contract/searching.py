"""Trying candidates from cheap to dear, until one keeps the contract and nothing that is left could be cheaper."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from slipway.config.index import Index
from slipway.errors import ContractRefused, IndexRefused
from slipway.index.contract import ceiling
from slipway.index.contract.candidates import Candidate, candidates
from slipway.index.contract.queries import Queries, Vectors
from slipway.index.contract.refusal import refusal
from slipway.index.contract.trial import Sample, Settings, expected_bytes, not_tried, spec_for, try_out
from slipway.index.contract.tried import TIE, Tried, breaks, by_cost, with_front
from slipway.index.tune import MIN_QUERIES
from slipway.sizes import size

logger = logging.getLogger("slipway.contract")

SAMPLE = 50_000  # vectors that candidates are tried on, at most
SPARE = 1  # dearer candidates that keep the contract too, in case the cheapest is not confirmed
SECONDS = 1_200  # of trying
MINUTES = f"{SECONDS / 60:g}"
LATE = 4  # candidates that are tried after that, where nothing keeps the contract yet
NEAR = 4  # candidates over the memory that are tried one by one, where nothing keeps the contract

__all__ = ["Found", "Settings", "check_possible", "search"]


@dataclass(frozen=True, slots=True)
class Found:
    """What was tried, and those of it that keep the contract, the cheapest first (at least one)."""

    order: list[Tried]
    tried: list[Tried]
    seconds: float


def search(vectors: Vectors, queries: Queries, settings: Settings, sample: int = SAMPLE) -> Found:
    """The candidates that keep the contract for these vectors, (n, dimension) float32, which may be memory-mapped.

    From the least memory to the most, without those whose codes find too little even among few vectors
    (slipway.index.contract.ceiling). When the time is over and nothing keeps the contract yet, those of the rest that
    take the most memory, which find the most, are tried before it is refused; and of those over the memory, as many as
    it takes to say how much would do. Raises `ContractRefused` that says which clause cannot be kept, what would be
    possible, and how many candidates were not tried.
    """
    trials = _Trials(vectors, queries, settings, sample)
    ordered = [one for one in trials.ordered(trials.all()) if trials.is_possible(one)]
    for candidate in [one for one in ordered if trials.fits(one)]:
        trials.take(candidate)
    trials.take_late()
    trials.take_low()
    trials.take_beyond([one for one in ordered if not trials.fits(one)])
    tried = with_front(trials.tried)
    order = by_cost([one for one in tried if one.kept])
    if not order:
        raise ContractRefused(refusal(tried, settings.contract, trials.untried()), tried)
    return Found(order, tried, round(trials.seconds, 3))


def check_possible(vectors: int, dimension: int, index: Index) -> None:
    """Raise `IndexRefused` when no candidate for so many vectors can keep the memory, by estimate: nothing is built."""
    limit = index.contract.memory if index.contract else None
    if limit is None:
        return
    sizes = {
        spec_for(one, vectors, index).factory: expected_bytes(one, vectors, dimension, index)
        for one in candidates(vectors, dimension, index.train_vectors)
    }
    smallest = min(sizes, key=lambda name: sizes[name])
    if sizes[smallest] > limit:
        raise IndexRefused(
            f"index.contract: memory {size(limit)} cannot be kept by any index of {vectors:,} vectors of dimension "
            f"{dimension}: the smallest, {smallest}, takes about {size(sizes[smallest])}, whatever it finds; "
            "allow more memory"
        )


class _Trials:
    """One search: what was tried so far, and what is left out."""

    def __init__(self, vectors: Vectors, queries: Queries, settings: Settings, most: int) -> None:
        self.sample = Sample.draw(vectors, queries, most, settings.index)
        is_worth = len(self.sample.vectors) >= ceiling.FEW * ceiling.WORTH
        self.few = Sample.draw(vectors, queries, ceiling.FEW, settings.index) if is_worth else None
        self.settings, self.tried, self.low = settings, list[Tried](), list[tuple[float, Candidate]]()
        self.rest, self.timed_out, self.unaffordable, self.apart = list[Candidate](), 0, 0, 0
        self.total, self.dimension = self.sample.total, vectors.shape[1]
        self.started = settings.clock()

    @property
    def seconds(self) -> float:
        return self.settings.clock() - self.started

    @property
    def kept(self) -> list[Tried]:
        return [one for one in self.tried if one.kept]

    def all(self) -> list[Candidate]:
        """Candidates that the sample can train; only exact search where there are too few queries to measure by."""
        if len(self.sample.tuning) < MIN_QUERIES:
            return [Candidate("Flat")]
        return candidates(len(self.sample.vectors), self.dimension, self.settings.index.train_vectors)

    def size(self, candidate: Candidate) -> int:
        return expected_bytes(candidate, self.total, self.dimension, self.settings.index)

    def ordered(self, several: list[Candidate]) -> list[Candidate]:
        return sorted(several, key=lambda one: (self.size(one), one.template))

    def fits(self, candidate: Candidate) -> bool:
        limit = self.settings.contract.memory
        return limit is None or self.size(candidate) <= limit

    def is_possible(self, candidate: Candidate) -> bool:
        """Whether all vectors can be made such an index here; what cannot is left out.

        Exact search of so few vectors that nothing else can be measured is possible in whatever shards.
        """
        spec, shape = spec_for(candidate, self.total, self.settings.index), (self.total, self.dimension)
        if why := self.settings.unaffordable(spec, *shape):
            self.unaffordable += self.fits(candidate)
            self._leave(candidate, f"not tried: it cannot be built in the memory that there is: {why}")
            return False
        if len(self.sample.tuning) >= MIN_QUERIES and (why := self.settings.apart(spec, *shape)):
            self.apart += self.fits(candidate)
            self._leave(candidate, f"not tried: it cannot be merged from shards: {why}")
            return False
        return True

    def take(self, candidate: Candidate) -> None:
        """Try it, unless it could only be dearer than what keeps the contract already."""
        kept = by_cost(self.kept)
        if len(kept) > SPARE and self.size(candidate) > kept[0].memory_bytes * TIE:
            self._leave(candidate, f"not tried: it takes more memory than {kept[0].spec}, which keeps every clause")
        elif self.seconds > SECONDS and self.tried:
            self.rest.append(candidate)
        elif (most := self._too_little(candidate)) is not None:
            self.low.append((most, candidate))
        else:
            self._try(candidate)

    def _too_little(self, candidate: Candidate) -> float | None:
        """The most that its codes can find, where that is less than is asked."""
        most = ceiling.ceiling(candidate, self.few, self.settings) if self.few else None
        if most is None or most >= ceiling.least(self.settings.contract.recall_at_10, len(self.sample.tuning)):
            return None
        logger.info("index contract: %s: among few vectors its codes find %.3f at most", candidate.template, most)
        return most

    def take_low(self) -> None:
        """Where nothing keeps the contract, try the best of those that find too little: it tells what is possible."""
        best = max(self.low, key=lambda one: one[0], default=None)
        for most, candidate in self.low:
            if not self.kept and (most, candidate) == best:
                self._try(candidate)
            else:
                self._leave(candidate, _few(most))

    def take_late(self) -> None:
        """Of what the time did not suffice for, try those that find the most, until one keeps the contract."""
        first_late = len(self.rest) - LATE
        for number, candidate in enumerate(self.rest):
            if number >= first_late and not self.kept:
                self._try(candidate)
            else:
                self.timed_out += 1
                self._leave(candidate, f"not tried: {MINUTES} minutes of trying were over")

    def untried(self) -> list[str]:
        """Why candidates that might have kept the contract were not tried, a sentence a reason."""
        said = {
            f"the {MINUTES} minutes of trying were over and {self.timed_out} candidates were not tried": self.timed_out,
            f"{self.unaffordable} cannot be built in the memory that there is": self.unaffordable,
            f"{self.apart} cannot be merged from shards; index.shards.release apart allows them": self.apart,
        }
        return [sentence for sentence, count in said.items() if count]

    def take_beyond(self, several: list[Candidate]) -> None:
        """Of those over the memory, in the order of it, try as many as it takes to say how much would do.

        Where nothing keeps the contract: the nearest `NEAR` one by one, and then the rest by halving, as if whatever
        takes more memory were better. That is nearly so of recall, and the largest, graphs, are fast; what is found
        would do, and some that takes less might.
        """
        looked, first, last = set[int](), 0, len(several)
        while not self.kept and first < last and self.seconds <= SECONDS:
            number = first if first < NEAR else (first + last) // 2
            looked.add(number)
            first, last = (first, number) if self._would_do(several[number]) else (number + 1, last)
        for number, candidate in enumerate(several):
            if number not in looked:
                self._leave(candidate, "not tried: it is estimated to take more memory than the contract allows")

    def _would_do(self, candidate: Candidate) -> bool:
        """Whether the candidate breaks no other clause than the memory."""
        if (most := self._too_little(candidate)) is not None:
            self._leave(candidate, _few(most))
            return False
        return any(set(breaks(one, self.settings.contract)) <= {"memory"} for one in self._try(candidate))

    def _try(self, candidate: Candidate) -> list[Tried]:
        """What it gave."""
        made = try_out(candidate, self.sample, self.settings)
        for one in made:
            self.tried.append(one)
            logger.info(
                "index contract: %s: recall@10 %.3f, p95 %.3g ms, %s, built in %.3g s: %s",
                *(one.spec, one.recall_at_10, one.p95_ms, size(one.memory_bytes), one.build_seconds, one.why),
            )
        return made

    def _leave(self, candidate: Candidate, why: str) -> None:
        self.tried.append(not_tried(candidate, self.total, self.dimension, self.settings, why))


def _few(most: float) -> str:
    return f"not tried: its codes find too little: {most:.3f} at most, among {ceiling.FEW:,} vectors"
