"""The rows of one package: members, inheritance, accessors, instances."""

from slipway_demo.docstrings import ApiRow, api_rows
from slipway_demo.newdocs import add_newdocs
from slipway_demo.outline import Outline, read_outline
from slipway_demo.scope import Scope


def _rows(outlines: dict[str, Outline], scope: Scope | None = None) -> dict[str, ApiRow]:
    return {row.id: row for row in api_rows(scope or Scope("pkg", "pkg"), outlines)}


def _outlines(**sources: str) -> dict[str, Outline]:
    modules = {name.replace("__", "."): source for name, source in sources.items()}
    return {name: read_outline(source, name, is_package=name == "pkg") for name, source in modules.items()}


HIDDEN_BASE = """
class _Base:
    def head(self, n=5):
        'First rows.'
    def tail(self):
        'Last rows.'
class Series(_Base):
    'One column.'
    str = Accessor('str', _Text)
class Frame(_Base):
    'A table.'
    def tail(self):
        'Last rows of a table.'
    def head(self, n=5):
        pass
    def _own(self):
        'Private.'
class Sub(Frame):
    'A special table.'
class _Text:
    def upper(self):
        'To upper case.'
"""


def test_members_of_a_hidden_base_show_under_every_heir_with_one_name() -> None:
    rows = _rows(_outlines(pkg=HIDDEN_BASE))
    assert rows["pkg.Frame.head"].name == rows["pkg.Series.head"].name == "pkg.Frame.head"
    assert rows["pkg.Frame.head"].doc == rows["pkg.Series.head"].doc == "First rows."


def test_an_override_with_its_own_docstring_stands_for_itself() -> None:
    rows = _rows(_outlines(pkg=HIDDEN_BASE))
    assert rows["pkg.Frame.tail"].doc == "Last rows of a table."
    assert rows["pkg.Series.tail"].name == "pkg.Series.tail"


def test_members_of_a_public_base_are_not_repeated_and_private_ones_are_skipped() -> None:
    rows = _rows(_outlines(pkg=HIDDEN_BASE))
    assert not any(identifier.startswith("pkg.Sub.") for identifier in rows)
    assert "pkg.Frame._own" not in rows


def test_methods_of_an_accessor_are_reached_through_it() -> None:
    assert _rows(_outlines(pkg=HIDDEN_BASE))["pkg.Series.str.upper"].doc == "To upper case."


def test_a_public_instance_stands_for_the_class_that_documents_it() -> None:
    source = "class norm_gen:\n    'A normal variable.'\nnorm = norm_gen(name='norm')\n"
    rows = _rows(_outlines(pkg=source))
    assert [(row.id, row.kind, row.doc) for row in rows.values()] == [("pkg.norm", "object", "A normal variable.")]


def test_an_undocumented_function_makes_a_row_only_where_it_is_exported() -> None:
    rows = _rows(_outlines(pkg="from pkg.a import shown", pkg__a="def shown(): ...\ndef inner(): ..."))
    assert list(rows) == ["pkg.shown"]


def test_a_scope_keeps_and_leaves_out_by_path() -> None:
    outlines = _outlines(pkg=HIDDEN_BASE, pkg__old="def gone():\n    'Old.'")
    scope = Scope("pkg", "pkg", excluded=("pkg.old",), members=("pkg.Frame",))
    assert set(_rows(outlines, scope)) == {
        "pkg.Frame",
        "pkg.Frame.head",
        "pkg.Frame.tail",
        "pkg.Series",
        "pkg.Sub",
    }


def test_docstrings_added_from_outside_reach_objects_types_and_methods() -> None:
    outlines = _outlines(pkg="from pkg._core import array, nditer, ndarray")
    outlines["pkg._core"] = read_outline("", "pkg._core")
    calls = """
add_newdoc('pkg._core', 'array', '''
    array(object)

    Create an array.
    ''')
add_newdoc('pkg._core', 'nditer', ('reset', 'reset($self, /)\\n--\\n\\nStart again.'))
add_newdoc('special', 'Of a function without a module.')
add_newdoc('_private', 'Never shown.')
"""
    assert add_newdocs(outlines, calls, path="pkg/_docs.py", default_module="pkg._special") == 3
    rows = _rows(outlines)
    assert rows["pkg.array"].doc == "array(object)\n\nCreate an array."
    assert (rows["pkg.nditer.reset"].signature, rows["pkg.nditer.reset"].doc) == ("()", "Start again.")
    assert "special" in outlines["pkg._special"].definitions
