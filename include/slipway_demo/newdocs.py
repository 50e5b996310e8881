"""Docstrings written outside the object they describe.

Objects compiled from C have no Python source; their projects attach the docstrings from a Python file instead:
``add_newdoc('numpy._core', 'nditer', ('reset', text))`` and ``_array_method_doc('sort', 'axis=-1', text)`` in NumPy,
``add_newdoc("jv", text)`` in SciPy. The calls are read from the syntax tree, never run.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import cleandoc

from slipway_demo.outline import CLASS, FUNCTION, METHOD, Definition, Outline, split_signature

# numpy documents types and functions by the same call; these are the types
# numpy's shorthand for the methods of its array type
_ARRAY_METHOD_CALL, _ARRAY_MODULE, _ARRAY_TYPE = "_array_method_doc", "numpy._core.multiarray", "ndarray"
_TYPES = frozenset({"flatiter", "nditer", "broadcast", "ndarray", "ufunc", "dtype", "busdaycalendar", "generic"})


def add_newdocs(outlines: dict[str, Outline], source: str, *, path: str, default_module: str) -> int:
    """Add the documented objects of `source` to the outlines of the modules they name; returns how many.

    `default_module` owns the objects of calls that name no module (SciPy's form).

    Raises:
        SyntaxError: the text is not valid Python.
    """
    count = 0
    for call in _calls(ast.parse(source)):
        place = _read_call(call, default_module)
        if not place.doc or place.name.startswith("_"):
            continue
        outline = outlines.setdefault(place.module, Outline(place.module, False, path))
        signature, doc = split_signature(cleandoc(place.doc))
        found = Definition(FUNCTION, place.name, place.signature or signature, doc, call.lineno, path)
        _attach(outline, place.member, found)
        count += 1
    return count


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            if isinstance(called, ast.Name) and called.id in ("add_newdoc", _ARRAY_METHOD_CALL):
                yield node.value


@dataclass(frozen=True)
class _Place:
    """What one call documents; `member` is '' for the object itself, `doc` '' where no text stands in the call."""

    module: str
    name: str
    member: str
    doc: str
    signature: str = ""


def _read_call(call: ast.Call, default_module: str) -> _Place:
    texts = [_text(argument) for argument in call.args]
    if isinstance(call.func, ast.Name) and call.func.id == _ARRAY_METHOD_CALL and len(texts) == 3:
        return _Place(_ARRAY_MODULE, _ARRAY_TYPE, texts[0], texts[2], f"({texts[1]})")
    if len(texts) == 2:
        return _Place(default_module, texts[0], "", texts[1])
    last = call.args[2] if len(call.args) > 2 else None
    if isinstance(last, ast.Tuple) and len(last.elts) == 2:
        return _Place(texts[0], texts[1], _text(last.elts[0]), _text(last.elts[1]))
    return _Place(texts[0], texts[1], "", texts[2] if len(texts) > 2 else "")


def _text(node: ast.expr) -> str:
    """The literal string of a node; of ``"...".format(x)`` and ``"..." % x`` the template, as it stands."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _text(node.func.value)
    if isinstance(node, ast.BinOp):
        return _text(node.left)
    return ""


def _attach(outline: Outline, member: str, found: Definition) -> None:
    name = found.name
    if not member:
        known = outline.definitions.setdefault(name, found)
        known.doc = known.doc or found.doc
        known.kind = CLASS if name in _TYPES else known.kind
        return
    owner = outline.definitions.setdefault(name, Definition(CLASS, name, "", "", found.line, found.path))
    owner.kind = CLASS
    if not member.startswith("_"):
        documented = Definition(METHOD, member, found.signature, found.doc, found.line, found.path)
        owner.members.setdefault(member, documented)
