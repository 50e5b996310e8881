"""Reading collection files: YAML in, a frozen `Collection` out, or an error that names file, field and value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from slipway.config.collection import Collection
from slipway.config.encoder import Encoder
from slipway.config.index import Index
from slipway.config.model import INCONSISTENT
from slipway.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SHIPPED_ENCODERS = Path(__file__).parent.parent.parent / "encoders"
_NO_KIND = ("union_tag_invalid", "union_tag_not_found")  # a source whose kind is unknown, or not given


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
        values["encoder"] = _encoder_called(
            path.parent, values["encoder"], f"{path}: field encoder"
        )  # an error in it names the encoder's own file
    elif isinstance(values.get("encoder"), dict):
        values["encoder"] = _absolute(values["encoder"], "folder", path)
    try:
        return Collection.model_validate(_with_absolute_paths(values, path)).read_from(path.parent)
    except ValidationError as error:
        raise ConfigError(explain(path, error)) from error


def explain(path: Path, error: ValidationError) -> str:
    """One line per wrong field: file, field, value, what was expected."""
    problems = error.errors()
    return "\n".join(
        f"{path}: field {_field(problem)}: {_wrong(problem)}"
        for problem in problems
        if not any(_inherited(problem, other) for other in problems)
    )


def _inherited(problem: ErrorDetails, other: ErrorDetails) -> bool:
    """Whether a source has this problem only because the collection, which gave it the value, has it."""
    return problem["loc"][3:] == other["loc"] != () and problem["input"] == other["input"]


def _field(problem: ErrorDetails) -> str:
    if problem["type"] == INCONSISTENT:
        return str(problem["ctx"]["field"])
    location = list(problem["loc"])
    if location[:1] == ["sources"]:
        del location[2:3]  # the source's kind, which pydantic adds
    if problem["type"] in _NO_KIND:
        location.append("kind")
    names = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(names).removeprefix(".") or "(the whole file)"


def _wrong(problem: ErrorDetails) -> str:
    """The value, and what was expected instead."""
    value, kind = problem["input"], problem["type"]
    if kind in _NO_KIND:
        got = f"got {value['kind']!r}; " if isinstance(value, dict) and "kind" in value else ""
        return f"{got}expected sql or lake"
    if kind == "missing":
        return "expected a value, found none"
    expected = problem["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        expected = "there is no such field here; correct its name, or remove it"
    if kind == INCONSISTENT or isinstance(value, dict | list | tuple | BaseModel):
        return expected
    return f"got {str(value)[:80]!r}; {expected}"


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date such as 2026-13-45
        raise ConfigError(f"{path}: is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping of fields, got {type(values).__name__}")
    return values


def named_encoders(folder: Path) -> list[str]:
    """Names of the encoders that the collection files of a folder may use, in name order. No file is opened."""
    folders = _encoder_folders(folder)
    return sorted({file.stem for one in folders if one.is_dir() for file in one.glob("*.yaml") if file.stem[0] != "."})


def named_encoder(folder: Path, name: str) -> Encoder:
    """The encoder that the collection files of a folder call `name`. Raises `ConfigError` that lists the names."""
    return _encoder_called(folder, name, "encoder")


def _encoder_called(folder: Path, name: str, asked: str) -> Encoder:
    """`asked` says where the name stands, for the error."""
    for one in _encoder_folders(folder):
        file = one / f"{name}.yaml"
        if file.is_file():
            try:
                return Encoder.model_validate(_absolute({"name": name, **_read_mapping(file)}, "folder", file))
            except ValidationError as error:
                raise ConfigError(explain(file, error)) from error
    known = ", ".join(named_encoders(folder)) or "(no encoder files found)"
    raise ConfigError(f"{asked}: got {name!r}; expected one of {known}")


def _encoder_folders(collections: Path) -> list[Path]:
    """Where encoder files are looked for, first found first."""
    here = collections.resolve()
    return [here.parent / "encoders", here / "encoders", SHIPPED_ENCODERS]


def index_settings(text: str, current: Index) -> Index:
    """Index settings as somebody types them in: nothing for the `current` ones, a FAISS factory string that takes the
    place of their `spec` or `contract`, or a mapping (YAML or JSON) as the collection file's section `index`, instead
    of all of them.

    Raises `ConfigError` that names the field.
    """
    values = _parsed(text, "index", "a FAISS factory string or a mapping")
    if isinstance(values, dict):
        section = values
    elif isinstance(values, list):
        raise ConfigError(f"index: got {text[:80]!r}; expected a FAISS factory string or a mapping, found a list")
    else:
        section = current.model_dump() | ({"spec": text.strip(), "contract": None} if text.strip() else {})
    return _index(section)


def contract_settings(text: str, current: Index) -> Index:
    """The `current` index settings with a contract as somebody types it in, a mapping of its clauses (YAML or JSON), in
    the place of their `spec` or `contract`.

    Raises `ConfigError` that names the field.
    """
    values = _parsed(text, "index.contract", "a mapping of clauses")
    if not isinstance(values, dict):
        raise ConfigError(
            f"index.contract: got {text[:80]!r}; expected a mapping of clauses, such as "
            "{recall_at_10: 0.95, p95_ms: 10, memory: 2GiB}"
        )
    return _index(current.model_dump() | {"spec": "auto", "contract": values})


def _parsed(text: str, field: str, expected: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{field}: got {text[:80]!r}; expected {expected}: {error}") from error


def _index(section: dict[str, Any]) -> Index:
    try:
        return Index.model_validate(section)
    except ValidationError as error:
        raise ConfigError(explain(Path("index"), error)) from error


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
    try:
        return {**values, key: str((file.parent / Path(path).expanduser()).resolve())}
    except (RuntimeError, ValueError) as error:  # ~nobody, or a NUL character
        raise ConfigError(f"{file}: field {key}: got {path!r}; expected a path: {error}") from error
