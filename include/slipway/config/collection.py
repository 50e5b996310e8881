"""A collection file: one searchable corpus, described in YAML and resolved once into frozen, typed values.

The models below are the reference: every field, its default and its meaning. docs/configuration.md is made from
them. Relative paths in a collection file are relative to that file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from slipway.config.cron import check_cron
from slipway.config.encoder import Encoder
from slipway.config.index import Index
from slipway.config.judging import Drift, Judging, Reindex
from slipway.config.metrics import METRICS, PER_QUERY
from slipway.config.model import Model, Name, Share, inconsistent
from slipway.config.sources import AnySource, Source, check_template
from slipway.errors import ConfigError


class Clean(Model):
    """How rows become documents, and which are turned away."""

    html: Literal["strip", "keep"] = Field(
        "keep", description="strip removes markup and keeps the text; keep leaves the text as it is"
    )
    min_characters: int = Field(1, ge=1, description="shorter texts are rejected (after cleaning)")
    max_characters: int = Field(1_000_000, ge=1, description="longer texts are rejected (before cleaning)")
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = Field(
        (), description="ISO 639-1 codes to keep; empty keeps all"
    )
    duplicates: Literal["none", "exact", "near"] = Field(
        "exact", description="which repeated texts are dropped, the smallest document id being kept"
    )
    near_threshold: float = Field(
        0.9, ge=0.5, le=1, description="Jaccard similarity of word 3-shingles that counts as near"
    )


class Chunk(Model):
    """How documents are cut into passages."""

    tokens: int = Field(256, ge=16, description="most tokens of one chunk, the encoder's special tokens included")
    overlap: int = Field(32, ge=0, description="tokens repeated between neighbouring chunks of one document")
    title: bool = Field(True, description="whether each chunk is embedded with the document's title before it")

    @model_validator(mode="after")
    def _overlap_fits(self) -> Chunk:
        if self.overlap * 2 > self.tokens:
            raise ValueError("overlap must be at most half of tokens")
        return self


class Budget(Model):
    """The most that one run may embed without being told so."""

    tokens: int | None = Field(None, ge=0, description="most tokens to embed in one run; none sets no bound")
    minutes: float | None = Field(
        None,
        ge=0,
        description="most minutes of embedding, estimated from the speed of earlier runs; none sets no bound",
    )


class Embed(Model):
    """How the embedding work is cut and where it runs."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto takes a GPU where there is one")
    backend: Literal["auto", "sentence-transformers", "torch", "openvino", "static"] = Field(
        "auto",
        description="what computes the vectors; auto takes the fastest that is here and makes the same vectors",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="numbers that it computes in; auto takes the fastest that the device has and parity allows"
    )
    batch_tokens: int | None = Field(
        None, ge=64, description="tokens of one batch, padding included; none: what suits the backend"
    )
    shard_tokens: int = Field(
        1_000_000, ge=1_000, description="tokens of one shard, a mapped task; at most 1,000 shards are planned"
    )
    workers: int = Field(
        1,
        ge=1,
        description="shards that run at once, for estimates of time and so that each has a shard; how many really do, "
        "the slots of the pool decide",
    )
    budget: Budget = Field(Budget(), description="see embed.budget below")


class Golden(Model):
    """The curated queries that candidates are judged with."""

    queries: Path = Field(
        description="JSON Lines: query_id, query, relevant {document_id: grade}, and optionally slice and part"
    )


class Gate(Model):
    """A threshold on one metric."""

    min: float | None = Field(None, description="smallest value that passes")
    max: float | None = Field(None, description="largest value that passes")
    max_drop: float | None = Field(
        None, ge=0, description="largest loss against the live release, in the metric's own unit"
    )
    max_drop_in_slice: float | None = Field(
        None, ge=0, description="largest loss against the live release in any one slice of the golden queries"
    )

    @model_validator(mode="after")
    def _something(self) -> Gate:
        if (self.min, self.max, self.max_drop, self.max_drop_in_slice) == (None, None, None, None):
            raise ValueError("a gate needs min, max, max_drop or max_drop_in_slice")
        return self


