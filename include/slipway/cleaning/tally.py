"""Count in, count out: every row is a document or has a reason, and the numbers must show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from slipway.errors import OperationError


def check_balance(where: str, rows: int, documents: int, rejected: int) -> None:
    """Raise `OperationError`, naming the difference, unless every row became a document or a rejected row."""
    missing = rows - documents - rejected
    if missing:
        lost = f"{missing} are lost" if missing > 0 else f"{-missing} too many came out"
        raise OperationError(
            f"{where}: {rows} rows came in, {documents} documents and {rejected} rejected rows came out, so {lost}; "
            "nothing was sealed. Run it again, and report it if it happens again"
        )


def add_up(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums by name of several counts, names sorted."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))
