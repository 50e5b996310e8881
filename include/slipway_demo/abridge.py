"""The one rule by which long docstrings are cut, so that the whole collection embeds in minutes on two cores.

A numpydoc docstring is a run of sections. Each keeps what a reader of search results needs of it:

- the opening (summary and extended summary): whole paragraphs, up to `OPENING_LINES` lines, and the first in any case;
- Parameters: the first entry, that is its name line and the first sentence said about it;
- Examples: the first paragraph, when it has at most `EXAMPLE_LINES` lines;
- every other section (Returns, Raises, Notes, References, See Also, Attributes, ...): dropped.

Docstrings of other styles (reST fields, Google) have no underlined sections, so the rule for the opening is all that
applies to them, with `PLAIN_LINES` lines. Text is otherwise left exactly as it stands, dirt included.

Guides (module docstrings, shipped prose) keep whole paragraphs from the start, up to `GUIDE_LINES` lines; READMEs,
which open with their badges, up to `README_LINES`.
A signature longer than `SIGNATURE_CHARACTERS` ends after the last parameter that fits, with "...".
"""

from collections.abc import Iterator
from itertools import pairwise

OPENING_LINES = 4
PLAIN_LINES = 6
GUIDE_LINES = 10
README_LINES = 16
EXAMPLE_LINES = 2
SENTENCE_LINES = 2
SIGNATURE_CHARACTERS = 80


def abridge(doc: str) -> str:
    """The docstring cut by the rule above; `doc` has its common indentation removed already."""
    sections = list(_sections(doc.splitlines()))
    opening = _paragraphs(sections[0][1], PLAIN_LINES if len(sections) == 1 else OPENING_LINES)
    kept = ["\n".join(opening), *("\n".join(_section(title, lines)) for title, lines in sections[1:])]
    return "\n\n".join(part.rstrip() for part in kept if part.strip()).strip()


def abridge_guide(text: str, lines: int = GUIDE_LINES) -> str:
    """The opening of a longer prose text, cut by the rule above to at most `lines` lines."""
    return "\n".join(_paragraphs(text.strip().splitlines(), lines)).strip()


def abridge_signature(signature: str) -> str:
    """``(a, b=1, ...)``: the signature cut by the rule above."""
    if len(signature) <= SIGNATURE_CHARACTERS:
        return signature
    whole = signature[:SIGNATURE_CHARACTERS].rpartition(", ")[0] or "("
    return f"{whole}, ...)" if whole != "(" else "(...)"


def _sections(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """(title, lines) pairs; the lines of a titled section begin with its title and underline."""
    starts = [*(n for n in range(1, len(lines) - 1) if _is_title(lines, n)), len(lines)]
    yield "", lines[: starts[0]]
    for start, end in pairwise(starts):
        yield lines[start].strip().lower(), lines[start:end]


def _is_title(lines: list[str], number: int) -> bool:
    title, underline = lines[number], lines[number + 1]
    if not title.strip() or title[0].isspace() or len(underline) < 3:
        return False
    return set(underline.strip()) in ({"-"}, {"="}) and not underline[0].isspace()


def _paragraphs(lines: list[str], allowance: int) -> list[str]:
    """Whole paragraphs from the start while they fit; the first one cut at the allowance if it alone is longer."""
    kept = 0
    for number, line in enumerate([*lines, ""]):
        if not line.strip():
            if number > allowance:
                break
            kept = number
    return lines[: kept or allowance]


def _section(title: str, lines: list[str]) -> list[str]:
    if title == "parameters":
        return lines[:2] + next(_entries(lines[2:]), [])
    if title == "examples":
        first = _first_paragraph(lines[2:])
        return lines[:2] + first if 0 < len(first) <= EXAMPLE_LINES else []
    return []


def _first_paragraph(lines: list[str]) -> list[str]:
    text = "\n".join(lines).strip("\n").split("\n\n", 1)[0]
    return text.splitlines()


def _entries(lines: list[str]) -> Iterator[list[str]]:
    """Each entry of a section: its name line, then the lines of the first sentence under it."""
    entry: list[str] = []
    for line in lines:
        if line.strip() and not line[0].isspace():
            if entry:
                yield _first_sentence(entry)
            entry = [line]
        elif line.strip():
            entry.append(line)
    if entry:
        yield _first_sentence(entry)


def _first_sentence(entry: list[str]) -> list[str]:
    kept = entry[:1]
    for line in entry[1 : 1 + SENTENCE_LINES]:
        sentence, stop, _ = line.partition(". ")
        kept.append(sentence + stop.rstrip())
        if stop or line.rstrip().endswith((".", "::")):
            break
    return kept