class Limits(Model):
    """The breaker: shares above which a run refuses to go on."""

    deleted_share: Share = Field(0.1, description="of the live release's documents that may vanish in one run")
    changed_share: Share = Field(0.5, description="of the live release's documents that may change in one run")
    rejected_share: Share = Field(0.5, description="of the rows read that may be turned away, duplicates not counted")


class Maintenance(Model):
    """What the maintenance run keeps."""

    schedule: str | None = Field(
        "45 12 * * 0", description="cron expression of the maintenance run; none: on demand only"
    )
    keep_days: int = Field(
        14,
        ge=1,
        description="days that copies of sources, snapshots, chunks, candidates and vectors are kept after "
        "nothing that serves needs them any more",
    )
    checkpoints: int = Field(3, ge=1, description="newest checkpoints whose snapshots and chunks are kept in any case")

    @field_validator("schedule")
    @classmethod
    def _cron(cls, schedule: str | None) -> str | None:
        return schedule if schedule is None else check_cron(schedule)


class Release(Model):
    """How a candidate goes live, how many releases are kept, and how they are guarded."""

    keep: int = Field(5, ge=2, description="newest releases that retention keeps, beside those that are in use")
    shift: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(
        (),
        description="percent of the requests that readers give to a new release, step by step, such as [10, 50, 100]; "
        "empty: all at once",
    )
    step_minutes: float = Field(
        5, ge=0, le=120, description="shift: minutes that each share is watched before the next"
    )
    wait_minutes: float = Field(
        15, gt=0, le=120, description="shift: most minutes to wait until every reader has acknowledged a share"
    )
    max_error_share: Share = Field(
        0.01, description="shift: share of failed queries above which the new release is taken back"
    )
    max_latency_ratio: float = Field(
        2.0,
        gt=1,
        description="shift: p95 latency of the new release, as a multiple of the live one's at the same time, above "
        "which it is taken back",
    )
    min_queries: int = Field(100, ge=1, description="shift: queries of a release below which its latency is not judged")
    signing: str | None = Field(
        None,
        description="connection whose password is the Ed25519 private key that manifests of releases are signed with; "
        "none: unsigned",
    )
    encryption: dict[Literal["ServerSideEncryption", "SSEKMSKeyId"], str] = Field(
        {}, description="server-side encryption settings that go with every write to an s3:// store"
    )
    backup: str | None = Field(
        None, description="root of another object store that the maintenance run copies the live release to"
    )

    @field_validator("shift")
    @classmethod
    def _rising(cls, shift: tuple[int, ...]) -> tuple[int, ...]:
        if shift and (list(shift) != sorted(set(shift)) or shift[-1] != 100):
            raise ValueError("the shares must rise and end with 100, such as [10, 50, 100]")
        return shift


