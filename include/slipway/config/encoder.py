"""An encoder as it is configured: which model turns text into vectors, and how."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Prompts(BaseModel):
    """What is put before a text, for models that were trained with instructions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str = Field("", description="put before every query")
    document: str = Field("", description="put before every chunk")


class Encoder(BaseModel):
    """Model, length and prompts. Exactly one of `package`, `folder` and `hub` says where the model is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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

    @model_validator(mode="after")
    def _one_place(self) -> Encoder:
        if sum(place is not None for place in (self.package, self.folder, self.hub)) != 1:
            raise ValueError("exactly one of package, folder and hub is needed")
        if self.revision is not None and self.hub is None:
            raise ValueError("revision belongs to a hub model")
        return self
