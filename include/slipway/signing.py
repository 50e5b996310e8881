"""Signatures of releases: Ed25519 over the bytes of a release's manifest, in an object of their own.

The manifest names every object of the release with its SHA-256 and is bound to its place, so its signature vouches for
the whole release. `releases/<id>/signature.json` is written once, after the manifest and before the swap. A reader that
was given public keys believes nothing of a release before its signature. What is not signed is serving.json: who may
write there chooses among the signed releases. `cryptography` is imported where it is used, and only there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slipway import layout
from slipway.errors import ConflictError, InputError, ObjectMissing, ReleaseRefused, UntrustedRelease
from slipway.storage.base import ObjectStore

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from slipway.run import Run

SCHEMA = 1
ALGORITHM = "Ed25519"
PUBLIC_KEY = "SLIPWAY_PUBLIC_KEY"
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its public half (32 bytes). `repr` shows neither the seed nor anything made of it."""

    public: bytes
    _private: Ed25519PrivateKey = field(repr=False, compare=False)

    @property
    def key_id(self) -> str:
        """16 hex digits that name the key."""
        return key_id_of(self.public)

    @property
    def public_text(self) -> str:
        """The public key in base64, as readers are given it."""
        return base64.b64encode(self.public).decode()

    @property
    def trusted(self) -> Trusted:
        """What a reader trusts that was given this key's public half and no other."""
        return Trusted({self.key_id: self.public})

    def sign(self, body: bytes) -> bytes:
        """The signature of `body`, 64 bytes."""
        return self._private.sign(body)


@dataclass(frozen=True, slots=True)
class Signature:
    """What `signature.json` says: by which key, and the signature itself (64 bytes)."""

    key_id: str
    signature: bytes

    def to_json(self) -> bytes:
        """The signature as it is stored."""
        body = {
            "schema": SCHEMA,
            "algorithm": ALGORITHM,
            "key_id": self.key_id,
            "signature": base64.b64encode(self.signature).decode(),
        }
        return json.dumps(body, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, body: bytes, key: str) -> Signature:
        """Parse what is stored at `key`. Raises `UntrustedRelease`: what cannot be read vouches for nothing."""
        try:
            raw = json.loads(body)
            if (raw["schema"], raw["algorithm"]) != (SCHEMA, ALGORITHM):
                raise UntrustedRelease(f"{key} is of schema {raw['schema']}, {raw['algorithm']}; {_READABLE}")
            return cls(str(raw["key_id"]), _decoded(raw["signature"], _SIGNATURE_BYTES))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UntrustedRelease(f"{key} is no signature ({type(error).__name__}); {_READABLE}") from error


_READABLE = f"this version reads schema {SCHEMA}, {ALGORITHM}. Restore it from a backup, or release anew"


@dataclass(frozen=True, slots=True)
class Trusted:
    """The public keys (32 bytes each, by key id) of which any one may have signed a release."""

    keys: Mapping[str, bytes]

    @classmethod
    def of(cls, text: str) -> Trusted:
        """The keys of a text: one key in base64, or several with commas between. Raises `InputError`."""
        named = [part.strip() for part in text.split(",") if part.strip()]
        if not named:
            raise InputError("no public key was given; slipway keygen makes a pair, one is 44 characters of base64")
        keys = [_key_bytes(part, "the public key") for part in named]
        return cls({key_id_of(key): key for key in keys})

    @property
    def names(self) -> str:
        """The keys' ids, for messages."""
        return ", ".join(sorted(self.keys))


def key_id_of(public: bytes) -> str:
    """16 hex digits that name a public key."""
    return hashlib.sha256(public).hexdigest()[:16]


def trusted_here(public_key: str | None = None) -> Trusted | None:
    """The keys that a reader here trusts: `public_key`, else SLIPWAY_PUBLIC_KEY; None: it asks for no signature.

    A key that is given and empty is an error, not a reader that trusts everybody. Raises `InputError`.
    """
    text = os.environ.get(PUBLIC_KEY) if public_key is None else public_key
    return None if text is None else Trusted.of(text)


