import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.cleaning import reasons
from slipway.cleaning.rows import Document, Rejection, RowCleaner
from slipway.config import LakeSource
from slipway.config.collection import Clean


def cleaner(**settings: Any) -> RowCleaner:
    source = LakeSource(
        kind="lake", name="api", path="/lake", id="id", title="{name}", text="{name}\n{body}", metadata=("kind", "seen")
    )
    return RowCleaner(source, Clean(**settings))


def row(**values: Any) -> dict[str, Any]:
    return {"id": 7, "name": "numpy.sum", "body": "Sum of array elements.", "kind": "function", "seen": None} | values


def accepted(outcome: Document | Rejection) -> Document:
    assert isinstance(outcome, Document), outcome
    return outcome


def rejected(outcome: Document | Rejection) -> Rejection:
    assert isinstance(outcome, Rejection), outcome
    return outcome


def test_a_good_row_becomes_a_document() -> None:
    document = accepted(cleaner()(row()))
    assert document.document_id == "api:7"
    assert document.title == "numpy.sum"
    assert document.text == "numpy.sum\nSum of array elements."
    assert json.loads(document.metadata) == {"kind": "function", "seen": None}
    assert len(document.content_hash) == len(document.text_hash) == 32
    assert not document.repaired


@pytest.mark.parametrize(
    ("value", "document_id"),
    [
        (" a-1 ", "api:a-1"),
        (7, "api:7"),
        (7.0, "api:7"),
        (b"k\xc3\xa9y", "api:kéy"),
        ("a\x00b", "api:ab"),
        (0, "api:0"),
    ],
)
def test_ids_are_stripped_text(value: object, document_id: str) -> None:
    assert accepted(cleaner()(row(id=value))).document_id == document_id


@pytest.mark.parametrize("value", [None, "", "  \t", "\x00", float("nan"), b"", "\ufeff", "\xa0"])
def test_a_row_without_an_id_is_turned_away(value: object) -> None:
    outcome = rejected(cleaner()(row(id=value)))
    assert (outcome.reason, outcome.document_id) == (reasons.MISSING_ID, None)
    assert "column id is" in outcome.detail
    assert outcome.excerpt.startswith("numpy.sum Sum of")


def test_an_endless_id_is_turned_away() -> None:
    assert rejected(cleaner()(row(id="x" * 501))).reason == reasons.LONG_ID


@pytest.mark.parametrize("column", ["id", "name", "body"])
def test_bytes_that_are_not_utf8_are_turned_away_by_column(column: str) -> None:
    outcome = rejected(cleaner()(row(**{column: "Müller".encode("latin-1")})))
    assert outcome.reason == reasons.NOT_UTF8
    assert outcome.detail == f"column {column}: byte 0xfc at position 1 is not UTF-8"


def test_metadata_that_is_not_utf8_is_kept_with_replacement_characters() -> None:
    assert json.loads(accepted(cleaner()(row(kind=b"caf\xe9"))).metadata)["kind"] == "caf\ufffd"


@pytest.mark.parametrize("blank", [None, "", " \n\t ", "\x00\x00", float("nan"), "\u200b\ufeff", b""])
def test_a_row_without_text_is_turned_away(blank: object) -> None:
    outcome = rejected(cleaner()(row(name=blank, body=blank)))
    assert (outcome.reason, outcome.detail) == (reasons.NO_TEXT, "nothing in columns name, body")


def test_words_of_the_template_are_no_text() -> None:
    source = LakeSource(kind="lake", name="api", path="/lake", id="id", text="Name: {name}")
    assert rejected(RowCleaner(source, Clean())({"id": 1, "name": None})).reason == reasons.NO_TEXT


def test_a_null_field_renders_as_nothing() -> None:
    assert accepted(cleaner()(row(name=None))).text == "Sum of array elements."
    assert accepted(cleaner()(row(name=None))).title == ""


