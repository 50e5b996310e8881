import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.cleaning.text import EXCERPT_CHARACTERS, TITLE_CHARACTERS, excerpt, one_line, repair, tidy


@pytest.mark.parametrize(
    ("broken", "meant"),
    [
        ("The Mona Lisa doesnâ€™t have eyebrows.", "The Mona Lisa doesn’t have eyebrows."),
        ("MÃ¼ller, Sch\xc3\xb6n & SÃ¶hne", "Müller, Schön & Söhne"),
        ("caf\xc3\xa9 au lait", "café au lait"),
        ("ﬁnancial eﬃciency", "financial efficiency"),
        ("中文，全角（标点）。", "中文，全角（标点）。"),
        ("naïve “quotes” stay curly…", "naïve “quotes” stay curly…"),
        ("a &lt;b&gt; – about entities", "a &lt;b&gt; – about entities"),
        ("line one\ncafÃ©\nline three", "line one\ncafé\nline three"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
    ],
)
def test_broken_unicode_is_repaired_and_the_rest_is_left_alone(broken: str, meant: str) -> None:
    assert repair(broken) == meant


@pytest.mark.parametrize(
    ("raw", "tidied"),
    [
        ("one\r\ntwo\rthree\u2028four\x85five", "one\ntwo\nthree\nfour\nfive"),
        ("null\x00 and \x07bell and \ufeffmark", "null and bell and mark"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("soft\xadhyphen zero\u200bwidth", "softhyphen zerowidth"),
        ("non\xa0breaking\u3000wide", "non breaking wide"),
        ("trailing   \t\nnext", "trailing\nnext"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("a\n \n\t\n\nb", "a\n\nb"),
        ("\n\n  def f():\n      return 1\n", "def f():\n    return 1"),
        ("cafe\u0301", "café"),
        ("family \U0001f468\u200d\U0001f469\u200d\U0001f467", "family \U0001f468\u200d\U0001f469\u200d\U0001f467"),
        ("a  | b   | c\n-- | --- | -", "a  | b   | c\n-- | --- | -"),
        (" \t\n\x00\ufeff ", ""),
    ],
)
def test_controls_go_and_lines_stay(raw: str, tidied: str) -> None:
    assert tidy(raw) == tidied


def test_a_doctest_block_stays_readable() -> None:
    doc = (
        "Sum.\n\n    >>> np.sum([1,\n    ...         2])\n    3\n\n    ======  ====\n    name    size\n    ======  ===="
    )
    assert tidy(doc) == doc


@given(st.text())
def test_any_text_is_tidied_to_something_stable_and_printable(text: str) -> None:
    once = tidy(repair(text))
    assert tidy(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in once)
    assert once == once.strip()


@given(st.text())
def test_any_title_is_one_short_line(text: str) -> None:
    title = one_line(text)
    assert len(title) <= TITLE_CHARACTERS
    assert title == " ".join(title.split())


def test_a_title_that_is_too_long_shows_that_it_was_cut() -> None:
    title = one_line("word " * 1_000)
    assert len(title) <= TITLE_CHARACTERS
    assert title.endswith("word…")


@given(st.text())
def test_any_excerpt_is_short_and_printable(text: str) -> None:
    shown = excerpt(text)
    assert len(shown) <= EXCERPT_CHARACTERS
    assert shown.isprintable()
