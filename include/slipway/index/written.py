"""Which FAISS wrote an index, and whether the one here can be trusted to read it."""

from __future__ import annotations

import re

import faiss

from slipway.errors import CorruptObject, ReleaseRefused

FACT = "faiss"  # of a candidate's and a release's manifest; absent where an older Slipway made it


def faiss_version() -> str:
    """The version of the FAISS installed here, such as "1.15.1"."""
    return str(faiss.__version__)


def check_readable(written_by: object) -> None:
    """Raise `ReleaseRefused` when `written_by` is a newer minor version than FAISS here: its files may hold more.

    Raises `CorruptObject` when it is no version.
    """
    here = faiss_version()
    if _minor(written_by) > _minor(here):
        raise ReleaseRefused(
            f"its index was written by FAISS {written_by}, here is {here}: install faiss-cpu {written_by} or newer "
            f"where this reader runs"
        )


def _minor(version: object) -> tuple[int, int]:
    found = re.match(r"(\d{1,6})\.(\d{1,6})(\D|$)", version) if isinstance(version, str) else None
    if found is None:
        raise CorruptObject(f"{version!r} is no version of FAISS")
    return int(found[1]), int(found[2])
