"""How a candidate's documents and vectors differ from those of the live release: measures, thresholds and records.

An alarm never stops a night. It needs two things: a difference that chance gives with a probability of at most
drift.alpha, and one that is large enough to matter, a constant beside each measure. What is measured is drawn by hash,
so that a retry draws the same, and two nights mostly the same: then a difference tells of what changed.
"""

from slipway.drift.measure import Document, Measure, Rules, Sample
from slipway.drift.record import history

__all__ = ["Document", "Measure", "Rules", "Sample", "history"]
