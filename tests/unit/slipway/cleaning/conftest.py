"""Hypothesis without a clock and without chance: a busy machine fails no test, and a failure comes again."""

from hypothesis import settings

settings.register_profile("slipway", deadline=None, derandomize=True)
settings.load_profile("slipway")
