"""Parses one source file into an outline: what it defines, what it imports, and what the docstrings say."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field

FUNCTION, CLASS, METHOD, PROPERTY, OBJECT = "function", "class", "method", "property", "object"
LONG_REPETITION = 3  # lines
_ACCESSOR_CALLS = frozenset({"Accessor", "CachedAccessor"})


@dataclass
class Definition:
    """A function, class, method or property as it stands in the source; `members` and `bases` only on classes.

    `accessors` maps an attribute of a class to the class whose methods are reached through it (``Series.str``).
    """

    kind: str
    name: str
    signature: str = ""
    doc: str = ""
    line: int = 0
    path: str = ""
    bases: list[str] = field(default_factory=list)
    members: dict[str, "Definition"] = field(default_factory=dict)
    accessors: dict[str, str] = field(default_factory=dict)


@dataclass
class Outline:
    """One module: `imports` maps a bound name to (module, name or None); `aliases` a name to another name here.

    `exported` is the static ``__all__``, or None where there is none or it is computed.
    `instances` maps a name to the class it is an instance of (``norm = norm_gen(...)``); `texts` a name to its string.
    """

    module: str
    is_package: bool
    path: str
    doc: str = ""
    definitions: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    instances: dict[str, str] = field(default_factory=dict)
    exported: list[str] | None = None
    texts: dict[str, str] = field(default_factory=dict)


def read_outline(source: str, module: str, *, is_package: bool = False, path: str = "") -> Outline:
    """Parse Python source text.

    Raises:
        SyntaxError: the text is not valid Python.
    """
    tree = ast.parse(source)
    outline = Outline(module, is_package, path, doc=ast.get_docstring(tree) or "")
    for node in _statements(tree.body):
        _read_statement(outline, node)
    return outline


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Top-level statements, those under ``if`` and ``try`` included: that is where optional parts are defined."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _statements(node.body + node.orelse)
        elif isinstance(node, ast.Try):
            yield from _statements(node.body + [s for h in node.handlers for s in h.body] + node.orelse)
        else:
            yield node


def _read_statement(outline: Outline, node: ast.stmt) -> None:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        _keep(outline.definitions, _definition(node, outline.path))
    elif isinstance(node, ast.ImportFrom):
        _read_import_from(outline, node)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            outline.imports[alias.asname or alias.name.split(".")[0]] = (alias.name, None)
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        _read_assignment(outline, node.targets[0].id, node.value)
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
        _read_doc_assignment(outline, node.targets[0], node.value)
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id == "__all__":
        outline.exported = None


def _read_import_from(outline: Outline, node: ast.ImportFrom) -> None:
    origin = _absolute(outline, node.level, node.module)
    for alias in node.names:
        if alias.name == "*":
            outline.stars.append(origin)
        else:
            outline.imports.setdefault(alias.asname or alias.name, (origin, alias.name))


def _absolute(outline: Outline, level: int, module: str | None) -> str:
    if level == 0:
        return module or ""
    parts = outline.module.split(".")
    parts = parts[: len(parts) - level + (1 if outline.is_package else 0)]
    return ".".join(parts + ([module] if module else []))


def _read_assignment(outline: Outline, name: str, value: ast.expr) -> None:
    if name == "__all__":
        outline.exported = _strings(value)
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        outline.texts[name] = value.value
    elif isinstance(value, ast.Name):
        outline.aliases.setdefault(name, value.id)
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id.endswith("_gen"):
        outline.instances[name] = value.func.id


def _read_doc_assignment(outline: Outline, target: ast.Attribute, value: ast.expr) -> None:
    """``read_table.__doc__ = _template.format("Read a Table", ...)``: the template with its literal arguments."""
    if target.attr != "__doc__" or not isinstance(target.value, ast.Name):
        return
    documented = outline.definitions.get(target.value.id)
    if documented is not None and not documented.doc:
        documented.doc = inspect.cleandoc(_doc_text(outline, value))


def _doc_text(outline: Outline, value: ast.expr) -> str:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "format":
        text = _doc_text(outline, value.func.value)
        for number, argument in enumerate(value.args):
            text = text.replace(f"{{{number}}}", _doc_text(outline, argument) or f"{{{number}}}")
        return text
    if isinstance(value, ast.Name):
        return outline.texts.get(value.id, "")
    if isinstance(value, ast.JoinedStr):
        return "".join(_doc_text(outline, part) for part in value.values)
    if isinstance(value, ast.FormattedValue):
        return _doc_text(outline, value.value)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _strings(value: ast.expr) -> list[str] | None:
    if not isinstance(value, ast.List | ast.Tuple):
        return None
    names = [item.value for item in value.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return names if len(names) == len(value.elts) else None


def _definition(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, path: str) -> Definition:
    _, doc = split_signature(ast.get_docstring(node) or "")
    if isinstance(node, ast.ClassDef):
        found = Definition(CLASS, node.name, "", doc, node.lineno, path, bases=[ast.unparse(b) for b in node.bases])
        _read_class_body(found, node)
        return found
    return Definition(FUNCTION, node.name, signature_text(node.args), doc, node.lineno, path)


def _read_class_body(found: Definition, node: ast.ClassDef) -> None:
    for item in _statements(node.body):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            _read_member(found, item)
        elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            accessor = _accessor_class(item.value)
            if accessor:
                found.accessors[item.targets[0].id] = accessor


def _read_member(found: Definition, item: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    if item.name == "__init__":
        found.signature = signature_text(item.args, drop_first=True)
        return
    decorators = [ast.unparse(decorator).split("(")[0].rsplit(".", 1)[-1] for decorator in item.decorator_list]
    if "setter" in decorators or "deleter" in decorators:
        return
    member = _definition(item, found.path)
    member.kind = PROPERTY if any("property" in name or name == "cache_readonly" for name in decorators) else METHOD
    member.signature = (
        "" if member.kind == PROPERTY else signature_text(item.args, drop_first="staticmethod" not in decorators)
    )
    _keep(found.members, member)


def _keep(into: dict[str, Definition], found: Definition) -> None:
    """Of several definitions of a name (overloads, platform branches), keep the first that is documented."""
    known = into.get(found.name)
    if known is None or (not known.doc and found.doc):
        into[found.name] = found


def _accessor_class(value: ast.expr) -> str | None:
    if not (isinstance(value, ast.Call) and len(value.args) == 2):
        return None
    if ast.unparse(value.func).rsplit(".", 1)[-1] not in _ACCESSOR_CALLS:
        return None
    return ast.unparse(value.args[1])


def signature_text(arguments: ast.arguments, *, drop_first: bool = False) -> str:
    """``(on=None, how='inner')``: names and defaults, without annotations; `drop_first` leaves out self or cls.

    The annotations are taken off the given node itself: copying every argument list would take most of the time.
    """
    positional = [*arguments.posonlyargs, *arguments.args]
    for argument in [*positional, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if argument is not None:
            argument.annotation = None
    text = ast.unparse(arguments)
    if drop_first and positional and len(arguments.defaults) < len(positional):
        text = text[len(positional[0].arg) :].removeprefix(", /").removeprefix(", ")
    return f"({text})"


def split_signature(doc: str) -> tuple[str, str]:
    """Signature and text of a docstring that begins with ``name($self, a)``, a line of two dashes, an empty line.

    That head is how C code hands its signature to Python; without one the signature is empty. Where the text goes on
    to repeat it over many lines, the repetition is left out, for it would use up what is kept of the opening.
    """
    head, dashes, text = doc.partition("\n--\n")
    if not dashes or "(" not in head:
        return "", doc
    parameters = " ".join(head.partition("(")[2].rpartition(")")[0].split())
    text = text.strip("\n")
    first, _, rest = text.partition("\n\n")
    if first.startswith(head.partition("(")[0] + "(") and first.count("\n") >= LONG_REPETITION:
        text = rest.strip("\n")
    return f"({parameters.removeprefix('$self').removeprefix(', /').removeprefix(', ')})", text
