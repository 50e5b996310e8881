"""Which index a collection's contract leads to: chosen once, sealed, confirmed on the index of all vectors.

The maths are in slipway.index.contract; here are the golden queries, what is live, and the store.
"""

from slipway.choosing.choice import FACT, Choice, choose
from slipway.choosing.keeping import Indexed, Kept, keep
from slipway.choosing.subject import Subject
from slipway.choosing.trying import try_live

__all__ = ["FACT", "Choice", "Indexed", "Kept", "Subject", "choose", "keep", "try_live"]
