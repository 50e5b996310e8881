"""An encoder as it is configured: which model turns text into vectors, and how."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from slipway.config.model import Model


class Prompts(Model):
    """What is put before a text, for models that were trained with instructions."""

    query: str = Field("", description="put before every query")
    document: str = Field("", description="put before every chunk")


class Service(Model):
    """An HTTP service with the OpenAI embeddings protocol that computes the vectors of an encoder."""

    url: str = Field(
        pattern=r"^https?://[^\s?#@]+$", description="base URL, such as http://tei:8080/v1; /embeddings is added"
    )
    model: str = Field(min_length=1, description="the model's name there")
    connection: str | None = Field(
        None,
        description="connection whose password is the API key, such as AIRFLOW_CONN_TEI=http://:<key>@tei for `tei`; "
        "none: no key is sent",
    )
    verify: Literal["weights", "first_use"] = Field(
        "weights",
        description="what its vectors are compared with. weights: those of the model's weights, which must be on every "
        "machine that encodes; first_use: those that it made when it was first used, for models whose weights are "
        "not at hand, and which are then neither downloaded nor looked at",
    )
    texts: int = Field(64, ge=1, le=2_048, description="most texts of one request")
    tokens: int = Field(16_384, ge=16, description="most tokens of one request")
    requests: int = Field(4, ge=1, le=64, description="requests on the way at once")
    requests_per_minute: int | None = Field(None, ge=1, description="most requests of one process; none sets no bound")
    tokens_per_minute: int | None = Field(None, ge=1, description="most tokens of one process; none sets no bound")
    timeout_seconds: float = Field(60, gt=0, description="for one answer")
    attempts: int = Field(6, ge=1, le=20, description="of one request, with growing pauses between them")


class Encoder(Model):
    """Model, length and prompts. Exactly one of `package`, `folder` and `hub` says where the model is."""

    name: str = Field(
        min_length=1, description="how people call it; the fingerprint, not the name, identifies its vectors"
    )
    package: str | None = Field(
        None, description="an installed Python package that carries the model in its folder `model`"
    )
    folder: str | None = Field(None, description="a local folder in the sentence-transformers layout")
    hub: str | None = Field(None, description="a model hub name such as sentence-transformers/all-MiniLM-L6-v2")
    revision: str | None = Field(None, description="the hub commit; pin it, or a new upload changes the vector space")
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="SHA-256 that model.safetensors must have"
    )
    dimension: int = Field(ge=1, description="of its vectors")
    max_tokens: int = Field(ge=16, description="tokens it reads of a text, special tokens included")
    prompts: Prompts = Field(Prompts(), description="put before queries and chunks")
    precision: Literal["full", "int8"] = Field(
        "full",
        description="full: vectors as sentence-transformers makes them; int8: OpenVINO with weights in 8 bits, "
        "a quarter of their bytes, and a vector space of its own",
    )
    service: Service | None = Field(
        None,
        description="computes the vectors instead of this machine, which then needs the model's tokenizer, and with "
        "service.verify: weights, the default, its weights to compare the service with",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Encoder:
        if sum(place is not None for place in (self.package, self.folder, self.hub)) != 1:
            raise ValueError("exactly one of package, folder and hub is needed")
        if self.revision is not None and self.hub is None:
            raise ValueError("revision belongs to a hub model")
        if self.service is not None and self.precision != "full":
            raise ValueError("precision is of what this machine computes; a service has its own: remove one of the two")
        if self.weights_sha256 is not None and self.is_first_use:
            raise ValueError("weights_sha256 is of weights that service.verify: first_use never looks at: remove it")
        return self

    @property
    def is_first_use(self) -> bool:
        """Whether a service computes it that is compared with what it was at first, and not with weights."""
        return self.service is not None and self.service.verify == "first_use"

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without fields that came later and are at their defaults.

        Releases and settings that are stored without them stay equal, and readers from before them read what they know.
        """
        made: dict[str, Any] = dump(self)
        later = {"precision": "full", "service": None}
        return {name: value for name, value in made.items() if name not in later or value != later[name]}
