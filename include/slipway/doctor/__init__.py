"""`slipway doctor`: looks over a configured installation before the first night, and leaves nothing behind.

Every check is a function that returns an `Outcome`; what it raises is a failed check. Other packages add checks by an
entry point of the group `slipway.checks`: a function that takes the collections and returns findings.
"""

from slipway.doctor.finding import Finding, Outcome, Status, examine, failed, passed, skipped, warned
from slipway.doctor.visit import Means, look_over

__all__ = [
    "Finding",
    "Means",
    "Outcome",
    "Status",
    "examine",
    "failed",
    "look_over",
    "passed",
    "skipped",
    "warned",
]
