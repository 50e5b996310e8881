import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway import manifest
from slipway.errors import CorruptObject, ObjectMissing, StateUnknown, StoreUnreachable
from slipway.manifest import MANIFEST, SCHEMA, Draft, Manifest, SealedObject, canonical_json, fetch, find, fingerprint
from slipway.storage.base import ObjectStore
from slipway.storage.local import LocalStore
from tests.support.memory_store import MemoryStore

PLACE = "documents/ab12"
KEY = f"{PLACE}/{MANIFEST}"


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Local: objects are files of this machine. Remote: objects have to be fetched."""
    return LocalStore(tmp_path / "store") if request.param == "local" else MemoryStore()


def a_draft(store: ObjectStore, place: str = PLACE) -> Draft:
    return Draft(store, place, "clean", "ab12", {"raw": "00ff"})


def a_file(folder: Path, body: bytes = b"some bytes") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "made"
    path.write_bytes(body)
    return path


def test_sealing_comes_last_and_names_everything(tmp_path: Path) -> None:
    store = MemoryStore()
    draft = a_draft(store)
    draft.add_json("b.json", {"ü": 1})
    draft.add_file("a.bin", a_file(tmp_path))
    sealed = draft.seal({"rows": 2}, {"why": "test"})
    assert [call for call in store.calls if call[0] != "exists"][-1] == ("put_if", KEY)
    assert [o.name for o in sealed.objects] == ["a.bin", "b.json"]
    assert {o.key for o in sealed.objects} == {f"{PLACE}/{draft.attempt}/{name}" for name in ("a.bin", "b.json")}
    assert sealed.size_bytes == sum(len(store.read(o.key).body) for o in sealed.objects)
    assert (sealed.counts, sealed.facts, sealed.inputs) == ({"rows": 2}, {"why": "test"}, {"raw": "00ff"})


def test_what_is_read_is_what_was_sealed(store: ObjectStore, tmp_path: Path) -> None:
    draft = a_draft(store)
    draft.add_file("a.bin", a_file(tmp_path))
    sealed = draft.seal({"rows": 2}, {"nested": {"list": [1, None, "ü"]}})
    assert manifest.load(store, PLACE) == sealed == find(store, PLACE)


def test_nothing_exists_without_a_manifest(store: ObjectStore, tmp_path: Path) -> None:
    draft = a_draft(store)
    draft.add_file("a.bin", a_file(tmp_path))
    assert find(store, PLACE) is None
    with pytest.raises(ObjectMissing):
        manifest.load(store, PLACE)


def test_the_first_sealer_wins_and_the_second_adopts_its_work(store: ObjectStore, tmp_path: Path) -> None:
    first, second = a_draft(store), a_draft(store)
    first.add_file("a.bin", a_file(tmp_path, b"first"))
    second.add_file("a.bin", a_file(tmp_path, b"second"))
    won = first.seal({"rows": 1})
    adopted = second.seal({"rows": 2})
    assert adopted == won == manifest.load(store, PLACE)
    assert fetch(store, adopted.one("a.bin"), tmp_path / "scratch").read_bytes() == b"first"


@pytest.mark.parametrize("error", [StateUnknown("?"), StoreUnreachable("?")])
def test_a_seal_whose_outcome_is_unknown_is_no_success_and_deletes_nothing(tmp_path: Path, error: Exception) -> None:
    store = MemoryStore()
    draft = a_draft(store)
    sealed_object = draft.add_file("a.bin", a_file(tmp_path))
    store.fail_next("put_if", error)
    with pytest.raises(type(error)):
        draft.seal({})
    assert store.exists(sealed_object.key)
    assert draft.seal({}).objects == (sealed_object,)


def test_a_copied_object_keeps_name_sum_and_bytes(store: ObjectStore, tmp_path: Path) -> None:
    source = a_draft(store)
    original = source.add_file("a.bin", a_file(tmp_path))
    copier = a_draft(store, "releases/r1")
    copy = copier.add_copy(original)
    assert (copy.name, copy.sha256, copy.size_bytes) == (original.name, original.sha256, original.size_bytes)
    assert copy.key == f"releases/r1/{copier.attempt}/a.bin"
    assert fetch(store, copier.seal({}).one("a.bin"), tmp_path / "scratch").read_bytes() == b"some bytes"


def test_fetching_from_a_local_store_copies_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    sealed = a_draft(store).add_file("a.bin", a_file(tmp_path))
    assert fetch(store, sealed, tmp_path / "scratch") == store.local_path(sealed.key)
    assert not (tmp_path / "scratch").exists()


def test_fetching_from_a_remote_store_downloads_once(tmp_path: Path) -> None:
    store = MemoryStore()
    sealed = a_draft(store).add_file("a.bin", a_file(tmp_path))
    paths = {fetch(store, sealed, tmp_path / "scratch") for _ in range(3)}
    assert paths == {tmp_path / "scratch" / sealed.key}
    assert [method for method, _ in store.calls].count("download") == 1


def flipped(body: bytes) -> bytes:
    return body[:3] + bytes([body[3] ^ 1]) + body[4:]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(flipped, "has SHA-256 .* its manifest says .*; restore it", id="bit flip"),
        pytest.param(lambda body: body[:-1], "has 9 bytes, its manifest says 10; restore it", id="truncation"),
        pytest.param(lambda body: b"", "has 0 bytes", id="empty"),
        pytest.param(lambda body: body + b"!", "has 11 bytes", id="longer"),
    ],
)
def test_a_damaged_object_is_never_used(store: ObjectStore, tmp_path: Path, spoil: Any, said: str) -> None:
    sealed = a_draft(store).add_file("a.bin", a_file(tmp_path))
    store.put(sealed.key, spoil(store.read(sealed.key).body))
    with pytest.raises(CorruptObject, match=said):
        fetch(store, sealed, tmp_path / "scratch")


def test_a_missing_object_is_told_from_a_damaged_one(store: ObjectStore, tmp_path: Path) -> None:
    sealed = a_draft(store).add_file("a.bin", a_file(tmp_path))
    store.delete(sealed.key)
    with pytest.raises(ObjectMissing, match=sealed.key):
        fetch(store, sealed, tmp_path / "scratch")


@pytest.mark.parametrize("spoil", [flipped, lambda body: body[:-1]])
def test_a_copy_that_was_damaged_on_this_machine_is_fetched_again(tmp_path: Path, spoil: Any) -> None:
    store = MemoryStore()
    sealed = a_draft(store).add_file("a.bin", a_file(tmp_path))
    path = fetch(store, sealed, tmp_path / "scratch")
    path.write_bytes(spoil(path.read_bytes()))
    assert fetch(store, sealed, tmp_path / "scratch").read_bytes() == b"some bytes"


def a_manifest(**changes: Any) -> Manifest:
    sealed = Manifest(
        place=PLACE,
        stage="clean",
        fingerprint="ab12",
        inputs={"raw": "1"},
        counts={"rows": 2},
        facts={"x": 1},
        objects=(SealedObject("a", f"{PLACE}/t/a", "11", 1), SealedObject("b", f"{PLACE}/t/b", "22", 2)),
        created_at="2026-01-01T00:00:00+00:00",
    )
    return replace(sealed, **changes)


def test_the_digest_names_the_content_and_not_when_or_how_it_was_made() -> None:
    digest = a_manifest().digest
    elsewhere = tuple(replace(o, key=f"{PLACE}/u/{o.name}") for o in a_manifest().objects)
    same = {"objects": elsewhere, "created_at": "later", "seconds": 9.0, "facts": {}, "inputs": {}, "place": "p"}
    for name, value in same.items():
        assert a_manifest(**{name: value}).digest == digest, name
    other = {
        "counts": {"rows": 3},
        "stage": "snapshot",
        "objects": a_manifest().objects[:1],
    }
    for name, value in other.items():
        assert a_manifest(**{name: value}).digest != digest, name
    changed = tuple(replace(o, sha256="33") for o in a_manifest().objects)
    assert a_manifest(objects=changed).digest != digest


def test_objects_are_found_by_name_and_by_prefix() -> None:
    made = a_manifest()
    assert made.one("b").sha256 == "22"
    assert [o.name for o in made.named("a")] == ["a"]
    with pytest.raises(ObjectMissing, match="names no object 'c'"):
        made.one("c")


def test_a_manifest_of_another_schema_is_refused_by_its_number() -> None:
    stored = json.loads(a_manifest().to_json()) | {"schema": SCHEMA + 1, "field_of_the_future": 1}
    with pytest.raises(CorruptObject, match=f"manifest schema {SCHEMA + 1}; this version reads schema {SCHEMA}"):
        Manifest.from_json(json.dumps(stored).encode(), KEY)


def hostile(**changes: Any) -> bytes:
    return json.dumps(json.loads(a_manifest().to_json()) | changes).encode()


OBJECT = {"name": "a", "key": f"{PLACE}/t/a", "sha256": "11", "size_bytes": 1}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut short"),
        pytest.param(b"\xff\xfe", id="not text"),
        pytest.param(b"[" * 200_000, id="nested too deep"),
        *(pytest.param(body, id=body.decode()) for body in (b"null", b"[]", b"3", b'"x"', b"{}", b'{"objects": []}')),
        pytest.param(hostile(objects=None), id="no objects"),
        pytest.param(hostile(objects={"a": 1}), id="objects as a mapping"),
        pytest.param(hostile(objects=["a"]), id="an object as a text"),
        pytest.param(hostile(objects=[{**OBJECT, "mode": "x"}]), id="an object with a further field"),
        pytest.param(hostile(objects=[{**OBJECT, "key": 3}]), id="a key that is a number"),
        pytest.param(hostile(objects=[{**OBJECT, "size_bytes": "1"}]), id="a size that is a text"),
        pytest.param(hostile(objects=[{**OBJECT, "key": "/etc/passwd"}]), id="an absolute key"),
        pytest.param(hostile(objects=[{**OBJECT, "key": f"{PLACE}/../../../etc/x"}]), id="a key that climbs"),
        pytest.param(hostile(objects=[{**OBJECT, "key": "releases/r/a"}]), id="a key of another place"),
        pytest.param(hostile(place="documents/other"), id="the manifest of another place"),
        pytest.param(hostile(counts=[1]), id="counts as a list"),
        pytest.param(hostile(counts={"rows": "2"}), id="a count as a text"),
        pytest.param(hostile(facts="x"), id="facts as a text"),
        pytest.param(hostile(further=1), id="a further field"),
    ],
)
def test_a_hostile_manifest_is_corrupt_and_nothing_else(body: bytes) -> None:
    with pytest.raises(CorruptObject, match=KEY):
        Manifest.from_json(body, KEY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(deadline=None, derandomize=True)
@given(JSON, st.randoms(use_true_random=False))
def test_equal_values_have_one_canonical_form(value: Any, random: Any) -> None:
    def shuffled(one: Any) -> Any:
        if isinstance(one, dict):
            names = list(one)
            random.shuffle(names)
            return {name: shuffled(one[name]) for name in names}
        return [shuffled(each) for each in one] if isinstance(one, list) else one

    again = shuffled(value)
    assert canonical_json(again) == canonical_json(value)
    assert fingerprint("x", again) == fingerprint("x", value)
    assert json.loads(canonical_json(value)) == value


def test_fingerprints_tell_parts_apart() -> None:
    prints = {fingerprint(*parts) for parts in (["ab"], ["a", "b"], [["a", "b"]], ["a", "b", None], [1], ["1"], [True])}
    assert len(prints) == 7
    assert all(len(one) == 16 for one in prints)
    with pytest.raises(ValueError, match="JSON"):
        fingerprint(float("nan"))
