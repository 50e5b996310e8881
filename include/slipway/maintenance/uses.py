"""Which releases are in use, and by whom: none of these may be removed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from slipway import layout
from slipway.acknowledgement import heard, store_time
from slipway.lease import read_lease
from slipway.manifest import find
from slipway.pins import list_pins
from slipway.pointer import Serving
from slipway.storage.base import ObjectStore

UNREADABLE_FOR = timedelta(days=1)  # an acknowledgement that cannot be read says not how often it is renewed


@dataclass(frozen=True, slots=True)
class Uses:
    """`reasons` why releases must stay, by id; `unknown` holds reasons why any release may be in use."""

    reasons: dict[str, list[str]]
    unknown: list[str]

    def of(self, release_id: str) -> list[str]:
        """All reasons why this release must stay; none where it is not in use."""
        return [*self.reasons.get(release_id, []), *self.unknown]


def look(store: ObjectStore, serving: Serving) -> Uses:
    """Who uses releases now: what serves, pins, readers that are alive, and the run at work.

    Whether a reader is alive is told by the store's clock, for which a small object is written and removed.
    """
    reasons: dict[str, list[str]] = defaultdict(list)
    readers, unknown = _readers(store)
    for release_id, why in (*_served(serving), *_pinned(store), *readers, *_at_work(store)):
        reasons[release_id].append(why)
    return Uses(dict(reasons), unknown)


def _served(serving: Serving) -> Iterator[tuple[str, str]]:
    slots = {"live": serving.live_release, "on standby": serving.standby_release, "on trial": serving.trial}
    for what, slot in slots.items():
        if slot is not None:
            yield slot.release_id, what


def _pinned(store: ObjectStore) -> Iterator[tuple[str, str]]:
    for release_id, pin in list_pins(store).items():
        yield release_id, f"pinned by {pin.who} at {pin.at}: {pin.why}"


def _readers(store: ObjectStore) -> tuple[list[tuple[str, str]], list[str]]:
    """What readers that are alive have loaded, and the acknowledgements that may be of such and cannot be read."""
    found, unreadable = heard(store)
    if not found and not unreadable:
        return [], []
    now = store_time(store)
    uses = []
    for said in (one.said for one in found if not one.is_silent(now)):
        names = {*(loaded.release_id for loaded in said.loaded), said.live, said.trial}
        uses += [(name, f"loaded by reader {said.reader} on {said.host}") for name in names if name is not None]
    late = [info.key for info in store.list(layout.READERS) if now - info.modified_at <= UNREADABLE_FOR]
    unknown = [
        f"{key} cannot be read, so it is not known what that reader has loaded; nothing is removed until it is "
        f"{UNREADABLE_FOR.days} day old or deleted"
        for key in unreadable
        if key in late
    ]
    return uses, unknown


def _at_work(store: ObjectStore) -> Iterator[tuple[str, str]]:
    """The release that the run at work began with. Retention itself holds the lease, so this is for dry runs."""
    lease, _ = read_lease(store)
    if lease is None or lease.state != "held" or lease.ends < datetime.now(UTC):
        return
    start = find(store, layout.start(lease.holder.run_id))
    if start is not None and start.facts.get("live_release"):
        yield start.facts["live_release"], f"run {lease.holder.run_id} is at work and builds on it"
