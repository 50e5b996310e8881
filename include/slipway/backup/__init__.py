"""Backups: releases, or whole collections, kept in another store, and what brings them back."""

from slipway.backup.backing_up import BackedUp, back_up, back_up_all
from slipway.backup.index import Backup, backups, newest
from slipway.backup.restoring import Restored, Restoring

__all__ = ["BackedUp", "Backup", "Restored", "Restoring", "back_up", "back_up_all", "backups", "newest"]
