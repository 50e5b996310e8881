"""Reading releases: `slipway.serving.open(url)` and search. Needs no torch when queries are vectors."""

from slipway.serving.metrics import ReaderMetrics, ReleaseMetrics, Trouble
from slipway.serving.reader import Reader
from slipway.serving.reader import open_reader as open
from slipway.serving.searcher import Hit

__all__ = ["Hit", "Reader", "ReaderMetrics", "ReleaseMetrics", "Trouble", "open"]
