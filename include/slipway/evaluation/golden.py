"""Golden queries: curated queries with judged documents, in JSON Lines.

    {"query_id": "task-001", "query": "join two tables on a key", "slice": "task", "part": "judging",
     "relevant": {"api:pandas.DataFrame.merge": 3}}

`relevant` maps document ids to grades from 1 (related) to 3 (answers it fully). `slice` groups queries in reports
(default "all"); `part` is "tuning" or "judging" (default "judging"): queries of one part are never used for the other.
A judging query may have `must_find`, document ids of which every one must be in its top ten: `"must_find": ["api:x"]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from slipway.errors import GoldenError
from slipway.manifest import sha256_of

_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Grade = Annotated[int, Field(ge=1, le=3)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    query_id: _Words
    query: _Words
    relevant: dict[str, _Grade] = Field(min_length=1)
    slice: _Words = "all"
    part: str = Field("judging", pattern="^(tuning|judging)$")
    must_find: tuple[_Words, ...] = Field((), max_length=10)

    @model_validator(mode="after")
    def _findable(self) -> _Line:
        if len(set(self.must_find)) < len(self.must_find):
            raise ValueError("must_find names a document twice")
        if self.must_find and self.part != "judging":
            raise ValueError("must_find is for judging queries: what tuning queries find is not judged")
        return self


@dataclass(frozen=True, slots=True)
class GoldenQuery:
    """One query, the grades of its judged documents, and the documents that must be in its top ten."""

    query_id: str
    query: str
    relevant: Mapping[str, int]
    slice: str
    part: str
    must_find: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """All queries of a golden file; `sha256` is the file's."""

    queries: tuple[GoldenQuery, ...]
    sha256: str

    def part(self, name: str) -> list[GoldenQuery]:
        """The queries of one part, in file order."""
        return [query for query in self.queries if query.part == name]


def read_golden(path: Path) -> GoldenSet:
    """The golden set in a file. Raises `GoldenError` naming the file, the line and the field."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # splitlines() would cut at U+2028 inside a query
    except (OSError, UnicodeDecodeError) as error:
        raise GoldenError(f"{path}: the golden file cannot be read: {error}") from error
    queries: dict[str, GoldenQuery] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        query = _parse(path, number, line)
        if query.query_id in queries:
            raise GoldenError(f"{path}:{number}: query_id {query.query_id!r} stands twice; each needs its own")
        queries[query.query_id] = query
    golden = GoldenSet(tuple(queries.values()), sha256_of(path))
    if not golden.part("judging"):
        raise GoldenError(f"{path}: no query of the judging part, so nothing could be judged; add some")
    return golden


def _parse(path: Path, number: int, line: str) -> GoldenQuery:
    try:
        values: Any = json.loads(line)
        return GoldenQuery(**_Line.model_validate(values).model_dump())
    except ValueError as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "(the line)"
            raise GoldenError(f"{path}:{number}: field {field}: {first['msg']}") from error
        raise GoldenError(f"{path}:{number}: is not JSON: {error}") from error
