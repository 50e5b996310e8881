"""What a person asks of a reindex campaign, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from slipway import checkpoint
from slipway.errors import InputError
from slipway.run import Run

CAMPAIGN = "campaign"  # among the settings of a run's beginning
LEAST_REASON = 3  # characters


@dataclass(frozen=True, slots=True)
class Asked:
    """One campaign as it was asked for.

    `encoder` is the name of an encoder file; `index` a FAISS factory string, a mapping as a collection file's section
    `index` (YAML or JSON), or "" for what nights build with. `sample` is how many documents the encoder is tried on
    first (0: none). Without `approval` what passes every gate goes live by itself. `budget_hours` bounds the estimated
    hours of embedding on `embed.workers` workers (None: no bound); the nights' `embed.budget` does not bind a campaign.
    """

    encoder: str
    index: str
    reason: str
    who: str
    sample: int
    approval: bool
    budget_hours: float | None

    def checked(self) -> Asked:
        """The same, with its reason stripped. Raises `InputError` that names the field."""
        reason = self.reason.strip()
        if len(reason) < LEAST_REASON:
            raise InputError(
                f"reason: got {self.reason!r}; say in a few words why, at least {LEAST_REASON} characters: it is kept "
                "in the audit trail"
            )
        if self.sample < 0:
            raise InputError(f"sample: got {self.sample}; expected a number of documents, or 0 for none")
        if self.budget_hours is not None and not self.budget_hours > 0:
            raise InputError(f"budget_hours: got {self.budget_hours:g}; expected hours above 0, or nothing")
        return Asked(**{**asdict(self), "reason": reason})


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign that has begun: what was asked, and the vector space (fingerprint) that was live then."""

    asked: Asked
    live_encoder: str

    def as_json(self) -> dict[str, Any]:
        """As it stands in the settings of the run's beginning."""
        return {"asked": asdict(self.asked), "live_encoder": self.live_encoder}


def campaign_of(run: Run) -> Campaign:
    """The campaign that this run is. Raises `InputError` where it has not begun as one."""
    stored: Mapping[str, Any] | None = checkpoint.start_of(run).settings.get(CAMPAIGN)
    if stored is None:
        raise InputError(f"run {run.run_id!r} is not a reindex campaign; begin one with slipway reindex")
    return Campaign(Asked(**stored["asked"]), stored["live_encoder"])


def asked_of(run: Run) -> Asked:
    """What was asked of this campaign. Raises `InputError` where the run has not begun as one."""
    return campaign_of(run).asked
