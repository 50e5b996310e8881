"""Finds the source files of an installed package without importing it."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SKIPPED_FOLDERS = frozenset(
    {"tests", "test", "externals", "vendored", "_vendor", "vendor", "__pycache__", "node_modules"}
)
SKIPPED_FILES = frozenset({"conftest.py", "setup.py", "_version.py", "_pytesttester.py", "_testutils.py"})
SOURCE_SUFFIXES = (".py", ".pyx", ".pxi")


class PackageNotInstalled(LookupError):
    """A package named in the scope is not there; install the pinned requirements and fill again."""


@dataclass(frozen=True)
class ModuleFile:
    """One source file: its dotted module name, where it lies, and its path relative to site-packages."""

    module: str
    path: Path
    relative: str

    @property
    def is_package(self) -> bool:
        """Whether the file is the ``__init__`` of its folder."""
        return self.path.name == "__init__.py"


def package_location(package: str) -> Path:
    """The folder of a top-level package, or the file of a top-level module.

    Looking up a top-level name runs none of its code.

    Raises:
        PackageNotInstalled: no such package in this environment.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not (spec.submodule_search_locations or spec.origin):
        raise PackageNotInstalled(f"package {package!r} is not installed; run: pip install -r requirements.txt")
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(str(spec.origin))


def module_files(package: str) -> Iterator[ModuleFile]:
    """The source files of a package in order of their relative path; tests and vendored code left out.

    Raises:
        PackageNotInstalled: no such package in this environment.
    """
    location = package_location(package)
    if location.is_file():
        yield ModuleFile(package, location, location.name)
        return
    for path in sorted(_walk(location), key=lambda found: found.relative_to(location).as_posix()):
        relative = path.relative_to(location.parent)
        yield ModuleFile(_dotted(relative), path, relative.as_posix())


def _walk(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name not in SKIPPED_FOLDERS and entry.name.isidentifier():
                yield from _walk(entry)
        elif entry.suffix in SOURCE_SUFFIXES and entry.name not in SKIPPED_FILES:
            yield entry


def _dotted(relative: Path) -> str:
    parts = list(relative.with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)
