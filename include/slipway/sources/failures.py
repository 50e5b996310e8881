"""A database driver's errors, turned into ours: which one it is, in words that carry no secret."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, unquote

from sqlalchemy.exc import NoSuchModuleError

from slipway.errors import CorruptObject, InputError, SlipwayError, SourceDenied, SourceInterrupted, SourceSchemaError
from slipway.run import Connection

_SECRET_KEYS = re.compile(r"pass|pwd|secret|token|key|credential", re.IGNORECASE)
_DENIED_STATES = ("28", "42501")  # SQLSTATE: invalid authorization, insufficient privilege
_WRONG_STATES = ("42", "3D", "3F", "22", "0A")  # syntax or name, catalog, schema, data, unsupported feature
_PERMANENT_KINDS = {"ProgrammingError", "DataError", "NotSupportedError"}
_SQLITE_DENIED = {"SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_READONLY"}
_SQLITE_CORRUPT = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}
# What servers say while a connection is being made, when drivers pass on no SQLSTATE.
_DENIED_WORDS = re.compile(
    r"authentication failed|no password supplied|access denied|pg_hba\.conf|role \S+ does not exist", re.I
)
_WRONG_WORDS = re.compile(r"database \S+ does not exist|unknown database|invalid URI|invalid connection option", re.I)


class Failures:
    """Names the source and the connection in every error, and keeps the connection's secrets out of it."""

    def __init__(self, source: str, connection: Connection) -> None:
        self.where = f"source {source!r} (connection {connection.name!r})"
        self._connection = connection.name
        self._secrets = sorted(_secrets(connection.url), key=len, reverse=True)

    def check_columns(self, wanted: Sequence[str], available: Sequence[str], place: str) -> None:
        """Raise `SourceSchemaError` unless each wanted column is available exactly once."""
        missing = [name for name in wanted if name not in available]
        if missing:
            raise SourceSchemaError(
                f"{self.where}: {place} has no column {_listed(missing)}; the columns are {_listed(available)}. "
                "Correct the source's fields in the collection file"
            )
        repeated = [name for name in wanted if list(available).count(name) > 1]
        if repeated:
            raise SourceSchemaError(
                f"{self.where}: {place} has more than one column {_listed(repeated)}; give each its own name with AS"
            )

    def unusable(self, error: Exception) -> InputError:
        """The error for a connection that no driver here can use. A parser's own words may quote the password."""
        if isinstance(error, ImportError | NoSuchModuleError):
            return InputError(f"{self.where}: its driver is not installed ({self.words(error)}); install it")
        return InputError(f"{self.where}: its URL is malformed; correct host, port and login of the connection")

    def of(self, error: BaseException, rows: int) -> SlipwayError:
        """The error to raise for a driver's `error` that came after `rows` rows were read."""
        driver = getattr(error, "orig", None) or error
        words, seen = self.words(driver), f"after {rows:,} rows" if rows else "before the first row"
        state = str(getattr(driver, "sqlstate", None) or getattr(driver, "pgcode", None) or "")
        code = _sqlite_code(driver)
        if state.startswith(_DENIED_STATES) or code in _SQLITE_DENIED or (not state and _DENIED_WORDS.search(words)):
            return SourceDenied(
                f"{self.where}: the database refused the login or the permission to read: {words}. "
                f"Correct the connection {self._connection!r}, or grant its user SELECT"
            )
        if code in _SQLITE_CORRUPT:
            return CorruptObject(f"{self.where}: the file is not a sound SQLite database ({seen}): {words}. Restore it")
        if _is_permanent(driver, state, code, words):
            return SourceSchemaError(
                f"{self.where}: the database refused the query {seen}: {words}. "
                "Correct table, query or columns in the collection file, or the connection"
            )
        return SourceInterrupted(f"{self.where}: reading failed {seen}, nothing of it is used: {words}. Try again")

    def words(self, error: BaseException) -> str:
        """The driver's own words on one line, with every secret of the connection blacked out."""
        text = str(error).partition("Query was:")[0]  # ADBC repeats the query
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:500].rstrip(". ?^") or type(error).__name__


def _is_permanent(driver: object, state: str, code: str, words: str) -> bool:
    if state:
        return state.startswith(_WRONG_STATES)
    if code:
        return code == "SQLITE_ERROR"  # a table, a column or the syntax
    kinds = {kind.__name__ for kind in type(driver).__mro__}
    return bool(kinds & _PERMANENT_KINDS) or _WRONG_WORDS.search(words) is not None


def _sqlite_code(driver: object) -> str:
    """SQLite's primary result code: SQLITE_IOERR for SQLITE_IOERR_READ."""
    return "_".join(str(getattr(driver, "sqlite_errorname", "")).split("_")[:2])


def _secrets(url: str) -> set[str]:
    """What must never be shown of a URL: itself, its password, and query values that look like one.

    Cut by hand, as a malformed URL has secrets too and parsers quote them when they refuse it.
    """
    address, _, query = url.partition("://")[2].partition("?")
    encoded = {address.rpartition("@")[0].partition(":")[2]}
    encoded |= {value for key, value in parse_qsl(query) if _SECRET_KEYS.search(key)}
    forms = {url} | encoded | {unquote(part) for part in encoded} | {quote(unquote(part), safe="") for part in encoded}
    return {form for form in forms if form}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "(none)"
