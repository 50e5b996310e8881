"""Where documents come from: one adapter for each kind of source. Light to import; adapters are loaded when used."""

from __future__ import annotations

from pathlib import Path

from slipway.config import AnySource, DeltaSource, IcebergSource, SqlSource
from slipway.run import Connections
from slipway.sources.base import Position, Reading

__all__ = ["Position", "Reading", "open_reading"]


def open_reading(source: AnySource, connections: Connections, scratch: Path, since: Position | None) -> Reading:
    """A reading of `source`, of what changed `since` that position, or of everything (None). Nothing is read yet.

    A position that this source cannot go on from is no error: the reading is full and its `reason` says why. Copies of
    remote files and of a change feed are kept below `scratch` while they are read. Raises `ConnectionMissing`.
    """
    if isinstance(source, SqlSource):
        from slipway.sources.sql import open_sql

        return open_sql(connections(source.connection), source, since)
    if isinstance(source, DeltaSource):
        from slipway.sources.delta import DeltaReading

        return DeltaReading(source, scratch, since)
    if isinstance(source, IcebergSource):
        from slipway.sources.iceberg import IcebergReading

        return IcebergReading(source, since)
    from slipway.sources.lake import LakeReading

    return LakeReading(source, scratch)
