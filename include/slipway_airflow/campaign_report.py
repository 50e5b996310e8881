"""What the tasks of a reindex campaign left behind, put together into its result."""

from __future__ import annotations

PARTS = ("preflight", "sample", "shards", "embed", "build", "judge", "approve", "release")
