"""Cython source is read for its headers and docstrings."""

from slipway_demo.cython import python_stub
from slipway_demo.outline import read_outline

SOURCE = '''
cimport numpy as np
cdef extern from "arrow.h" namespace "arrow":
    cdef cppclass CTable


cdef class Table(_Tabular):
    """
    A table.
    """
    cdef:
        shared_ptr[CTable] sp_table

    def __cinit__(self):
        self.table = NULL

    def slice(self, int64_t offset=0, MemoryPool memory_pool not None=None, *,
              options=None):
        """
        A slice of this table.
        """
        cdef int x = 1
        text = """def not_code(): no"""
        return x

    @property
    def schema(self):
        """The schema."""
        return 1

    cdef void hidden(self):
        pass

    def bare(self):
        return 2


class Empty(ValueError):
    pass


def table(data, names=None):
    """Create a table."""
    return f(data)
'''


def test_headers_arguments_and_docstrings_survive_on_their_lines() -> None:
    outline = read_outline(python_stub(SOURCE), "pkg.lib")
    table = outline.definitions["Table"]
    assert (table.doc, table.bases, table.line) == ("A table.", ["_Tabular"], 7)
    assert table.members["slice"].signature == "(offset=0, memory_pool=None, *, options=None)"
    assert table.members["slice"].doc == "A slice of this table."
    assert (table.members["schema"].kind, table.members["schema"].doc) == ("property", "The schema.")
    assert "hidden" not in table.members
    assert outline.definitions["table"].signature == "(data, names=None)"
    assert set(outline.definitions) == {"Table", "Empty", "table"}
