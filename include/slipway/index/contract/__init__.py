"""The index contract: candidates tried on a sample, what each of them gives, and the cheapest that keeps every clause.

`search` tries; `confirm` measures an index of all vectors on queries that nothing was tuned on. Cheapest means the
least bytes of the index's file, which a reader holds in memory; of those within a tenth of the least, the one with the
lowest p95.
"""

from slipway.index.contract.confirming import Confirmed, Made, confirm
from slipway.index.contract.queries import Part, Queries, of_collection
from slipway.index.contract.searching import Found, check_possible, search
from slipway.index.contract.trial import Settings
from slipway.index.contract.tried import Tried, aim, fronted

__all__ = [
    "Confirmed", "Found", "Made", "Part", "Queries", "Settings", "Tried", "aim", "check_possible", "confirm", "fronted",
    "of_collection", "search",
]  # fmt: skip
