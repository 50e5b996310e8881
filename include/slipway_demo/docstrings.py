"""The rows of the `api` source: the functions, classes, methods and properties of one package."""

from collections.abc import Iterator
from dataclasses import dataclass

from slipway_demo.abridge import abridge, abridge_signature
from slipway_demo.cython import python_stub
from slipway_demo.modules import ModuleFile, module_files
from slipway_demo.newdocs import add_newdocs
from slipway_demo.outline import CLASS, OBJECT, Definition, Outline, read_outline
from slipway_demo.publicnames import Key, PublicNames, is_public
from slipway_demo.scope import Scope

# files of add_newdoc calls, and the module that owns the objects of calls which name none
NEWDOC_FILES = {
    "numpy/_core/_add_newdocs.py": "numpy._core",
    "scipy/special/_add_newdocs.py": "scipy.special._ufuncs",
}
# Cython modules assembled from include files: the parts belong to the whole
CYTHON_WHOLES = {"pyarrow": "pyarrow.lib"}


@dataclass(frozen=True)
class ApiRow:
    """One documented object.

    `id` is the public path under which it is found; `name` the public path of its definition, which differs where a
    class inherits the method from a base class that is not public. `path` is relative to site-packages.
    """

    id: str
    package: str
    kind: str
    name: str
    signature: str
    doc: str
    path: str
    line: int


def read_package(package: str) -> dict[str, Outline]:
    """The outlines of all modules of an installed package, by module name.

    Raises:
        PackageNotInstalled: no such package in this environment.
    """
    outlines: dict[str, Outline] = {}
    newdocs: list[tuple[str, ModuleFile]] = []
    for file in module_files(package):
        source = file.path.read_text(encoding="utf-8")
        if file.relative in NEWDOC_FILES:
            newdocs.append((source, file))
        _add_file(outlines, file, source)
    for source, file in newdocs:
        add_newdocs(outlines, source, path=file.relative, default_module=NEWDOC_FILES[file.relative])
    return outlines


def _add_file(outlines: dict[str, Outline], file: ModuleFile, source: str) -> None:
    module = file.module
    if file.path.suffix == ".py":
        text = source
    else:
        text = python_stub(source)
        if file.path.suffix == ".pxi":
            module = CYTHON_WHOLES.get(file.module.split(".")[0], module)
    try:
        outline = read_outline(text, module, is_package=file.is_package, path=file.relative)
    except SyntaxError:
        return  # templates and sources of another Python version; nothing here can be imported either
    known = outlines.setdefault(module, outline)
    if known is not outline:
        known.definitions.update({k: v for k, v in outline.definitions.items() if k not in known.definitions})


def api_rows(scope: Scope, outlines: dict[str, Outline]) -> list[ApiRow]:
    """The rows of one package in order of their id; each id once."""
    rows: dict[str, tuple[ApiRow, Definition]] = {}
    for row, definition in _found(scope, outlines):
        rows.setdefault(row.id, (row, definition))
    names: dict[int, str] = {}
    for identifier, (_, definition) in sorted(rows.items()):
        names.setdefault(id(definition), identifier)
    return [_named(row, names[id(definition)]) for _, (row, definition) in sorted(rows.items())]


def _named(row: ApiRow, name: str) -> ApiRow:
    return ApiRow(row.id, row.package, row.kind, name, row.signature, row.doc, row.path, row.line)


def _found(scope: Scope, outlines: dict[str, Outline]) -> Iterator[tuple[ApiRow, Definition]]:
    names = PublicNames(outlines, scope.excluded)
    # a user meets scipy.stats.norm, not the class that generated it
    generators = {(module, outlines[module].instances[name]) for module, name in names.instances.values()}
    for path, key in sorted({**{v: k for k, v in names.paths.items()}, **names.instances}.items()):
        if not scope.keeps(path):
            continue
        if path in names.instances:
            yield from _instance_row(scope, outlines, path, key)
            continue
        if key in generators:
            continue
        definition = outlines[key[0]].definitions[key[1]]
        if definition.doc or path != ".".join(key):
            yield _row(scope, path, definition), definition
        if definition.kind == CLASS and scope.keeps_members(path):
            for name, member in sorted(_members(names, outlines, key).items()):
                yield _row(scope, f"{path}.{name}", member), member
            yield from _accessor_rows(scope, names, outlines, path, key)


def _row(scope: Scope, path: str, found: Definition) -> ApiRow:
    signature = abridge_signature(found.signature)
    return ApiRow(path, scope.package, found.kind, path, signature, abridge(found.doc), found.path, found.line)


def _instance_row(
    scope: Scope, outlines: dict[str, Outline], path: str, key: Key
) -> Iterator[tuple[ApiRow, Definition]]:
    """The row of a public object whose documentation is its class's: ``scipy.stats.norm``, a ``norm_gen``."""
    outline = outlines[key[0]]
    made_by = outline.definitions.get(outline.instances[key[1]])
    if made_by is not None and made_by.doc:
        found = Definition(OBJECT, key[1], "", made_by.doc, made_by.line, made_by.path)
        yield _row(scope, path, found), found


def _members(names: PublicNames, outlines: dict[str, Outline], key: Key, depth: int = 0) -> dict[str, Definition]:
    """The documented public members of a class, with those of base classes a user cannot look up elsewhere.

    A member without a docstring shows the one it overrides, as ``help()`` does.
    """
    definition = outlines[key[0]].definitions[key[1]]
    found = {name: member for name, member in definition.members.items() if member.doc and is_public(name)}
    for base in definition.bases if depth < 8 else ():
        base_key = names.resolve_dotted(key[0], base)
        if base_key and base_key not in names.paths and base_key[1] in outlines[base_key[0]].definitions:
            for name, member in _members(names, outlines, base_key, depth + 1).items():
                found.setdefault(name, member)
    return found


def _accessor_rows(
    scope: Scope, names: PublicNames, outlines: dict[str, Outline], path: str, key: Key
) -> Iterator[tuple[ApiRow, Definition]]:
    """Methods reached through an accessor: ``pandas.Series.str.contains``."""
    for attribute, expression in sorted(outlines[key[0]].definitions[key[1]].accessors.items()):
        accessor = names.resolve_dotted(key[0], expression)
        known = accessor is not None and accessor[1] in outlines[accessor[0]].definitions
        if accessor is None or not known or not scope.keeps(f"{path}.{attribute}"):
            continue
        found = outlines[accessor[0]].definitions[accessor[1]]
        if found.doc:
            yield _row(scope, f"{path}.{attribute}", found), found
        for name, member in sorted(_members(names, outlines, accessor).items()):
            yield _row(scope, f"{path}.{attribute}.{name}", member), member
