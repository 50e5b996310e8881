"""The public path of each definition: where a user of the package meets it.

``pandas.core.frame.DataFrame`` is imported by ``pandas/__init__.py``, so its public path is ``pandas.DataFrame``.
Among several public paths the shortest wins, then the first in alphabetical order.
"""

from slipway_demo.outline import Outline

Key = tuple[str, str]  # (defining module, name)


def is_public(dotted: str) -> bool:
    """Whether no component of a dotted name starts with an underscore."""
    return not any(part.startswith("_") for part in dotted.split("."))


class PublicNames:
    """Follows the imports of one package.

    `excluded` are path prefixes that are internal though their names do not say so (``pandas.core``).
    """

    def __init__(self, outlines: dict[str, Outline], excluded: tuple[str, ...] = ()) -> None:
        self._outlines = outlines
        self._excluded = excluded
        self.paths: dict[Key, str] = {}
        self.instances: dict[str, Key] = {}
        for module in sorted(outlines):
            if self._is_public(module):
                self._collect(outlines[module])

    def resolve(self, module: str, name: str, seen: frozenset[Key] = frozenset()) -> Key | None:
        """The definition that `name` stands for in `module`; None when it lies outside the package or is a module."""
        outline = self._outlines.get(module)
        if outline is None or (module, name) in seen:
            return None
        seen |= {(module, name)}
        if name in outline.definitions or name in outline.instances:
            return module, name
        if name in outline.aliases:
            return self.resolve(module, outline.aliases[name], seen)
        if name in outline.imports:
            origin, original = outline.imports[name]
            return self.resolve(origin, original, seen) if original else None
        for star in outline.stars:
            if not name.startswith("_"):
                found = self.resolve(star, name, seen)
                if found:
                    return found
        return None

    def resolve_dotted(self, module: str, expression: str) -> Key | None:
        """As `resolve`, for what stands in a class header: ``Base``, ``generic.NDFrame``, ``Generic[T]``."""
        head, *rest = expression.split("[", maxsplit=1)[0].split(".")
        if not rest:
            return self.resolve(module, head)
        outline = self._outlines.get(module)
        if outline is None or head not in outline.imports:
            return None
        origin, original = outline.imports[head]
        parent = ".".join([origin, *([original] if original else []), *rest[:-1]])
        if original is None and "." in origin:
            parent = ".".join([head, *rest[:-1]])
        return self.resolve(parent, rest[-1])

    def _is_public(self, dotted: str) -> bool:
        return is_public(dotted) and not any(dotted == p or dotted.startswith(f"{p}.") for p in self._excluded)

    def _collect(self, outline: Outline) -> None:
        for name in self._offered(outline):
            path = f"{outline.module}.{name}"
            key = self.resolve(outline.module, name)
            if key is None or not self._is_public(path):
                continue
            if key[1] in self._outlines[key[0]].instances:
                self._choose_instance(key, path)
            elif key not in self.paths or _rank(path) < _rank(self.paths[key]):
                self.paths[key] = path

    def _choose_instance(self, key: Key, path: str) -> None:
        known = next((place for place, found in self.instances.items() if found == key), None)
        if known is None:
            self.instances[path] = key
        elif _rank(path) < _rank(known):
            del self.instances[known]
            self.instances[path] = key

    def _offered(self, outline: Outline) -> list[str]:
        """The names a module offers: its own, and those it re-exports.

        A package's ``__init__`` re-exports what it imports. Any other module does so only by naming it in
        ``__all__`` or from a private twin (``pyarrow.fs`` from ``pyarrow._s3fs``); else every import statement
        would count as an export.
        """
        offered = [*outline.definitions, *outline.instances, *outline.aliases]
        for name, (origin, original) in outline.imports.items():
            named = name in (outline.exported or [])
            if original and (outline.is_package or named or _is_private_twin(origin, outline.module)):
                offered.append(name)
        for star in outline.stars:
            offered.extend(self._star_names(star, frozenset({outline.module})))
        if outline.is_package and outline.exported is not None:
            offered = [name for name in offered if name in set(outline.exported)]
        return [name for name in dict.fromkeys(offered) if not name.startswith("_")]

    def _star_names(self, module: str, seen: frozenset[str]) -> list[str]:
        outline = self._outlines.get(module)
        if outline is None or module in seen:
            return []
        if outline.exported is not None:
            return outline.exported
        names = [*outline.definitions, *outline.instances, *outline.aliases, *outline.imports]
        for star in outline.stars:
            names.extend(self._star_names(star, seen | {module}))
        return names


def _is_private_twin(origin: str, module: str) -> bool:
    private = origin.rpartition(".")[2]
    return private.startswith("_") and module.rpartition(".")[2] in private


def _rank(path: str) -> tuple[int, str]:
    return path.count("."), path
