"""Why a row is turned away: a closed list. The names are stored, counted and shown, so they do not change."""

from __future__ import annotations

TOMBSTONE = "tombstone"
MISSING_ID = "missing_id"
LONG_ID = "long_id"
DUPLICATE_ID = "duplicate_id"
NOT_UTF8 = "not_utf8"
TOO_LONG = "too_long"
NO_TEXT = "no_text"
ONLY_MARKUP = "only_markup"
TOO_SHORT = "too_short"
LANGUAGE = "language"
DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near_duplicate"

MEANINGS: dict[str, str] = {
    TOMBSTONE: "the source's tombstone column marks the row as deleted",
    MISSING_ID: "the id column is null, not a number, or blank",
    LONG_ID: "the id has more than 500 characters",
    DUPLICATE_ID: "another row of the same source has the same id and was kept",
    NOT_UTF8: "the id, the title or the text holds bytes that are not UTF-8",
    TOO_LONG: "the text has more than clean.max_characters characters before cleaning",
    NO_TEXT: "every column of the text is null or blank",
    ONLY_MARKUP: "nothing is left of the text without its HTML",
    TOO_SHORT: "the cleaned text has fewer than clean.min_characters characters",
    LANGUAGE: "the text is in a language that clean.languages does not name",
    DUPLICATE: "a document with a smaller id has the same text and was kept",
    NEAR_DUPLICATE: "a document with a smaller id has nearly the same text (clean.near_threshold) and was kept",
}

HARMLESS = frozenset({TOMBSTONE, DUPLICATE, NEAR_DUPLICATE})
"""Deleted rows, and good rows that say again what another says. The breaker on rejected rows does not count them."""
