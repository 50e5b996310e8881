"""Readers in a process that forks: their threads and connections stay with the parent."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Abandoned(Protocol):
    """Something that cannot work in a forked child."""

    def abandon(self) -> None:
        """Be of no use from now on, and take no lock to become so: a thread of the parent may hold it."""
        ...


_opened: WeakSet[Abandoned] = WeakSet()


def abandon_in_children(reader: Abandoned) -> None:
    """Have every process that is forked from this one abandon the reader."""
    _opened.add(reader)


def _after_fork() -> None:
    for reader in list(_opened):
        reader.abandon()


os.register_at_fork(after_in_child=_after_fork)