class Collection(Model):
    """One searchable corpus: where its documents live, how they become vectors, and what an index must prove."""

    name: Name = Field(description="the file's name without .yaml; not written in the file")
    description: str = Field("", description="shown in the Airflow UI")
    schedule: str | None = Field(None, description="cron expression of the nightly run; none runs on demand only")
    store: str | None = Field(None, description="root of the object store when neither option nor SLIPWAY_STORE says")
    sources: tuple[Source, ...] = Field(description="where the documents live, at least one")
    title: str | None = Field(None, description="template of the title, for sources without their own")
    text: str | None = Field(None, description="template of the text, for sources without their own")
    metadata: tuple[str, ...] = Field(
        (), description="columns kept beside each document, for sources without their own"
    )
    clean: Clean = Field(Clean(), description="see clean below")
    chunk: Chunk = Field(Chunk(), description="see chunk below")
    encoder: Encoder = Field(description="name of a file in encoders/, or an encoder written out in place")
    embed: Embed = Field(Embed(), description="see embed below")
    index: Index = Field(Index(), description="see index below")
    golden: Golden | None = Field(
        None, description="see golden below; without it only gates on documents and sizes can be judged"
    )
    gates: dict[str, Gate] = Field(
        {}, description="metric → threshold; a bare number is min or max, as the metric wants"
    )
    judging: Judging = Field(Judging(), description="see judging below")
    reindex: Reindex = Field(Reindex(), description="see reindex below")
    drift: Drift = Field(Drift(), description="see drift below")
    limits: Limits = Field(Limits(), description="see limits below")
    release: Release = Field(Release(), description="see release below")
    maintenance: Maintenance = Field(Maintenance(), description="see maintenance below")

    _templates = field_validator("title", "text")(check_template)
    _folder: Path | None = PrivateAttr(None)

    @property
    def folder(self) -> Path | None:
        """Where its file lies, and beside that the encoder files; None where it was not read from a file."""
        return self._folder

    def read_from(self, folder: Path) -> Collection:
        """The same, known to have been read from a file in that folder."""
        made = self.model_copy()
        made._folder = folder
        return made

    @field_validator("schedule")
    @classmethod
    def _cron(cls, schedule: str | None) -> str | None:
        return schedule if schedule is None else check_cron(schedule)

    @field_validator("gates", mode="before")
    @classmethod
    def _bare_numbers(cls, gates: Any) -> Any:
        if not isinstance(gates, dict):
            return gates
        for metric in gates:
            if metric not in METRICS:
                raise ValueError(f"{metric!r} is not a metric; known are {', '.join(sorted(METRICS))}")
        return {
            metric: {METRICS[metric].bound: gate}
            if isinstance(gate, int | float) and not isinstance(gate, bool)
            else gate
            for metric, gate in gates.items()
        }

    @model_validator(mode="before")
    @classmethod
    def _source_defaults(cls, values: Any) -> Any:
        """Give each source the collection's title, text and metadata where it has none of its own."""
        if not isinstance(values, dict) or not isinstance(values.get("sources"), list | tuple):
            return values
        inherited = {key: values[key] for key in ("title", "text", "metadata") if values.get(key) is not None}
        sources = [{**inherited, **source} if isinstance(source, dict) else source for source in values["sources"]]
        return {**values, "sources": sources}

    @model_validator(mode="after")
    def _sources_consistent(self) -> Collection:
        if not self.sources:
            raise inconsistent("sources", "expected at least one source")
        names = [source.name for source in self.sources]
        for place, source in enumerate(self.sources):
            if source.name in names[:place]:
                message = f"two sources are called {source.name!r}; each needs a name of its own"
                raise inconsistent(f"sources[{place}].name", message)
            if source.text is None:
                message = f"source {source.name!r} has no text template, and the collection has none either; add one"
                raise inconsistent(f"sources[{place}].text", message)
        return self

    @model_validator(mode="after")
    def _chunks_fit(self) -> Collection:
        tokens, most = self.chunk.tokens, self.encoder.max_tokens
        if tokens > most:
            raise inconsistent(
                "chunk.tokens", f"got {tokens}; expected at most {most}, as the encoder reads no more tokens"
            )
        return self

    @model_validator(mode="after")
    def _gates_can_be_judged(self) -> Collection:
        for name, gate in self.gates.items():
            metric = METRICS[name]
            if metric.needs_golden and self.golden is None:
                message = "needs golden queries to be measured; add golden.queries, or remove the gate"
                raise inconsistent(f"gates.{name}", message)
            if gate.max_drop_in_slice is not None and name not in PER_QUERY:
                message = f"is for metrics that are measured query by query: {', '.join(PER_QUERY)}"
                raise inconsistent(f"gates.{name}.max_drop_in_slice", message)
            for bound in ("min", "max"):
                value = getattr(gate, bound)
                if metric.unit == "share" and value is not None and not 0 <= value <= 1:
                    raise inconsistent(f"gates.{name}.{bound}", f"got {value:g}; expected a share between 0 and 1")
        return self

    def with_settings(self, encoder: Encoder, index: Index) -> Collection:
        """The collection with another encoder and index. Raises `ConfigError` where chunks do not fit it."""
        if self.chunk.tokens > encoder.max_tokens:
            raise ConfigError(
                f"collection {self.name}: chunk.tokens is {self.chunk.tokens}, but encoder {encoder.name} reads at "
                f"most {encoder.max_tokens} tokens; lower chunk.tokens in the collection file, or take another encoder"
            )
        return self.model_copy(update={"encoder": encoder, "index": index})

    def source(self, name: str) -> AnySource:
        """The source of that name. Raises KeyError."""
        return {source.name: source for source in self.sources}[name]
