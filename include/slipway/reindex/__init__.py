"""A reindex campaign: the collection embedded by another encoder, or indexed otherwise, judged beside what is live.

It reads no source: it builds from the newest checkpoint's snapshot, which nights keep up to date, and takes the newest
again before the release. It keeps no state of its own. Vectors are named by text and encoder, everything else by
fingerprint, so a campaign that is killed, or begun again under another run, finds what is there. See decision 12.
"""

from slipway.reindex.approving import Answer, approve_or_refuse, decide
from slipway.reindex.asking import Asked, asked_of
from slipway.reindex.beginning import begin
from slipway.reindex.building import Built, build, numbers, plan
from slipway.reindex.campaign import run_campaign
from slipway.reindex.discarding import discard, ends_campaign
from slipway.reindex.judging import Judged, judge
from slipway.reindex.releasing import release
from slipway.reindex.sampling import sample

__all__ = [
    "Answer",
    "Asked",
    "Built",
    "Judged",
    "approve_or_refuse",
    "asked_of",
    "begin",
    "build",
    "decide",
    "discard",
    "ends_campaign",
    "judge",
    "numbers",
    "plan",
    "release",
    "run_campaign",
    "sample",
]