def test_nul_characters_are_removed_and_the_row_is_kept() -> None:
    assert accepted(cleaner()(row(body="Sum\x00 of\x00 parts"))).text == "numpy.sum\nSum of parts"


@pytest.mark.parametrize("body", ["x" * 10_000_000, b"x" * 10_000_000, "é" * 5_000_000])
def test_ten_megabytes_of_text_are_turned_away_unread(body: str | bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(text: str) -> str:
        raise AssertionError(f"cleaned {len(text)} characters")

    monkeypatch.setattr("slipway.cleaning.rows.repair", forbidden)
    monkeypatch.setattr("slipway.cleaning.rows.strip_html", forbidden)
    monkeypatch.setattr("slipway.cleaning.rows.tidy", forbidden)
    outcome = rejected(cleaner(html="strip")(row(body=body)))
    assert outcome.reason == reasons.TOO_LONG
    assert outcome.detail in (
        "10,000,009 characters, clean.max_characters is 1,000,000",
        "5,000,009 characters, clean.max_characters is 1,000,000",
    )
    assert len(outcome.excerpt) <= 200


def test_only_html_is_turned_away_when_html_is_stripped_and_kept_when_not() -> None:
    markup = row(name=None, body='<div class="x"><script>track()</script><br></div>')
    outcome = rejected(cleaner(html="strip")(markup))
    assert outcome.reason == reasons.ONLY_MARKUP
    assert outcome.excerpt.startswith("<div class=")
    assert accepted(cleaner(html="keep")(markup)).text.startswith("<div")


def test_html_is_stripped_from_titles_too() -> None:
    assert accepted(cleaner(html="strip")(row(name="<i>Ophelia</i> &amp; co"))).title == "Ophelia & co"


def test_a_short_text_is_turned_away_with_its_length() -> None:
    outcome = rejected(cleaner(min_characters=40)(row()))
    assert (outcome.reason, outcome.detail) == (reasons.TOO_SHORT, "32 characters, clean.min_characters is 40")


def test_another_language_is_turned_away() -> None:
    german = "Gibt die Summe der Elemente eines Feldes entlang der angegebenen Achse zurück."
    outcome = rejected(cleaner(languages=("en",))(row(body=german)))
    assert outcome.reason == reasons.LANGUAGE
    assert outcome.detail.startswith("looks like de (")


def test_mojibake_is_repaired_and_counted() -> None:
    document = accepted(cleaner()(row(body="doesnâ€™t")))
    assert document.text.endswith("doesn’t")
    assert document.repaired


def test_a_long_title_is_cut() -> None:
    assert len(accepted(cleaner()(row(name="word\n" * 10_000))).title) <= 500


def test_braces_in_values_are_no_template() -> None:
    assert accepted(cleaner()(row(body="{name} {0} {}"))).text == "numpy.sum\n{name} {0} {}"


def test_hashes_tell_text_from_content() -> None:
    clean = cleaner()
    first, second = accepted(clean(row())), accepted(clean(row(id=8, kind="method")))
    assert first.text_hash == second.text_hash
    assert first.content_hash != second.content_hash
    assert accepted(clean(row(id=9))).content_hash == first.content_hash


anything = (
    st.none() | st.text() | st.binary() | st.integers() | st.floats() | st.booleans() | st.dates() | st.lists(st.text())
)


@given(st.fixed_dictionaries(dict.fromkeys(("id", "name", "body", "kind", "seen"), anything)))
def test_any_row_becomes_a_document_or_a_reason(values: dict[str, Any]) -> None:
    outcome = cleaner(html="strip", min_characters=3, max_characters=60)(values)
    if isinstance(outcome, Rejection):
        assert outcome.reason in reasons.MEANINGS
        assert outcome.detail
        assert outcome.excerpt.isprintable()
    else:
        assert len(outcome.text) >= 3
        assert isinstance(json.loads(outcome.metadata), dict)
