"""Slipway builds vector-search indexes and launches them. See docs/architecture.md for the map."""

__version__ = "0.1.0"
