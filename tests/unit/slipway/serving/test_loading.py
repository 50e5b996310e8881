import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import pytest

from slipway import layout
from slipway.errors import CorruptObject, ObjectMissing, ReleaseRefused, SlipwayError
from slipway.index import artifact, written
from slipway.manifest import load
from slipway.run import Run
from slipway.serving.loading import load_release
from slipway.serving.smoke import read_smoke_queries
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_candidate, a_run, publish

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path / "scratch")


@pytest.fixture
def release_id(run: Run) -> str:
    return publish(run).release_id


def edit_manifest(run: Run, release_id: str, edit: Edit) -> None:
    key = f"{layout.release(release_id)}/manifest.json"
    raw = json.loads(run.store.read(key).body)
    edit(raw)
    run.store.put(key, json.dumps(raw).encode())


def forge(run: Run, release_id: str, name: str, body: bytes) -> None:
    """Replace an object, with its sum and size in the manifest, as somebody may who can write to the store."""
    sealed = load(run.store, layout.release(release_id)).one(name)
    run.store.put(sealed.key, body)

    def edit(raw: dict[str, Any]) -> None:
        for one in raw["objects"]:
            if one["name"] == name:
                one.update(sha256=hashlib.sha256(body).hexdigest(), size_bytes=len(body))

    edit_manifest(run, release_id, edit)


def opened(run: Run, release_id: str, tmp_path: Path) -> None:
    load_release(run.store, release_id, tmp_path / "cache")


@pytest.mark.parametrize(
    ("fact", "value", "message"),
    [
        ("parameters", None, "search parameters None"),
        ("parameters", [], "search parameters"),
        ("parameters", {"nprobe": "8"}, "search parameters"),
        ("parameters", {"nprobe": True}, "search parameters"),
        ("parameters", {"nprobe": 1e9}, "search parameters"),
        ("parameters", {"no_such": 3}, "cannot be opened"),
        ("dimension", 17, "with dimension 16, its manifest says 40, 40 and 17"),
        ("dimension", "16", "its manifest says"),
        ("encoder", "f" * 16, "has fingerprint 'e{16}', its manifest says 'f{16}'"),
        ("encoder", ["e" * 16], "has fingerprint"),
        ("faiss", "one", "'one' is no version of FAISS"),
        ("faiss", 1.15, "1.15 is no version of FAISS"),
        ("faiss", None, "None is no version of FAISS"),
    ],
)
def test_facts_that_are_not_so_are_refused(
    run: Run, release_id: str, tmp_path: Path, fact: str, value: object, message: str
) -> None:
    edit_manifest(run, release_id, lambda raw: raw["facts"].update({fact: value}))
    with pytest.raises(CorruptObject, match=message):
        opened(run, release_id, tmp_path)


@pytest.mark.parametrize("fact", ["parameters", "dimension", "encoder"])
def test_facts_that_are_needed_are_missed(run: Run, release_id: str, tmp_path: Path, fact: str) -> None:
    edit_manifest(run, release_id, lambda raw: raw["facts"].pop(fact))
    with pytest.raises(CorruptObject):
        opened(run, release_id, tmp_path)


@pytest.mark.parametrize("count", ["vectors", "documents"])
@pytest.mark.parametrize("value", [41, -1, 10**30])
def test_counts_are_those_of_the_files(run: Run, release_id: str, tmp_path: Path, count: str, value: int) -> None:
    edit_manifest(run, release_id, lambda raw: raw["counts"].update({count: value}))
    with pytest.raises(CorruptObject, match="holds 40 vectors of 40 documents"):
        opened(run, release_id, tmp_path)


@pytest.mark.parametrize("value", ["yesterday", "2026-01-01T00:00:00", 5, None, ""])
def test_a_release_was_made_at_a_time(run: Run, release_id: str, tmp_path: Path, value: object) -> None:
    edit_manifest(run, release_id, lambda raw: raw.update(created_at=value))
    with pytest.raises(CorruptObject):
        opened(run, release_id, tmp_path)


@pytest.mark.parametrize(("newer", "is_refused"), [("1.15.99", False), ("1.16.0", True), ("2.0", True), ("0.9", False)])
def test_an_index_of_a_newer_faiss_is_refused(
    run: Run, release_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newer: str, is_refused: bool
) -> None:
    monkeypatch.setattr(faiss, "__version__", "1.15.1")
    edit_manifest(run, release_id, lambda raw: raw["facts"].update(faiss=newer))
    if not is_refused:
        opened(run, release_id, tmp_path)
        return
    with pytest.raises(ReleaseRefused, match=rf"written by FAISS {newer}, here is 1.15.1: install faiss-cpu"):
        opened(run, release_id, tmp_path)


def test_the_version_here_is_one_that_can_be_read() -> None:
    written.check_readable(written.faiss_version())


