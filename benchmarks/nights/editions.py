"""Open English WordNet in three yearly editions, and an independent account of what changed between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FILES = {
    "2023": "corpus_v2023-edition.parquet",
    "2024": "corpus_v2024-edition.parquet",
    "2025": "corpus.parquet",
}
COLUMNS = ("title", "text", "pos", "category")
STEPS = (("2023", "2024"), ("2024", "2025"))


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed from one edition to the next. `deleted` are ids; the others are numbers of entries.

    `changed` are those with any change that a reader can see, `unseen` those that differ only in blanks and characters
    of no width, which cleaning takes out. `definitions` and `titles` overlap, and count both.
    """

    added: int
    deleted: frozenset[str]
    changed: int
    unseen: int
    definitions: int
    titles: int


def read_editions(folder: Path) -> dict[str, pd.DataFrame]:
    """The editions by year: columns `COLUMNS`, indexed by doc_id, in id order."""
    import pandas as pd

    read = {year: pd.read_parquet(folder / file, columns=["doc_id", *COLUMNS]) for year, file in FILES.items()}
    return {year: entries.astype(object).set_index("doc_id").sort_index() for year, entries in read.items()}


def compare(old: pd.DataFrame, new: pd.DataFrame) -> Changes:
    """What changed, by the ids and columns of two editions."""
    both = old.index.intersection(new.index)
    before, after = old.loc[both, list(COLUMNS)], new.loc[both, list(COLUMNS)]
    differs = before != after
    seen = (before.map(_visible) != after.map(_visible)).any(axis=1)
    return Changes(
        len(new.index.difference(old.index)),
        frozenset(old.index.difference(new.index)),
        int(seen.sum()),
        int((differs.any(axis=1) & ~seen).sum()),
        int(differs["text"].sum()),
        int(differs["title"].sum()),
    )


def _visible(text: str) -> str:
    return " ".join(text.replace("\u200b", "").split())


def published(readme: Path) -> dict[tuple[str, str], Mapping[str, int]]:
    """What the data set's own README says: added, removed, changed definitions and titles, by pair of years."""
    pattern = re.compile(
        r"(\d{4})-edition -> (\d{4})-edition: added (?P<added>\d+), removed (?P<removed>\d+), "
        r"changed definition (?P<definitions>\d+), changed members/title (?P<titles>\d+)"
    )
    found = pattern.finditer(readme.read_text())
    return {(one[1], one[2]): {name: int(value) for name, value in one.groupdict().items()} for one in found}


def as_published(changes: Changes) -> Mapping[str, int]:
    """A comparison in the README's terms."""
    removed = len(changes.deleted)
    return {
        "added": changes.added,
        "removed": removed,
        "definitions": changes.definitions,
        "titles": changes.titles,
    }


def sample(editions: Mapping[str, pd.DataFrame], one_of: int) -> dict[str, pd.DataFrame]:
    """Every so many entries of those with the same history, so that the shares of what happened stay the same."""
    import pandas as pd

    every = pd.Index(sorted(set().union(*(edition.index for edition in editions.values()))))
    history = pd.DataFrame({year: every.isin(edition.index) for year, edition in editions.items()}, index=every)
    for old, new in STEPS:
        before, after = (editions[year].reindex(every).fillna("") for year in (old, new))
        history[f"{old}-{new}"] = (before != after).any(axis=1)
    place = history.groupby(list(history.columns)).cumcount()
    kept = every[(place % one_of == 0).to_numpy()]
    return {year: edition.loc[edition.index.intersection(kept)] for year, edition in editions.items()}
