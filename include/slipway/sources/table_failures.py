"""Errors of lake tables and the stores below them, turned into ours, in words that carry no secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from slipway.errors import CorruptObject, SlipwayError, SourceDenied, SourceInterrupted, SourceSchemaError

_DENIED = re.compile(
    r"access ?denied|permission ?denied|forbidden|unauthori[sz]ed|invalidaccesskeyid|signaturedoesnotmatch|"
    r"expiredtoken|\b40[13]\b|no credentials",
    re.IGNORECASE,
)
_VANISHED = re.compile(r"not ?found|no such file|nosuchkey", re.IGNORECASE)
_CORRUPT = re.compile(r"parquet error|not a parquet|parquet magic|invalid parquet|couldn't deserialize", re.IGNORECASE)


class TableFailures:
    """Names the table in every error. `where` is what people are told, `secrets` what must never be shown."""

    def __init__(self, where: str, secrets: Iterable[str]) -> None:
        self.where = where
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def check_columns(self, wanted: Sequence[str], available: Sequence[str]) -> None:
        """Raise `SourceSchemaError` unless each wanted column is available."""
        missing = [name for name in wanted if name not in available]
        if missing:
            raise SourceSchemaError(
                f"{self.where}: has no column {', '.join(map(repr, missing))}; the columns are "
                f"{', '.join(map(repr, available)) or '(none)'}. Correct the source's fields in the collection file"
            )

    def missing(self, error: BaseException) -> SourceSchemaError:
        """The error for a table that is not there."""
        return SourceSchemaError(
            f"{self.where}: there is no such table ({self.words(error)}); correct the source in the collection file, "
            "or make the table first"
        )

    def unusable(self, error: BaseException) -> SourceSchemaError:
        """The error for a table or catalog that cannot be read as it is set up."""
        return SourceSchemaError(
            f"{self.where}: cannot be read: {self.words(error)}. Correct its settings or the table"
        )

    def of(self, error: BaseException, rows: int) -> SlipwayError:
        """The error to raise for a library's `error` that came after `rows` rows were read."""
        words, seen = self.words(error), f"after {rows:,} rows" if rows else "before the first row"
        if isinstance(error, PermissionError) or _DENIED.search(words):
            return SourceDenied(
                f"{self.where}: the login or the permission to read was refused: {words}. "
                "Correct the credentials, or grant them reading"
            )
        if not _VANISHED.search(words) and _CORRUPT.search(words):
            return CorruptObject(f"{self.where}: a file of it cannot be read ({seen}): {words}. Restore the file")
        return SourceInterrupted(f"{self.where}: reading failed {seen}, nothing of it is used: {words}. Try again")

    def words(self, error: BaseException) -> str:
        """The library's own words on one line, with every secret blacked out."""
        text = str(error)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:500].rstrip(". ") or type(error).__name__
