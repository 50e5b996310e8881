"""What one source file is read into."""

from slipway_demo.outline import CLASS, FUNCTION, METHOD, PROPERTY, read_outline, split_signature

SOURCE = '''
"""About the module."""
import os
from ._hidden import Helper as Aid
from .other import *

__all__ = ["merge", "Frame"]


def merge(left, right: "Frame", *, how: str = "inner") -> None:
    """Join two frames."""


class Frame(Base, metaclass=Meta):
    """A table."""

    str = Accessor("str", StringMethods)

    def __init__(self, columns=None):
        """Never read: the class speaks for it."""

    def head(self, n: int = 5):
        """First rows."""

    @staticmethod
    def build(rows):
        """From rows."""

    @property
    def shape(self):
        """Rows and columns."""

    @shape.setter
    def shape(self, value):
        """Not this one."""


if os.name == "nt":
    def merge(left, right):
        """Only on one platform."""

alias = merge
norm = norm_gen(name="norm")
_template = """{0} from a file.

Takes {1}."""
def read(path): ...
read.__doc__ = _template.format("Read a table", "a path")
'''


def test_functions_classes_and_members_are_read_with_their_signatures() -> None:
    outline = read_outline(SOURCE, "pkg.frame")
    merge, frame = outline.definitions["merge"], outline.definitions["Frame"]
    assert (merge.kind, merge.signature, merge.doc) == (FUNCTION, "(left, right, *, how='inner')", "Join two frames.")
    assert (frame.kind, frame.signature, frame.bases) == (CLASS, "(columns=None)", ["Base"])
    assert {name: (m.kind, m.signature, m.doc) for name, m in frame.members.items()} == {
        "head": (METHOD, "(n=5)", "First rows."),
        "build": (METHOD, "(rows)", "From rows."),
        "shape": (PROPERTY, "", "Rows and columns."),
    }
    assert frame.accessors == {"str": "StringMethods"}


def test_imports_aliases_and_exports_are_read() -> None:
    outline = read_outline(SOURCE, "pkg.frame")
    assert outline.doc == "About the module."
    assert outline.imports["Aid"] == ("pkg._hidden", "Helper")
    assert outline.stars == ["pkg.other"]
    assert outline.exported == ["merge", "Frame"]
    assert outline.aliases == {"alias": "merge"}
    assert outline.instances == {"norm": "norm_gen"}


def test_relative_imports_of_a_package_start_at_the_package_itself() -> None:
    outline = read_outline("from .core import x\nfrom ..top import y", "pkg.sub", is_package=True)
    assert outline.imports == {"x": ("pkg.sub.core", "x"), "y": ("pkg.top", "y")}


def test_a_docstring_assigned_later_is_found_with_its_literal_arguments() -> None:
    outline = read_outline(SOURCE, "pkg.frame")
    assert outline.definitions["read"].doc == "Read a table from a file.\n\nTakes a path."


def test_all_that_is_computed_counts_as_unknown() -> None:
    assert read_outline("__all__ = [n for n in dir()]", "pkg").exported is None
    assert read_outline("__all__ = ['a']\n__all__ += other.__all__", "pkg").exported is None


def test_the_documented_one_of_several_definitions_wins() -> None:
    source = "def f(a): ...\ndef f(a, b):\n    'Adds.'\n"
    assert read_outline(source, "pkg").definitions["f"].signature == "(a, b)"


def test_a_signature_head_in_the_docstring_is_split_off() -> None:
    assert split_signature("put($self, i, /)\n--\n\nSets one item.") == ("(i, /)", "Sets one item.")
    assert split_signature("Sets one item.") == ("", "Sets one item.")
    repeated = "join(\n a,\n b,\n)\n--\n\njoin(\n a,\n b,\n)\n\nJoins."
    assert split_signature(repeated) == ("(a, b,)", "Joins.")
