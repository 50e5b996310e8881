"""How fast vectors were made: what a vector part's facts, a shard's result and an estimate say of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Throughput:
    """Tokens that an encoder read in so many seconds of its work, on a device ("cuda:0") and by a backend.

    `backend` is None for parts of versions that knew only one.
    """

    tokens: int
    seconds: float
    device: str
    backend: str | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """None where too little was done to be timed."""
        return round(self.tokens / self.seconds, 1) if self.seconds > 0 else None

    @property
    def kind(self) -> str:
        """What the speed belongs to: "cuda by torch"."""
        device = self.device.partition(":")[0]
        return device if self.backend in (None, device) else f"{device} by {self.backend}"

    def facts(self) -> dict[str, Any]:
        """As facts of a vector part."""
        return {
            "tokens": self.tokens,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second,
            "device": self.device,
            "backend": self.backend,
        }


def told(facts: Mapping[str, Any]) -> Throughput | None:
    """The throughput that a part's facts tell, or None where they do not."""
    if not {"tokens", "seconds", "device"} <= facts.keys():
        return None
    return Throughput(facts["tokens"], facts["seconds"], facts["device"], facts.get("backend"))


def together(parts: Iterable[Throughput]) -> Throughput | None:
    """One after another: the sums over the parts of the last one's kind, or None of nothing."""
    given = list(parts)
    if not given:
        return None
    last = given[-1]
    same = [one for one in given if one.kind == last.kind]
    seconds = round(sum(one.seconds for one in same), 3)
    return Throughput(sum(one.tokens for one in same), seconds, last.device, last.backend)
