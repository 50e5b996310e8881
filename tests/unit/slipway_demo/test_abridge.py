"""The rule by which long docstrings are cut."""

from slipway_demo.abridge import (
    OPENING_LINES,
    PLAIN_LINES,
    SIGNATURE_CHARACTERS,
    abridge,
    abridge_guide,
    abridge_signature,
)

NUMPYDOC = """Join two tables.

On one key or more.

Parameters
----------
left : Table
    The first one. It is never changed,
    whatever happens.
how : str
    Beyond the allowance.

Returns
-------
Table
    Rows of both.

Notes
-----
Dropped.

Examples
--------
>>> join(a, b)
"""


def test_a_numpydoc_docstring_keeps_what_a_search_result_needs() -> None:
    assert abridge(NUMPYDOC) == (
        "Join two tables.\n\nOn one key or more.\n\n"
        "Parameters\n----------\nleft : Table\n    The first one.\n\n"
        "Examples\n--------\n>>> join(a, b)"
    )


def test_an_opening_is_cut_between_paragraphs() -> None:
    long = "Summary.\n\n" + "\n".join(["line"] * OPENING_LINES) + "\n\nNotes\n-----\nDropped."
    assert abridge(long) == "Summary."


def test_a_first_paragraph_that_is_too_long_is_cut_inside() -> None:
    assert abridge("\n".join(["line"] * 2 * PLAIN_LINES)).count("line") == PLAIN_LINES


def test_short_and_empty_docstrings_stay_as_they_are() -> None:
    assert abridge("") == ""
    assert abridge("Sum.\n\n:param x: *dirty* ``reST``") == "Sum.\n\n:param x: *dirty* ``reST``"


def test_a_guide_keeps_whole_paragraphs() -> None:
    assert abridge_guide("# Title\n\ntext\n\nmore\nlines\n", lines=3) == "# Title\n\ntext"


def test_a_long_signature_ends_after_a_whole_parameter() -> None:
    signature = f"({', '.join(f'parameter_{number}=None' for number in range(20))})"
    cut = abridge_signature(signature)
    assert cut.startswith("(parameter_0=None, ") and cut.endswith("=None, ...)")
    assert len(cut) <= SIGNATURE_CHARACTERS + len(", ...)")
    assert abridge_signature("(a, b)") == "(a, b)"
