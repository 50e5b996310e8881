"""Where documents come from: one adapter for each kind of source. Light to import; adapters are loaded when used."""

from __future__ import annotations

from pathlib import Path

from slipway.config import AnySource, SqlSource
from slipway.run import Connections
from slipway.sources.base import RowSource

__all__ = ["RowSource", "open_rows"]


def open_rows(source: AnySource, connections: Connections, scratch: Path) -> RowSource:
    """The rows of `source`; nothing is read yet. Raises `ConnectionMissing`.

    Files of a remote lake are kept below `scratch` one at a time while they are read.
    """
    if isinstance(source, SqlSource):
        from slipway.sources.sql import SqlRows

        return SqlRows(connections(source.connection), source)
    from slipway.sources.lake import LakeRows

    return LakeRows(source.path, source.columns, scratch)
