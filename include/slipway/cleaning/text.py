"""Unicode and whitespace: text as people meant it, with its paragraphs, code and tables still readable."""

from __future__ import annotations

import re
import textwrap
import unicodedata

import ftfy
from ftfy.fixes import remove_terminal_escapes

TITLE_CHARACTERS = 500
EXCERPT_CHARACTERS = 200
BLANK = "".join(chr(code) for code in (*range(33), *range(0x7F, 0xA1), 0xAD, 0x200B, 0x2028, 0x2029, 0x3000, 0xFEFF))
"""Characters that are nothing to read: whitespace and controls. For `str.strip`."""

# Only what repairs meaning. Quotes stay curly, Chinese and Japanese keep their wide punctuation, and entities stay:
# text about HTML writes "&lt;" on purpose.
_REPAIR = ftfy.TextFixerConfig(
    unescape_html=False,
    uncurl_quotes=False,
    fix_character_width=False,
    remove_terminal_escapes=False,
    fix_line_breaks=False,
    remove_control_chars=False,
    normalization=None,
    explain=False,
)
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_SPACES = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
# C0 and C1 without tab and newline; soft hyphen; zero-width space, word joiner, byte order mark; directional
# controls; interlinear marks; noncharacters. The zero-width joiners stay: scripts and emoji are spelt with them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
_ASCII_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_BLANK_LINES = re.compile("\n{3,}")


def repair(text: str) -> str:
    """The text with broken Unicode mended (ftfy): mojibake, ligatures, lone surrogates."""
    if text.isascii():
        return text
    # by line: mojibake does not span lines, and most lines of most texts are ASCII
    lines = text.split("\n")
    return "\n".join(line if line.isascii() else ftfy.fix_text(line, _REPAIR) for line in lines)


def tidy(text: str) -> str:
    """The text in NFC, without controls and invisible characters, lines ended by newline and cleared of trailing
    blanks, at most one empty line in a row, the common indentation removed and the rest of it kept.
    """
    text = _plain_characters(text)
    if " \n" in text or "\t\n" in text:
        text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    text = _BLANK_LINES.sub("\n\n", text).strip("\n")
    if text[:1] in (" ", "\t"):
        text = textwrap.dedent(text)
    return text.strip()


def one_line(text: str, most: int = TITLE_CHARACTERS) -> str:
    """The text on one line, whitespace collapsed, at most `most` characters; an ellipsis shows what was cut."""
    # far more than can be needed, so that a title of megabytes costs nothing
    start = text[: most * 20]
    line = " ".join(_plain_characters(repair(start)).split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def excerpt(text: str) -> str:
    """The beginning of a text for people to look at: printable, one line, at most 200 characters."""
    shown = " ".join(text[: EXCERPT_CHARACTERS * 4].split())
    if not shown.isprintable():
        shown = " ".join("".join(c if c.isprintable() else " " for c in shown).split())
    return shown[:EXCERPT_CHARACTERS]


def _plain_characters(text: str) -> str:
    if "\x1b" in text:
        text = remove_terminal_escapes(text)
    text = _LINE_ENDS.sub("\n", text)
    if text.isascii():
        return _ASCII_CONTROLS.sub("", text)
    text = _INVISIBLE.sub("", _SPACES.sub(" ", text))
    return unicodedata.normalize("NFC", text)
