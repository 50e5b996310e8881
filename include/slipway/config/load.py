"""Reading collection files: YAML in, a frozen `Collection` out, or an error that names file, field and value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from slipway.config.collection import Collection
from slipway.errors import ConfigError

SHIPPED_ENCODERS = Path(__file__).parent.parent.parent / "encoders"


def collection_files(folder: Path) -> list[Path]:
    """The collection files of a folder, in name order. Raises `ConfigError` when there is no such folder."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder of collection files; set --collections or SLIPWAY_COLLECTIONS")
    return sorted(path for path in folder.glob("*.yaml") if not path.name.startswith("."))


def load_collection(folder: Path, name: str) -> Collection:
    """The collection called `name` in `folder`. Raises `ConfigError`."""
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(file.stem for file in collection_files(folder)) or "none"
        raise ConfigError(f"{path}: no such collection file; collections in this folder: {known}")
    return load_file(path)


def load_file(path: Path) -> Collection:
    """The collection that a file describes. Raises `ConfigError` with one line per wrong field."""
    values = _read_mapping(path)
    if "name" in values:
        raise ConfigError(
            f"{path}: field name: the collection's name is the file's name ({path.stem}); remove the field"
        )
    values["name"] = path.stem
    if isinstance(values.get("encoder"), str):
        values["encoder"] = _named_encoder(path, values["encoder"])
    elif isinstance(values.get("encoder"), dict):
        values["encoder"] = _absolute(values["encoder"], "folder", path)
    try:
        return Collection.model_validate(_with_absolute_paths(values, path))
    except ValidationError as error:
        raise ConfigError(explain(path, error)) from error


def explain(path: Path, error: ValidationError) -> str:
    """One line per wrong field: file, field, value, what was expected."""
    return "\n".join(
        f"{path}: field {_field(problem['loc'])}: {_value(problem)}{problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors()
    )


def _field(location: tuple[int | str, ...]) -> str:
    names = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location if part not in ("sql", "lake")]
    return "".join(names).removeprefix(".") or "(the whole file)"


def _value(problem: Any) -> str:
    value = problem["input"]
    if problem["type"] == "missing" or isinstance(value, dict | list | tuple):
        return ""
    return f"got {str(value)[:80]!r}; "


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping of fields, got {type(values).__name__}")
    return values


def _named_encoder(path: Path, name: str) -> dict[str, Any]:
    folders = [path.parent.parent / "encoders", path.parent / "encoders", SHIPPED_ENCODERS]
    for folder in folders:
        file = folder / f"{name}.yaml"
        if file.is_file():
            return _absolute({"name": name, **_read_mapping(file)}, "folder", file)
    known = sorted({file.stem for folder in folders if folder.is_dir() for file in folder.glob("*.yaml")})
    raise ConfigError(
        f"{path}: field encoder: got {name!r}; expected one of {', '.join(known) or '(no encoder files found)'}"
    )


def _with_absolute_paths(values: dict[str, Any], file: Path) -> dict[str, Any]:
    values = dict(values)
    if isinstance(values.get("golden"), dict):
        values["golden"] = _absolute(values["golden"], "queries", file)
    if isinstance(values.get("sources"), list):
        values["sources"] = [
            _absolute(source, "path", file) if isinstance(source, dict) else source for source in values["sources"]
        ]
    return _absolute(values, "store", file)


def _absolute(values: dict[str, Any], key: str, file: Path) -> dict[str, Any]:
    """`values` with the path under `key` made absolute against the file's folder; URLs stay as they are."""
    path = values.get(key)
    if not isinstance(path, str) or "://" in path or not path:
        return values
    return {**values, key: str((file.parent / Path(path).expanduser()).resolve())}
