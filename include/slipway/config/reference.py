"""The configuration reference, made from the models: `python -m slipway.config.reference > docs/configuration.md`."""

from __future__ import annotations

import sys
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from slipway.config import collection, encoder, index, judging, sources
from slipway.config.metrics import METRICS

_INTRO = """# Configuration reference

A collection is one YAML file in the folder of collection files; its name is the file's name. An encoder is one YAML
file in `encoders/` beside that folder, or among those that Slipway ships. Relative paths are relative to the file they
stand in. Unknown fields are refused. This page is made from the models (`python -m slipway.config.reference`), and a
test keeps it true.

| setting | option | environment | default |
|---|---|---|---|
| folder that the two defaults below are in | | `SLIPWAY_ROOT` | the current folder |
| folder of collection files | `--collections` | `SLIPWAY_COLLECTIONS` | `include/collections` |
| root of the object store | `--store` | `SLIPWAY_STORE` | the collection's `store`, else `.slipway/store` |
| scratch files | | `SLIPWAY_SCRATCH` | the system's temporary folder |
| cached releases, and findings about encoders | | `SLIPWAY_CACHE` | `slipway` in the user's cache folder |
| what computes vectors, where `embed.backend` is `auto` | | `SLIPWAY_BACKEND` | the fastest that makes the same ones |
| a connection, without Airflow | | `AIRFLOW_CONN_<NAME>` | |
| S3 endpoint and credentials | | `AWS_ENDPOINT_URL_S3`, `AWS_ACCESS_KEY_ID`, … as boto3 reads them | |
"""

_NAMES: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    ByteSize: "size in bytes",
    Path: "path",
    sources.SqlSource: "sql source",
    sources.LakeSource: "lake source",
    sources.DeltaSource: "delta source",
    sources.IcebergSource: "iceberg source",
}
_PAGES: list[tuple[str, type[BaseModel]]] = [
    ("Collection", collection.Collection),
    ("sources[], kind: sql", sources.SqlSource),
    ("sources[], kind: lake", sources.LakeSource),
    ("sources[], kind: delta", sources.DeltaSource),
    ("sources[], kind: iceberg", sources.IcebergSource),
    ("clean", collection.Clean),
    ("chunk", collection.Chunk),
    ("encoder (a file in encoders/, or in place)", encoder.Encoder),
    ("encoder.prompts", encoder.Prompts),
    ("encoder.service", encoder.Service),
    ("embed", collection.Embed),
    ("embed.budget", collection.Budget),
    ("index", index.Index),
    ("index.contract", index.Contract),
    ("index.search", index.SearchParameters),
    ("index.update", index.IndexUpdate),
    ("index.shards", index.Shards),
    ("golden", collection.Golden),
    ("gates.<metric>", collection.Gate),
    ("limits", collection.Limits),
    ("release", collection.Release),
    ("judging", judging.Judging),
    ("reindex", judging.Reindex),
    ("drift", judging.Drift),
    ("maintenance", collection.Maintenance),
]


def reference() -> str:
    """The whole page, as Markdown."""
    pages = [_INTRO, *(_page(title, model) for title, model in _PAGES), _metrics()]
    return "\n".join(pages)


def _page(title: str, model: type[BaseModel]) -> str:
    lines = [
        f"## {title}",
        "",
        (model.__doc__ or "").strip().splitlines()[0],
        "",
        "| field | type | default | meaning |",
    ]
    lines.append("|---|---|---|---|")
    for name, field in model.model_fields.items():
        if model is collection.Collection and name == "name":
            continue
        lines.append(f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {_cell(field.description or '')} |")
    return "\n".join([*lines, ""])


def _metrics() -> str:
    lines = ["## Metrics that a gate may bound", "", "| metric | bare number | unit | meaning |", "|---|---|---|---|"]
    lines += [f"| `{m.name}` | `{m.bound}` | {m.unit} | {_cell(m.meaning)} |" for m in METRICS.values()]
    return "\n".join([*lines, ""])


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"mapping to {_type(arguments[1])}"
    if origin is typing.Annotated:
        return _type(arguments[0])
    if arguments:
        return " or ".join(_type(part) for part in arguments if part is not type(None))
    return _NAMES.get(annotation) or "mapping" if isinstance(annotation, type) else str(annotation)


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None or field.default in ((), {}, ""):
        return "none"
    return "see there" if isinstance(field.default, BaseModel) else f"`{field.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.stdout.write(reference())
