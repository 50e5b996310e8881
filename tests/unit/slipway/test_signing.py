"""Signatures of releases: what is written, what is believed, and what is refused with the old release left in place."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway import layout, signing
from slipway.errors import (
    ConnectionMissing,
    CorruptObject,
    InputError,
    ReleaseRefused,
    SlipwayError,
    StoreUnreachable,
    UntrustedRelease,
)
from slipway.manifest import MANIFEST
from slipway.pointer import read_serving
from slipway.run import Run
from slipway.serving.loading import load_release, read_release_manifest
from slipway.serving.reader import Reader
from slipway.signing import Signature, Trusted, key_id_of, new_key, private_key, trusted_here
from slipway.stages.release import release
from tests.support.crashing_store import CrashingStore, Killed
from tests.support.memory_store import MemoryStore
from tests.support.releases import PASSED, a_candidate, a_run, an_evaluation, publish

SEED = base64.b64encode(bytes(range(32))).decode()
KEY = private_key(SEED)
TRUSTED = Trusted({KEY.key_id: KEY.public})


def signed_run(store: object, scratch: Path, seed: str = SEED) -> Run:
    run = a_run(store, scratch, release={"signing": "signing_key"})  # type: ignore[arg-type]
    return replace(run, secrets=lambda name: {"signing_key": seed}[name])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return signed_run(MemoryStore(), tmp_path / "scratch")


def manifest_body(run: Run, release_id: str) -> bytes:
    return run.store.read(f"{layout.release(release_id)}/{MANIFEST}").body


def test_a_key_is_what_rfc_8032_says() -> None:
    """The first test vector of the standard: secret key, public key, signature of the empty message."""
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = private_key(base64.b64encode(secret).decode())
    assert key.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb88215")


def test_new_keys_differ_and_can_be_read_back() -> None:
    (text, key), (other, _) = new_key(), new_key()
    assert text != other
    assert private_key(text).public == key.public
    assert Trusted.of(key.public_text).keys == {key.key_id: key.public}


@pytest.mark.parametrize("text", ["", "x", "not base64!", base64.b64encode(b"short").decode(), SEED * 2])
def test_what_is_no_key_is_refused_and_never_quoted(text: str) -> None:
    with pytest.raises(InputError, match="32 bytes in base64") as caught:
        private_key(text)
    assert not text or text not in str(caught.value)


def test_a_key_shows_nothing_of_its_seed() -> None:
    shown = repr(KEY) + str(KEY)
    assert SEED not in shown and bytes(range(32)).hex() not in shown and "PrivateKey" not in shown


def test_several_public_keys_in_either_alphabet() -> None:
    _, other = new_key()
    urlsafe = base64.urlsafe_b64encode(other.public).decode()
    assert set(Trusted.of(f" {KEY.public_text} ,{urlsafe},").keys) == {KEY.key_id, other.key_id}


def test_a_reader_takes_the_key_it_is_given_or_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_PUBLIC_KEY", raising=False)
    assert trusted_here() is None
    monkeypatch.setenv("SLIPWAY_PUBLIC_KEY", KEY.public_text)
    assert trusted_here() == TRUSTED
    _, other = new_key()
    assert trusted_here(other.public_text) == Trusted({other.key_id: other.public})


@pytest.mark.parametrize("empty", ["", " ", ",,"])
def test_an_empty_key_is_no_leave_to_trust_everybody(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_PUBLIC_KEY", empty)
    with pytest.raises(InputError, match="no public key"):
        trusted_here()
    with pytest.raises(InputError, match="no public key"):
        trusted_here(empty)


def test_a_release_is_signed_before_the_swap(run: Run) -> None:
    made = publish(run)
    stored = json.loads(run.store.read(layout.signature(made.release_id)).body)
    assert {name: stored[name] for name in ("schema", "algorithm", "key_id")} == {
        "schema": 1,
        "algorithm": "Ed25519",
        "key_id": key_id_of(KEY.public),
    }
    assert signing.check(run.store, made.release_id, manifest_body(run, made.release_id), TRUSTED) == KEY.key_id
    keys = [key for method, key in run.store.calls if method == "put_if"]
    places = [f"{layout.release(made.release_id)}/{MANIFEST}", layout.signature(made.release_id), layout.SERVING]
    assert [key for key in keys if key in places] == places


def test_without_a_signing_key_nothing_is_signed(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path)
    made = publish(run)
    assert not run.store.exists(layout.signature(made.release_id))


def test_no_secret_reaches_the_store(run: Run) -> None:
    publish(run)
    everything = b"".join(run.store.read(info.key).body for info in run.store.list())
    assert SEED.encode() not in everything and bytes(range(32)) not in everything


@pytest.mark.parametrize("landed", [False, True], ids=["before", "after"])
def test_a_kill_at_any_change_leaves_nothing_unsigned_live_and_the_retry_heals_it(landed: bool, tmp_path: Path) -> None:
    start = CrashingStore()
    candidate = a_candidate(a_run(start, tmp_path))
    evaluation = an_evaluation(a_run(start, tmp_path), candidate)
    kills = 0
    while True:
        store = start.clone()
        store.die_at, store.landed = kills, landed
        try:
            release(signed_run(store, tmp_path), candidate, evaluation, PASSED, 0, "tester", "because")
            break
        except Killed:
            kills += 1
        serving, _ = read_serving(store)
        for slot in serving.named.values():
            read_release_manifest(store, slot.release_id, slot.manifest_sha256, TRUSTED)
        made = release(signed_run(store, tmp_path), candidate, evaluation, PASSED, 0, "tester", "because")
        load_release(store, made.release_id, tmp_path / "cache", trusted=TRUSTED)
    assert kills == 9  # five copies, manifest, signature, swap, audit


def test_a_live_release_from_before_signing_is_signed_by_the_next_run(run: Run) -> None:
    unsigned = replace(run, collection=run.collection.model_copy(update={"release": type(run.collection.release)()}))
    candidate = a_candidate(run)
    evaluation = an_evaluation(run, candidate)
    made = release(unsigned, candidate, evaluation, PASSED, 0, "tester", "because")
    with pytest.raises(UntrustedRelease, match="is not signed"):
        read_release_manifest(run.store, made.release_id, trusted=TRUSTED)

    again = release(replace(run, run_id="run-2"), candidate, evaluation, PASSED, 1, "tester", "because")

    assert (again.released, again.release_id) == (False, made.release_id)
    read_release_manifest(run.store, made.release_id, trusted=TRUSTED)


def test_another_keys_signature_stops_the_release_and_names_both(run: Run, tmp_path: Path) -> None:
    text, other = new_key()
    candidate = a_candidate(run)
    evaluation = an_evaluation(run, candidate)
    release(run, candidate, evaluation, PASSED, 0, "tester", "because")
    with pytest.raises(ReleaseRefused) as caught:
        release(signed_run(run.store, tmp_path, text), candidate, evaluation, PASSED, 1, "tester", "because")
    assert KEY.key_id in str(caught.value) and other.key_id in str(caught.value)
    assert read_serving(run.store)[0].generation == 1


def test_a_signature_of_other_bytes_by_the_same_key_stops_the_release(run: Run) -> None:
    signing.sign(run.store, "r1", b"one", KEY)
    signing.sign(run.store, "r1", b"one", KEY)
    with pytest.raises(ReleaseRefused, match="not the signature of this manifest"):
        signing.sign(run.store, "r1", b"another", KEY)


def test_a_missing_connection_says_which_field_names_it(run: Run) -> None:
    def nothing(name: str) -> str:
        raise ConnectionMissing(f"there is no connection {name!r}")

    with pytest.raises(ConnectionMissing, match=r"release\.signing of collection 'test'.*'signing_key'"):
        signing.key_of(replace(run, secrets=nothing))


# --- readers ----------------------------------------------------------------------------------------------------------


def test_a_reader_refuses_an_unsigned_release_and_keeps_the_old_one(run: Run, tmp_path: Path) -> None:
    first = publish(run, 1)
    reader = Reader(run.store, tmp_path / "cache", trusted=TRUSTED)
    publish(a_run(run.store, tmp_path / "unsigned", "run-2"), 2)
    with pytest.raises(UntrustedRelease, match="is not signed"):
        reader.refresh()
    assert reader.release.release_id == first.release_id


def test_a_reader_believes_nothing_of_a_release_before_its_signature(tmp_path: Path) -> None:
    store = MemoryStore()
    publish(a_run(store, tmp_path / "scratch"))
    del store.calls[:]
    with pytest.raises(UntrustedRelease):
        Reader(store, tmp_path / "cache", trusted=TRUSTED)
    assert [method for method, _ in store.calls if method == "download"] == []
    assert not any(path.is_file() for path in (tmp_path / "cache" / "releases").rglob("*"))


def test_a_reader_refuses_the_signature_of_a_key_it_does_not_trust(run: Run, tmp_path: Path) -> None:
    publish(run)
    _, other = new_key()
    with pytest.raises(UntrustedRelease, match=f"signed by key {KEY.key_id}, and only {other.key_id}"):
        Reader(run.store, tmp_path / "cache", trusted=Trusted({other.key_id: other.public}))


@pytest.mark.parametrize("signature", ["kept", "forged", "lost"])
def test_a_start_without_the_store_checks_the_kept_signature(run: Run, tmp_path: Path, signature: str) -> None:
    """What a machine keeps of a release is believed no more than the store is."""
    made = publish(run)
    with Reader(run.store, tmp_path / "cache", trusted=TRUSTED):
        kept = tmp_path / "cache" / layout.signature(made.release_id)
        assert kept.is_file()
    if signature == "forged":
        kept.write_bytes(Signature(KEY.key_id, bytes(64)).to_json())
    if signature == "lost":
        kept.unlink()
    for _ in range(20):
        run.store.fail_next("read", StoreUnreachable("gone"))
    if signature == "kept":
        with Reader(run.store, tmp_path / "cache", trusted=TRUSTED) as reader:
            assert reader.release.release_id == made.release_id
        return
    with pytest.raises(SlipwayError):
        Reader(run.store, tmp_path / "cache", trusted=TRUSTED)


def test_while_keys_are_rotated_either_is_trusted(run: Run, tmp_path: Path) -> None:
    text, other = new_key()
    both = Trusted.of(f"{KEY.public_text},{other.public_text}")
    first = publish(run, 1)
    second = publish(signed_run(run.store, tmp_path / "scratch", text), 2)
    for made in (first, second):
        load_release(run.store, made.release_id, tmp_path / "cache", trusted=both)


def test_an_edited_manifest_is_refused_even_where_serving_json_agrees(run: Run, tmp_path: Path) -> None:
    """Who may write to the store can make the pointer agree with what they forged. They cannot sign it."""
    made = publish(run)
    key = f"{layout.release(made.release_id)}/{MANIFEST}"
    forged = run.store.read(key).body.replace(b'"recall_at_10": 1.0', b'"recall_at_10": 0.5')
    run.store.put(key, forged)
    load_release(run.store, made.release_id, tmp_path / "cache")
    with pytest.raises(UntrustedRelease, match="not the one that key"):
        load_release(run.store, made.release_id, tmp_path / "cache", trusted=TRUSTED)


def test_a_signed_manifest_cannot_be_moved_to_another_release(run: Run, tmp_path: Path) -> None:
    first, second = publish(run, 1), publish(run, 2)
    for name in (MANIFEST, "signature.json"):
        run.store.copy(f"{layout.release(first.release_id)}/{name}", f"{layout.release(second.release_id)}/{name}")
    with pytest.raises(CorruptObject, match="manifest"):
        load_release(run.store, second.release_id, tmp_path / "cache", trusted=TRUSTED)


@given(where=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_flipped_bit_of_a_signature_is_believed(where: int, bit: int) -> None:
    store = MemoryStore()
    signing.sign(store, "r1", b"a manifest", KEY)
    body = bytearray(store.read(layout.signature("r1")).body)
    body[where % len(body)] ^= 1 << bit
    store.put(layout.signature("r1"), bytes(body))
    try:
        assert signing.check(store, "r1", b"a manifest", TRUSTED) == KEY.key_id
    except UntrustedRelease:
        return
    assert Signature.from_json(bytes(body), "k") == Signature(KEY.key_id, KEY.sign(b"a manifest")), "only its layout"


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'"x"', b"\xff", b'{"schema": 2, "algorithm": "Ed25519"}'],
)
def test_what_is_no_signature_is_refused(body: bytes) -> None:
    store = MemoryStore()
    store.put(layout.signature("r1"), body)
    with pytest.raises(UntrustedRelease, match=r"releases/r1/signature\.json"):
        signing.check(store, "r1", b"", TRUSTED)
