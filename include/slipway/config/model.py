"""What all settings are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Share = Annotated[float, Field(ge=0, le=1)]
INCONSISTENT = "inconsistent"  # type of an error of several fields together; its context names one of them


class Model(BaseModel):
    """Frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def inconsistent(field: str, message: str) -> PydanticCustomError:
    """An error of several fields together, told as one of `field`."""
    return PydanticCustomError(INCONSISTENT, "{message}", {"field": field, "message": message})
