"""Groups of chunks: what is embedded and sealed at once, so that a kill loses seconds of work.

The plan and the embed stage cut the same rows into the same groups, so the plan can name every vector part that its
embedding will make, and whoever finds another part knows that another run made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

GROUP_TOKENS = 131_072  # about ten seconds of a small model on two CPU cores
GROUP_CHUNKS = 4_096

Row = TypeVar("Row", bound=Mapping[str, Any])


def groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows with a key "tokens", in order, cut wherever a group would pass its tokens or chunks."""
    group: list[Row] = []
    tokens = 0
    for row in rows:
        if group and (tokens + row["tokens"] > GROUP_TOKENS or len(group) >= GROUP_CHUNKS):
            yield group
            group, tokens = [], 0
        group.append(row)
        tokens += row["tokens"]
    if group:
        yield group
