"""Finding the report on a build."""

from __future__ import annotations

from collections.abc import Iterator

from slipway import layout
from slipway.errors import InputError
from slipway.manifest import MANIFEST, Manifest, load
from slipway.storage.base import ObjectStore

SHOWN = 8  # names in an error


def reports_of(store: ObjectStore) -> list[Manifest]:
    """All reports, the newest first. Raises `CorruptObject`."""
    places = (info.key.removesuffix(f"/{MANIFEST}") for info in store.list(layout.REPORTS) if _is_manifest(info.key))
    found = [load(store, place) for place in places]
    return sorted(found, key=_age, reverse=True)


def report_of_run(store: ObjectStore, run_id: str) -> Manifest | None:
    """The newest report of a run, by its whole id; None where it wrote none. Raises `CorruptObject`."""
    first = layout.report(run_id)
    places = (info.key.removesuffix(f"/{MANIFEST}") for info in store.list(first) if _is_manifest(info.key))
    own = (load(store, place) for place in places if place == first or place.startswith(f"{first}."))
    return max((report for report in own if report.facts["run_id"] == run_id), key=_age, default=None)


def find_report(store: ObjectStore, build: str | None = None) -> Manifest:
    """The newest report, or the newest of a build: a run, a release or a candidate's fingerprint, or how one begins.

    Raises `InputError` when there is none, or when what is given begins several names.
    """
    reports = reports_of(store)
    if not reports:
        raise InputError(f"there is no report in {store.url} yet: the next run that builds a candidate writes one")
    if build is None:
        return reports[0]
    whole = [report for report in reports if build in _names(report)]
    begun = [report for report in reports if any(name.startswith(build) for name in _names(report))]
    names = sorted({name for report in begun for name in _names(report) if name.startswith(build)})
    if whole:
        return whole[0]
    if len(begun) == 1 or len(names) == 1:
        return begun[0]
    if not begun:
        newest = ", ".join(report.facts["run_id"] for report in reports[:SHOWN])
        raise InputError(
            f"no report is of a run, release or candidate that is called {build!r} or begins so; the newest are of "
            f"the runs {newest}"
        )
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    raise InputError(f"{build!r} begins several names: {', '.join(names[:SHOWN])}{more}. Give more of the one you mean")


def _age(report: Manifest) -> tuple[str, str]:
    return report.facts["made_at"], report.place


def _is_manifest(key: str) -> bool:
    return key.endswith(f"/{MANIFEST}") and key.count("/") == 2


def _names(report: Manifest) -> Iterator[str]:
    facts = report.facts
    yield facts["run_id"]
    yield facts["release_id"]
    yield str(facts["candidate"]).rpartition("/")[2]
