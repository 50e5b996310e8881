"""The rows of the `guides` source: module docstrings, and the prose that packages ship beside their code."""

import email
import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slipway_demo.abridge import README_LINES, abridge_guide
from slipway_demo.modules import package_location
from slipway_demo.outline import Outline
from slipway_demo.publicnames import is_public
from slipway_demo.scope import Scope

# prose files inside packages, the same in every wheel of the pinned version: (package, pattern)
PROSE_FILES = (
    ("airflow", "METRICS.md"),
    ("airflow", "jobs/*.md"),
    ("airflow", "hooks/*.md"),
    ("airflow", "providers/common/sql/*.md"),
    ("airflow", "providers/common/sql/doc/adr/*.md"),
    ("boto3", "examples/*.rst"),
    ("numpy", "ma/*.rst"),
    ("sklearn", "datasets/descr/*.rst"),
)
# further pinned packages whose README is worth finding though their code is not read
_README_NAMES = (
    "alembic anyio attrs babel cloudpickle colorlog croniter cryptography deprecated dill duckdb fastapi filelock"
    " greenlet grpcio httpcore huggingface-hub importlib-metadata itsdangerous jmespath jsonschema libcst"
    " markdown-it-py markupsafe mpmath msgspec narwhals natsort networkx packaging pendulum pluggy"
    " protobuf psycopg pygments pyjwt python-dotenv python-slugify pyyaml referencing regex rich safetensors"
    " selectolax semantic-text-splitter sentence-transformers setproctitle six sqlparse starlette structlog sympy"
    " tabulate threadpoolctl tokenizers transformers typer typing-extensions tzdata universal-pathlib urllib3"
    " uvicorn watchfiles websockets wrapt zipp"
)
README_ONLY = tuple(_README_NAMES.split())


@dataclass(frozen=True)
class GuideRow:
    """One prose text; `id` is the module's dotted name, or ``package:file`` for what is not a module."""

    id: str
    package: str
    title: str
    body: str
    path: str


def module_guides(scope: Scope, outlines: dict[str, Outline]) -> Iterator[GuideRow]:
    """The docstrings of the public modules of one package, in order of their name."""
    for module in sorted(outlines):
        outline = outlines[module]
        if outline.doc and is_public(module) and scope.keeps(module):
            yield GuideRow(module, scope.package, module, abridge_guide(outline.doc), outline.path)


def prose_guides() -> Iterator[GuideRow]:
    """The prose files named in `PROSE_FILES`, in that order.

    Raises:
        PackageNotInstalled: a package of the list is not in this environment.
    """
    for package, pattern in PROSE_FILES:
        folder = package_location(package)
        for file in sorted(folder.glob(pattern)):
            text = file.read_text(encoding="utf-8")
            relative = file.relative_to(folder).as_posix()
            title = f"{package}: {file.stem.replace('_', ' ')}"
            yield GuideRow(f"{package}:{relative}", package, title, abridge_guide(text), f"{package}/{relative}")


def readme_guides(distributions: tuple[str, ...]) -> Iterator[GuideRow]:
    """The READMEs of installed distributions, as their metadata carries them.

    Raises:
        importlib.metadata.PackageNotFoundError: one is not installed; run pip install -r requirements.txt.
    """
    for name in distributions:
        # the README is the body of a METADATA file, or, in old ones, its field Description
        fields = email.message_from_string(importlib.metadata.distribution(name).read_text("METADATA") or "")
        summary = fields.get("Summary", "")
        body = fields.get("Description") or str(fields.get_payload())
        title = f"{name}: {summary}".strip(": ")
        yield GuideRow(f"{name}:README", name, title, abridge_guide(body, README_LINES), f"{name}/README")


def data_folder(folder: Path) -> Path:
    """Where the lake of guides lies under the demo's folder."""
    return folder / "guides"