@pytest.mark.parametrize(
    "edit",
    [
        lambda raw: raw.pop("fingerprint"),
        lambda raw: raw.pop("dimension"),
        lambda raw: raw.update(dimension="many"),
        lambda raw: raw.update(fingerprint=["e" * 16]),
        lambda raw: raw.update(surprise=1),
        lambda raw: raw.update(package="a", folder="b"),
    ],
)
def test_an_encoder_that_is_not_described_is_refused(run: Run, release_id: str, tmp_path: Path, edit: Edit) -> None:
    sealed = load(run.store, layout.release(release_id)).one(artifact.ENCODER)
    raw = json.loads(run.store.read(sealed.key).body)
    edit(raw)
    forge(run, release_id, artifact.ENCODER, json.dumps(raw).encode())
    with pytest.raises(CorruptObject, match=r"encoder.json"):
        opened(run, release_id, tmp_path)


@pytest.mark.parametrize("name", [artifact.ENCODER, artifact.SMOKE])
@pytest.mark.parametrize("body", [b"", b"null", b"5", b"[]", b"{}", b"[5]", b"[[]]", b"[" * 100_000, b"\xff", b'"x"'])
def test_json_that_holds_something_else_is_refused(
    run: Run, release_id: str, tmp_path: Path, name: str, body: bytes
) -> None:
    forge(run, release_id, name, body)
    with pytest.raises(CorruptObject, match=name):
        opened(run, release_id, tmp_path)


GOOD = {"text": None, "vector": [1.0, 0.0], "documents": ["a"], "scores": [1.0]}


@pytest.mark.parametrize(
    "changes",
    [
        {"vector": [1.0]},
        {"vector": [1.0, float("nan")]},
        {"vector": [1.0, float("inf")]},
        {"vector": [1.0, "x"]},
        {"vector": [10**400, 1]},
        {"vector": [1e39, 1]},
        {"vector": "ab"},
        {"vector": None},
        {"documents": []},
        {"documents": [5]},
        {"documents": "a"},
        {"scores": []},
        {"scores": [None]},
        {"scores": [1.0, 1.0]},
    ],
)
def test_smoke_queries_that_prove_nothing_are_refused(changes: dict[str, Any]) -> None:
    assert read_smoke_queries(json.dumps([GOOD]).encode(), 2) == [GOOD]
    with pytest.raises(CorruptObject, match=r"smoke.json does not hold smoke queries"):
        read_smoke_queries(json.dumps([GOOD, GOOD | changes]).encode(), 2)


def test_an_index_that_faiss_cannot_read_is_refused(run: Run, release_id: str, tmp_path: Path) -> None:
    forge(run, release_id, artifact.INDEX, b"IxFI" + bytes(40))
    with pytest.raises(SlipwayError):
        opened(run, release_id, tmp_path)


def test_files_of_another_release_are_refused(run: Run, release_id: str, tmp_path: Path) -> None:
    other = load(run.store, a_candidate(run, 9, 40).place)
    for name in (artifact.INDEX, artifact.DOCUMENTS):
        before = load(run.store, layout.release(release_id)).one(name)
        body = run.store.read(before.key).body
        forge(run, release_id, name, run.store.read(other.one(name).key).body)
        with pytest.raises(ReleaseRefused, match="smoke query"):
            opened(run, release_id, tmp_path)
        forge(run, release_id, name, body)
    opened(run, release_id, tmp_path)


HOSTILE: list[Any] = [None, True, -1, 0, 10**30, 1.5, "", "x", "../../x", [], [[]], {}, {"a": 1}, "\0", "9" * 400]


def mutate(value: Any, draw: random.Random) -> Any:
    """A copy of a JSON value with one place in it changed or removed."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        name = draw.choice(sorted(value))
        changed = {**value, name: mutate(value[name], draw)}
        if draw.random() < 0.2:
            del changed[name]
        return changed
    if isinstance(value, list) and value and draw.random() < 0.9:
        place = draw.randrange(len(value))
        return [*value[:place], mutate(value[place], draw), *value[place + 1 :]]
    return draw.choice(HOSTILE)


def test_an_edited_manifest_is_opened_whole_or_refused_by_name(run: Run, release_id: str, tmp_path: Path) -> None:
    """Without its checksum to tell: some edits change nothing that a reader uses, all others are refused."""
    key = f"{layout.release(release_id)}/manifest.json"
    raw, draw, refused = json.loads(run.store.read(key).body), random.Random(4), 0
    for _ in range(300):
        run.store.put(key, json.dumps(mutate(raw, draw)).encode())
        try:
            opened(run, release_id, tmp_path)
        except SlipwayError:
            refused += 1
    assert refused > 100


def test_nothing_but_the_objects_named_is_read(run: Run, release_id: str, tmp_path: Path) -> None:
    edit_manifest(run, release_id, lambda raw: raw["objects"][0].update(key="serving.json"))
    with pytest.raises(CorruptObject, match="lies outside"):
        opened(run, release_id, tmp_path)


def test_a_missing_manifest_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing, match=r"releases/20260101T000000-00000000/manifest.json"):
        opened(run, "20260101T000000-00000000", tmp_path)
