"""How candidates are judged against what is live, and how an upgrade of the model goes: parts of a collection file."""

from __future__ import annotations

from pydantic import Field

from slipway.config.model import Model


class Judging(Model):
    """How certain a difference between a candidate and the live release must be."""

    alpha: float = Field(
        0.05,
        gt=0,
        le=0.25,
        description="error rate: of candidates that lose nothing, at most this share is refused for a loss. Intervals "
        "hold the true difference with 1 − 2 alpha",
    )
    resamples: int = Field(10_000, ge=1_000, description="of the paired bootstrap")
    min_queries: int = Field(
        20, ge=2, description="golden queries below which no interval is trusted: the verdict is undecided then"
    )


class Drift(Model):
    """When a night's documents and vectors count as other than those that are live."""

    sample: int = Field(1_000, ge=100, description="documents and vectors drawn for each measurement")
    alpha: float = Field(
        0.001, gt=0, le=0.05, description="error rate of each alarm: how often it would be raised where nothing changed"
    )
    permutations: int = Field(1_999, ge=99, description="of the two samples, by which thresholds are calibrated")


class Reindex(Model):
    """How an upgrade of the encoder or the index is judged and approved."""

    margin: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="largest loss of nDCG@10 against the live release that an upgrade may bring, where "
        "gates.ndcg_at_10.max_drop does not say",
    )
    sample: int = Field(
        2_000, ge=0, description="documents that an upgrade is tried on before all are embedded; 0: none"
    )
    approval_hours: float = Field(72, gt=0, description="hours that an approval is waited for; then it is a rejection")
