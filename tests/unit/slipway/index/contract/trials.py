"""What the tests of index contracts share: small clouds of vectors, and a clock that nobody's machine moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slipway.config.index import Contract, Index
from slipway.index.contract import Queries, Settings, of_collection
from tests.support.releases import Vectors, clustered_vectors

DIMENSION = 32


def vectors(count: int = 2_000) -> Vectors:
    return clustered_vectors(count, DIMENSION, centres=200)


def queries(of: Vectors, count: int = 120) -> Queries:
    return of_collection(of, count, seed=1)


def one_millisecond(search: Callable[[Vectors], object], asked: Vectors) -> float:
    """A p95 that searches once, so that what is timed can be searched, and is always the same."""
    search(asked[:1])
    return 1.0


def settings(p95: Callable[..., float] = one_millisecond, seconds: float = 0.01, **clauses: Any) -> Settings:
    """With a clock that says that every building took `seconds`."""
    contract = Contract.model_validate({"recall_at_10": 0.95} | clauses)
    ticks = iter(seconds * tick for tick in range(1_000_000))
    return Settings(Index(contract=contract, ef_construction=40), contract, p95, lambda: next(ticks))