def new_key() -> tuple[str, SigningKey]:
    """A new private key, as the text that goes into a connection's password, and the key itself."""
    seed = base64.b64encode(os.urandom(_KEY_BYTES)).decode()
    return seed, private_key(seed)


def private_key(text: str) -> SigningKey:
    """The key whose seed is `text` (base64 of 32 bytes). Raises `InputError`, which never quotes it."""
    _require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(_key_bytes(text, "the signing key"))
    return SigningKey(private.public_key().public_bytes_raw(), private)


def key_of(run: Run) -> SigningKey | None:
    """The key that the run's collection signs with; None where it does not sign. Raises `InputError`."""
    name = run.collection.release.signing
    if name is None:
        return None
    try:
        return private_key(run.secrets(name))
    except InputError as error:
        raise type(error)(f"release.signing of collection {run.collection.name!r}, connection {name!r}: {error}") from (
            error
        )


def sign(store: ObjectStore, release_id: str, manifest_body: bytes, key: SigningKey) -> None:
    """Write a release's signature, once. A retry finds it there and compares it.

    Raises `ReleaseRefused` when the signature that is there is another key's, or is not of this manifest.
    """
    made = Signature(key.key_id, key.sign(manifest_body))
    place = layout.signature(release_id)
    try:
        store.put_if(place, made.to_json(), None)
    except ConflictError:
        found = Signature.from_json(store.read(place).body, place)
        if found != made:
            raise ReleaseRefused(
                f"{place} is signed by key {found.key_id}, and this collection signs with key {made.key_id}"
                f"{'' if found.key_id != made.key_id else ', but it is not the signature of this manifest'}: somebody "
                f"else signed it, or the key was changed. Delete {place} if you know why, then run again"
            ) from None


def check(store: ObjectStore, release_id: str, manifest_body: bytes, trusted: Trusted) -> str:
    """The id of the trusted key that signed the manifest whose bytes are given.

    Raises `UntrustedRelease` when there is no signature, when it is by a key that is not trusted, or when it is not of
    these bytes; and `InputError` where `cryptography` is not installed.
    """
    _require_cryptography()
    place = layout.signature(release_id)
    try:
        found = Signature.from_json(store.read(place).body, place)
    except ObjectMissing:
        raise UntrustedRelease(
            f"release {release_id} is not signed: there is no {place}, and only releases signed by {trusted.names} "
            f"are trusted here; sign it (release.signing in the collection file), or correct {PUBLIC_KEY}"
        ) from None
    public = trusted.keys.get(found.key_id)
    if public is None:
        raise UntrustedRelease(
            f"release {release_id} is signed by key {found.key_id}, and only {trusted.names} is trusted here; if that "
            f"key was rotated, add its public key to {PUBLIC_KEY}"
        )
    if not _is_signed(public, found.signature, manifest_body):
        raise UntrustedRelease(
            f"release {release_id}: its manifest is not the one that key {found.key_id} signed; somebody altered it. "
            f"Restore the release from a backup, or release anew"
        )
    return found.key_id


def _is_signed(public: bytes, signature: bytes, body: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, body)
    except InvalidSignature:
        return False
    return True


def _key_bytes(text: str, what: str) -> bytes:
    try:
        return _decoded(text, _KEY_BYTES)
    except ValueError:
        raise InputError(  # without the text, which may be a private key
            f"{what} is not {_KEY_BYTES} bytes in base64 (44 characters); slipway keygen makes a pair. In a connection "
            f"that is written as a URI, '/' and '+' must be percent-encoded; JSON needs no such care"
        ) from None


def _decoded(text: str, size_bytes: int) -> bytes:
    """Base64 of exactly that many bytes. Raises ValueError (binascii's own is one)."""
    if not isinstance(text, str):
        raise binascii.Error("not a text")
    found = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    if len(found) != size_bytes:
        raise binascii.Error(f"{len(found)} bytes")
    return found


def _require_cryptography() -> None:
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519 as _  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"signatures need the package cryptography, which cannot be imported ({error}): "
            "pip install 'slipway[signing]'"
        ) from error
