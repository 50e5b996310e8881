"""The index of a collection: its kind or the contract that it must keep, and how it is built, updated and searched.

The models below are a part of the reference: see slipway.config.collection.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ByteSize, Field, model_validator

from slipway.config.model import Model, Share, inconsistent
from slipway.sizes import size


class SearchParameters(Model):
    """Search-time parameters. What is left out is tuned on the tuning queries, or takes the default stated here."""

    ef_search: int | None = Field(None, ge=1, description="HNSW: candidates kept while searching (default 128)")
    nprobe: int | None = Field(None, ge=1, description="IVF: lists visited (default 1/16 of the lists, at least 8)")
    refine_factor: int | None = Field(
        None, ge=1, description="refine: candidates re-scored per result wanted (default 10)"
    )


class IndexUpdate(Model):
    """When last night's index is updated with the changes, and when it is built anew: the first trigger decides."""

    enabled: bool = Field(True, description="whether an index may be updated at all; false builds every index anew")
    tombstone_share: Share = Field(
        0.2, description="of the index's rows that may stand for removed vectors before it is built anew"
    )
    imbalance: float = Field(
        1.5, ge=1, description="IVF: growth of the lists' imbalance factor since training before it is trained anew"
    )
    error_growth: float = Field(
        1.2, ge=1, description="growth of the mean squared quantisation error since training before it is trained anew"
    )
    recall_loss: Share = Field(
        0.01, description="loss of recall@10 on probe vectors since it was built before it is built anew"
    )


class Contract(Model):
    """What the index must keep. The cheapest index that keeps every clause is chosen, or none, with the reason."""

    recall_at_10: float = Field(gt=0, le=1, description="smallest recall@10 against exact search, on held-out queries")
    p95_ms: float | None = Field(None, gt=0, description="largest 95th percentile of one search on one thread")
    memory: ByteSize | None = Field(
        None,
        gt=0,
        description="most bytes of the index, such as 2GiB: of its file, which a reader holds once all was read",
    )
    build_minutes: float | None = Field(None, gt=0, description="most minutes of building it anew, tuning not counted")

    def __str__(self) -> str:
        """The clauses in a row: "recall_at_10 0.95, memory 2.0 GiB"."""
        clauses = self.model_dump(mode="json", exclude_none=True)
        return ", ".join(f"{name} {size(one) if name == 'memory' else f'{one:g}'}" for name, one in clauses.items())


class Shards(Model):
    """How a large index is built by several workers."""

    vectors: int | None = Field(
        None,
        ge=1,
        description="vectors of one shard: an index built anew of more than that is trained once, and a mapped task "
        "adds each shard; none: one task builds it",
    )
    release: Literal["merged", "apart"] = Field(
        "merged",
        description="merged: one index file, for inverted files; apart: one file a shard under one manifest, which the "
        "reader searches together (graphs cannot be merged, so they are always apart)",
    )


class Index(Model):
    """The kind of index: a contract that it must keep, a FAISS factory string, or the default rule for the size."""

    spec: str = Field(
        "auto",
        min_length=1,
        description="FAISS factory string such as HNSW32 or OPQ64,IVF4096,PQ64x4fs,RFlat; auto is Flat below 5,000 "
        "vectors, HNSW32 below 1,000,000, and IVF-PQ fast scan with 8-bit refine from there on",
    )
    metric: Literal["inner_product", "l2"] = Field(
        "inner_product", description="cosine for unit vectors is the inner product"
    )
    contract: Contract | None = Field(None, description="see index.contract below; instead of a spec")
    seed: int = Field(1, ge=0, description="of the training sample and of k-means")
    train_vectors: int = Field(262_144, ge=1, description="most vectors trained on, drawn at random")
    ef_construction: int = Field(200, ge=8, description="HNSW: candidates kept while building")
    search: SearchParameters = Field(SearchParameters(), description="search-time parameters")
    update: IndexUpdate = Field(IndexUpdate(), description="see index.update below")
    shards: Shards = Field(Shards(), description="see index.shards below")
    build_memory: ByteSize | None = Field(
        None, gt=0, description="most bytes of memory that building may take; none: what the machine has free"
    )

    @property
    def named(self) -> str:
        """The kind of index in a few words: "spec HNSW32", or the contract's clauses."""
        if self.contract is None:
            return f"spec {self.spec}"
        return f"contract {self.contract}"

    @model_validator(mode="after")
    def _contract_chooses(self) -> Index:
        if self.contract is not None and self.spec != "auto":
            raise inconsistent("index.spec", f"got {self.spec!r}; a contract chooses the spec: remove one of the two")
        return self
