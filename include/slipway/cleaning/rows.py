"""One raw row in, one document or one reason out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from slipway.cleaning import reasons
from slipway.cleaning.html import strip_html
from slipway.cleaning.language import Languages
from slipway.cleaning.text import BLANK, excerpt, one_line, repair, tidy
from slipway.cleaning.values import NotUtf8, as_text, is_null, json_object
from slipway.config import AnySource
from slipway.config.collection import Clean
from slipway.config.sources import template_fields

ID_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Document:
    """A row that became a document. `repaired`: its Unicode was broken and was mended."""

    document_id: str
    title: str
    text: str
    metadata: str
    content_hash: str
    text_hash: str
    repaired: bool


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was turned away: one of `slipway.cleaning.reasons`, what was seen, and the beginning of its text."""

    document_id: str | None
    reason: str
    detail: str
    excerpt: str


class _Turned(Exception):
    """Leaves the cleaning of one row; never leaves this module."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def document_id(source: str, key: object) -> str | None:
    """The document id of a primary key; None for a key that no document can have."""
    try:
        plain = _plain_id(as_text(key))
    except NotUtf8:
        return None
    return f"{source}:{plain}" if plain and len(plain) <= ID_CHARACTERS else None


def is_tombstone(value: object) -> bool:
    """Whether a tombstone column's value says that the row is deleted: not null, false, 0, empty, or such a word."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "0", "false", "f", "no", "n")
    return not is_null(value) and bool(value)


def text_hash(*texts: str) -> str:
    """32 hex digits that name the texts, which hold no NUL."""
    return blake2b("\0".join(texts).encode(), digest_size=16).hexdigest()


class RowCleaner:
    """Turns the rows of one source into documents, as its configuration says."""

    def __init__(self, source: AnySource, clean: Clean) -> None:
        self._source, self._clean = source, clean
        self._title, self._text = source.title or "", source.text or ""
        self._title_columns = template_fields(self._title)
        self._text_columns = template_fields(self._text)
        self._metadata = source.metadata or ()
        self._languages = Languages.load(clean.languages) if clean.languages else None

    def __call__(self, row: Mapping[str, object]) -> Document | Rejection:
        """The document of a row, or why there is none. `row` has every column that the source's config names."""
        document_id = None
        try:
            document_id = f"{self._source.name}:{self._id(row)}"
            self._check_alive(row)
            return self._document(document_id, row)
        except _Turned as turned:
            # what is deleted in the source is not to be kept here
            excerpt_of = "" if turned.reason == reasons.TOMBSTONE else self._excerpt(row)
            return Rejection(document_id, turned.reason, turned.detail, excerpt_of)

    def _id(self, row: Mapping[str, object]) -> str:
        # controls are taken out, or ids that look alike on every screen would differ
        plain = _plain_id(_rendered(row, [self._source.id])[0])
        if not plain:
            raise _Turned(reasons.MISSING_ID, f"column {self._source.id} is {_shown(row[self._source.id])}")
        if len(plain) > ID_CHARACTERS:
            raise _Turned(
                reasons.LONG_ID, f"column {self._source.id} has {len(plain):,} characters, the limit is {ID_CHARACTERS}"
            )
        return plain

    def _check_alive(self, row: Mapping[str, object]) -> None:
        column = self._source.tombstone
        if column is not None and is_tombstone(row[column]):
            raise _Turned(reasons.TOMBSTONE, f"column {column} is {_shown(row[column])}")

    def _document(self, document_id: str, row: Mapping[str, object]) -> Document:
        fields = _rendered(row, self._text_columns)
        title_fields = _rendered(row, self._title_columns)
        self._check_length(fields)
        if all(not field.strip(BLANK) for field in fields):
            raise _Turned(reasons.NO_TEXT, f"nothing in {_columns(self._text_columns)}")
        raw = self._text.format_map(dict(zip(self._text_columns, fields, strict=True)))
        text, repaired = self._cleaned(raw)
        title = self._one_title(title_fields)
        metadata = json_object({name: row[name] for name in self._metadata})
        return Document(document_id, title, text, metadata, text_hash(title, text, metadata), text_hash(text), repaired)

    def _check_length(self, fields: Sequence[str]) -> None:
        # before anything is done with the text: ten megabytes must cost nothing
        size, most = sum(map(len, fields)), self._clean.max_characters
        if size > most:
            raise _Turned(reasons.TOO_LONG, f"{size:,} characters, clean.max_characters is {most:,}")

    def _cleaned(self, raw: str) -> tuple[str, bool]:
        stripped = strip_html(raw) if self._clean.html == "strip" else raw
        repaired = repair(stripped)
        text = tidy(repaired)
        if not text.strip(BLANK):
            if stripped != raw:
                raise _Turned(reasons.ONLY_MARKUP, f"{len(raw):,} characters of HTML and no text in it")
            raise _Turned(reasons.NO_TEXT, f"nothing readable in {_columns(self._text_columns)}")
        least = self._clean.min_characters
        if len(text) < least:
            raise _Turned(reasons.TOO_SHORT, f"{len(text)} characters, clean.min_characters is {least}")
        self._check_language(text)
        return text, repaired != stripped

    def _check_language(self, text: str) -> None:
        other = self._languages.other(text) if self._languages else None
        if other is not None:
            kept = ", ".join(self._clean.languages)
            raise _Turned(reasons.LANGUAGE, f"looks like {other[0]} ({other[1]:.0%} sure), clean.languages is {kept}")

    def _one_title(self, fields: Sequence[str]) -> str:
        # a title is one line of at most 500 characters: no more than a page of any column can matter
        starts = dict(zip(self._title_columns, (field[:10_000] for field in fields), strict=True))
        raw = self._title.format_map(starts)
        return one_line(strip_html(raw) if self._clean.html == "strip" else raw)

    def _excerpt(self, row: Mapping[str, object]) -> str:
        shown = (_lenient(row[name]) for name in (*self._text_columns, *self._title_columns))
        return excerpt(" ".join(filter(None, shown)))


def _rendered(row: Mapping[str, object], columns: Sequence[str]) -> list[str]:
    fields = []
    for name in columns:
        try:
            fields.append(as_text(row[name]))
        except NotUtf8 as error:
            raise _Turned(reasons.NOT_UTF8, f"column {name}: {error}") from None
    return fields


def _plain_id(text: str) -> str:
    return text.strip() if text.isascii() and text.isprintable() else tidy(text)


def _lenient(value: object) -> str:
    """The beginning of a value as text, whatever its bytes."""
    if isinstance(value, bytes):
        return value[:2_000].decode("utf-8", "replace")
    return as_text(value)[:2_000]


def _shown(value: object) -> str:
    return "null" if value is None else excerpt(repr(value)[:100])


def _columns(names: Sequence[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {', '.join(names)}"
