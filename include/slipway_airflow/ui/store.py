"""What the pages read of the object store. Everything raises `SlipwayError`, whose text is fit to be shown.

Heavy libraries stay out of this module's import: the web server imports it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from slipway import layout, settings
from slipway.config import collection_files, load_collection
from slipway.errors import ConfigError, CorruptObject, ObjectMissing, SlipwayError, StoreDenied, TransientError
from slipway.manifest import MANIFEST, Manifest, find
from slipway.planned import numbers
from slipway.pointer import Change, Serving, read_record, read_serving
from slipway.storage import open_store
from slipway.storage.base import ObjectStore

LAST_CHANGES = 12
_SHOWN_APART = {"start", "plan"}
_EVALUATION = re.compile(r"evaluations/[0-9a-f]+")


def collections() -> list[str]:
    """The names of the collection files, broken ones too: their releases serve all the same."""
    return [file.stem for file in collection_files(settings.collections_folder())]


def open_collection(name: str) -> tuple[ObjectStore, str]:
    """The collection's store, and the root that it shares with others."""
    try:
        described = load_collection(settings.collections_folder(), name)
    except ConfigError:
        described = None  # a file that is broken now does not hide what was released before
    root = settings.store_root(described)
    return open_store(settings.store_url(name, root)), root


def read_run(collection: str, run_id: str) -> dict[str, Any]:
    """What the store holds of a run: its `result`, where its release stands, and its `missed` queries.

    Of a run without a result (None): its `progress`, its `plan` if it has one, and what it was `allowed` and told.
    """
    store, _ = open_collection(collection)
    result = _read_result(store, run_id)
    sealed = [] if result else _sealed(store, run_id)
    return {
        "result": result,
        "progress": None if result else [_done(one) for one in sealed if one.stage not in _SHOWN_APART],
        "plan": next((numbers(one) for one in sealed if one.stage == "plan"), None),
        **_told(sealed),
        "standing": _standing(store, result.get("release_id")) if result else None,
        "missed": _missed(store, result.get("evaluation")) if result else None,
    }


def read_report_page(collection: str, run_id: str) -> str | None:
    """The newest report that a run wrote, as HTML; None where it wrote none."""
    from slipway.report import read_page, report_of_run

    store, _ = open_collection(collection)
    found = report_of_run(store, run_id)
    return read_page(store, found) if found else None


def read_report(collection: str, run_id: str) -> dict[str, Any] | None:
    """The newest report that a run wrote, as data; None where it wrote none."""
    from slipway.report import read_document, report_of_run

    store, _ = open_collection(collection)
    found = report_of_run(store, run_id)
    return read_document(store, found) if found else None


def read_collections(names: list[str]) -> list[dict[str, Any]]:
    """Releases, the shift under way, readers and last changes of each collection, or its `error`.

    A store that did not answer is asked once.
    """
    silent: dict[str, str] = {}
    return [_read_collection(name, silent) for name in names]


def _read_collection(name: str, silent: dict[str, str]) -> dict[str, Any]:
    root = ""
    try:
        store, root = open_collection(name)
        if root in silent:
            return {"collection": name, "error": silent[root]}
        return {"collection": name, "error": None, **_releases(store)}
    except SlipwayError as error:
        if isinstance(error, TransientError | StoreDenied):
            silent[root] = str(error)
        return {"collection": name, "error": str(error)}


def _releases(store: ObjectStore) -> dict[str, Any]:
    from slipway.serving.catalogue import list_releases
    from slipway.serving.readers import list_readers, shift_under_way

    serving, _ = read_serving(store)
    return {
        **list_releases(store),
        "shift": shift_under_way(serving),
        **list_readers(store, serving),
        "withdrawn": {name: one.why for name, one in serving.withdrawn.items()},
        "changes": _changes(store, serving),
    }


def _changes(store: ObjectStore, serving: Serving) -> list[dict[str, Any]]:
    """The last changes of serving.json, newest first: what it says itself, then the audit trail backwards."""
    if serving.generation == 0:
        return []
    found = [_change(serving)]
    for generation in range(serving.generation - 1, max(0, serving.generation - LAST_CHANGES), -1):
        try:
            found.append(_change(read_record(store, generation)))
        except ObjectMissing:
            continue  # slipway doctor tells of a gap
        except CorruptObject as error:  # it hides no other
            found.append(_change(Serving(generation, changed=Change("damaged record", "", str(error)))))
    return found


def _change(serving: Serving) -> dict[str, Any]:
    made, live = serving.changed, serving.live_release
    return {
        "generation": serving.generation,
        "at": serving.at,
        "action": made.action if made else None,
        "who": made.who if made else None,
        "why": made.why if made else None,
        "run_id": made.run_id if made else None,
        "allowed": list(made.allowed) if made else [],
        "from_release": made.from_release if made else None,
        "to_release": made.to_release if made else None,
        "percent": serving.shift.percent if serving.shift else None,
        "live": live.release_id if live else None,
    }


def _read_result(store: ObjectStore, run_id: str) -> dict[str, Any] | None:
    key = layout.result(run_id)
    try:
        found = _json(store, key)
    except ObjectMissing:
        return None
    if not isinstance(found, dict):
        raise CorruptObject(f"{key} is not a run's result")
    return found


def _sealed(store: ObjectStore, run_id: str) -> list[Manifest]:
    """What a run has finished of its own, in that order."""
    keys = [info.key for info in store.list(f"{layout.RUNS}{run_id}/") if info.key.endswith(f"/{MANIFEST}")]
    manifests = [Manifest.from_json(store.read(key).body, key) for key in keys]
    return sorted(manifests, key=lambda manifest: manifest.created_at)


def _done(manifest: Manifest) -> dict[str, Any]:
    return {"stage": manifest.stage, "source": manifest.facts.get("source"), "counts": dict(manifest.counts)}


def _told(sealed: list[Manifest]) -> dict[str, Any]:
    facts = next((one.facts for one in sealed if one.stage == "start"), {})
    return {"allowed": facts.get("allowed", []), "full": facts.get("full") is True}


def _standing(store: ObjectStore, release_id: Any) -> dict[str, Any] | None:
    """Where a run's release stands now: "live", "trial", "standby", "withdrawn" or "retained"."""
    if not isinstance(release_id, str):
        return None
    serving, _ = read_serving(store)
    live, standby, trial = serving.live_release, serving.standby_release, serving.trial
    state = "retained"
    if live and live.release_id == release_id:
        state = "live"
    elif trial and trial.release_id == release_id:
        state = "trial"
    elif release_id in serving.withdrawn:
        state = "withdrawn"
    elif standby and standby.release_id == release_id:
        state = "standby"
    return {
        "state": state,
        "live": live.release_id if live else None,
        "why": why.why if (why := serving.withdrawn.get(release_id)) else None,
    }


def _missed(store: ObjectStore, place: Any) -> list[dict[str, Any]] | None:
    """The golden queries with no relevant document in the top ten; None when the result does not say where to look."""
    if not isinstance(place, str) or not _EVALUATION.fullmatch(place):
        return None
    try:
        manifest = find(store, place)
        queries = _json(store, manifest.one("queries.json").key) if manifest else None
    except ObjectMissing:
        return None
    if not isinstance(queries, list):
        return None
    return [query for query in queries if isinstance(query, dict) and query.get("hit_rate_at_10") == 0]


def _json(store: ObjectStore, key: str) -> Any:
    try:
        return json.loads(store.read(key).body, parse_constant=_no_constant)
    except ValueError as error:
        raise CorruptObject(f"{key} is not JSON: {error}") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
