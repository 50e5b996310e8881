"""Fixtures and settings that every test shares."""

import os

from hypothesis import HealthCheck, settings

from tests.support.s3_server import s3_server

# What chooses among backends converts models and times them; the tests of that ask for it.
os.environ.setdefault("SLIPWAY_BACKEND", "sentence-transformers")

__all__ = ["s3_server"]

# The same examples on every machine, and no deadline: a busy machine is no reason to fail.
settings.register_profile("slipway", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slipway")
