"""The sources of a collection: where its documents live, and how changes and deletes are read.

The models below are a part of the reference: see slipway.config.collection.
"""

from __future__ import annotations

import string
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from slipway.config.model import Model, Name


def template_fields(template: str) -> list[str]:
    """The column names in a text template: "{name}\\n{doc}" → ["name", "doc"]. Raises ValueError."""
    fields: list[str] = []
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise ValueError(f"{{{name}}} is not a plain column name")
        fields.append(name)
    return fields


def check_template(template: str | None) -> str | None:
    """The template, if it names a column. Raises ValueError."""
    if template is not None and not template_fields(template):
        raise ValueError('a template must name at least one column, such as "{title}"')
    return template


class SourceBase(Model):
    """What every source has. `title`, `text` and `metadata` default to the collection's."""

    name: Name = Field(description="names the source; document ids begin with it")
    id: str = Field(min_length=1, description="column that holds the primary key")
    title: str | None = Field(None, description='template of the title, such as "{name}"')
    text: str | None = Field(None, description='template of the text, such as "{name}\\n{doc}"')
    metadata: tuple[str, ...] | None = Field(
        None, description="columns kept beside each document and shown with results"
    )
    may_be_empty: bool = Field(False, description="whether reading no row at all is normal")
    tombstone: str | None = Field(
        None,
        min_length=1,
        description="column that marks a row as deleted: it is gone when the value is not null, false, 0 or empty",
    )
    full_every_days: int = Field(
        7, ge=1, description="where changes are read: after so many days all rows are read and compared again"
    )

    _templates = field_validator("title", "text")(check_template)

    @property
    def document_columns(self) -> list[str]:
        """The columns that a document is made of, each once, the id first."""
        wanted = [
            self.id,
            *template_fields(self.title or ""),
            *template_fields(self.text or ""),
            *(self.metadata or ()),
        ]
        return list(dict.fromkeys(wanted))

    @property
    def columns(self) -> list[str]:
        """The columns the source must deliver, each once: those of its documents first."""
        return list(dict.fromkeys([*self.document_columns, *self._bookkeeping]))

    @property
    def _bookkeeping(self) -> list[str]:
        return [self.tombstone] if self.tombstone else []


class SqlSource(SourceBase):
    """A query on a relational database, through an Airflow connection."""

    kind: Literal["sql"]
    connection: str = Field(min_length=1, description="id of the Airflow connection")
    query: str | None = Field(None, description="the SELECT to run")
    table: str | None = Field(None, description="the table to read, instead of a query; may carry a schema")
    updated_at: str | None = Field(
        None,
        min_length=1,
        description="column that every change of a row moves on, a timestamp or a growing number: nights then read "
        "only what changed; without it every night reads all rows",
    )
    overlap: float | None = Field(
        None,
        ge=0,
        description="how far before the newest updated_at of the last night reading begins, at least the longest time "
        "from a row's updated_at to its commit: minutes for timestamps, dates and texts, 60 when left out; for numbers "
        "in the column's own unit, and never left out",
    )
    id_scan: bool = Field(
        True,
        description="with updated_at: whether every night reads all ids, to find rows that vanished and rows that "
        "the watermark missed",
    )

    @property
    def _bookkeeping(self) -> list[str]:
        return [*([self.updated_at] if self.updated_at else []), *super()._bookkeeping]

    @model_validator(mode="after")
    def _one_of(self) -> SqlSource:
        if (self.query is None) == (self.table is None):
            raise ValueError("exactly one of query and table is needed")
        return self


class LakeSource(SourceBase):
    """Parquet files in a local folder or under an s3:// prefix."""

    kind: Literal["lake"]
    path: str = Field(min_length=1, description="a Parquet file, a folder of them, or s3://bucket/prefix")


class DeltaSource(SourceBase):
    """A Delta Lake table. Where its change data feed is on, nights read the changes only."""

    kind: Literal["delta"]
    path: str = Field(min_length=1, description="the table's folder, or s3://bucket/prefix")


class IcebergSource(SourceBase):
    """An Apache Iceberg table. Where rows were only appended since the last night, only those are read."""

    kind: Literal["iceberg"]
    catalog: str = Field(
        "default",
        min_length=1,
        description="name of a pyiceberg catalog; its properties come from the environment "
        "(PYICEBERG_CATALOG__<NAME>__URI and so on)",
    )
    table: str = Field(min_length=1, description="the table with its namespace, such as docs.articles")


AnySource = SqlSource | LakeSource | DeltaSource | IcebergSource
Source = Annotated[AnySource, Field(discriminator="kind")]
