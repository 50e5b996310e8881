"""What an attacker, or a failing disk, may do to a sealed release. Every mutation is drawn from a seed and a number.

Those in `DAMAGE` leave the sums as they were, so sums alone must find them. Those in `FORGERY` make every sum right
again, up to the one in serving.json, so only the signature can tell.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.attacks import hostile
from benchmarks.attacks.victim import Victim
from slipway.errors import SlipwayError
from slipway.index import artifact
from slipway.layout import SERVING
from slipway.manifest import MANIFEST
from slipway.signing import Signature, new_key, private_key
from slipway.storage.keys import RESERVED_NAME

SIGNATURE = "signature.json"
NAMES = (artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS, artifact.ENCODER, artifact.SMOKE)
WRONG: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 2**200, 1e308, "", "..", "\x00", "x" * 100_000, [], {}, [[]], {"a": {}},
)  # fmt: skip

Mutation = Callable[[Victim, random.Random], str]
"""Changes files of the victim's new release; returns what it did."""


def replace_file(path: Path, body: bytes) -> None:
    """Other bytes in a new file: the old one may be mapped by a reader."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.write_bytes(body)
    unfinished.replace(path)


# --- damage -----------------------------------------------------------------------------------------------------------


def flip(victim: Victim, drawn: random.Random) -> str:
    """One to three bits of one file."""
    path = _any_file(victim, drawn)
    body = bytearray(path.read_bytes())
    for _ in range(drawn.choice((1, 1, 1, 3))):
        place = _anywhere(len(body), drawn)
        body[place] ^= 1 << drawn.randrange(8)
    replace_file(path, bytes(body))
    return f"flipped bits of {path.name}"


def cut(victim: Victim, drawn: random.Random) -> str:
    """The end of one file."""
    path = _any_file(victim, drawn)
    body = path.read_bytes()
    kept = drawn.choice((0, 1, len(body) - 1, drawn.randrange(len(body))))
    replace_file(path, body[:kept])
    return f"cut {path.name} to {kept} of {len(body)} bytes"


def extend(victim: Victim, drawn: random.Random) -> str:
    """More at the end of one file."""
    path = _any_file(victim, drawn)
    body = path.read_bytes()
    more = drawn.choice((b"\0", b"}", drawn.randbytes(drawn.randrange(1, 64)), body))
    replace_file(path, body + more)
    return f"added {len(more)} bytes to {path.name}"


def remove(victim: Victim, drawn: random.Random) -> str:
    """One file."""
    path = _any_file(victim, drawn)
    path.unlink()
    return f"removed {path.name}"


def swap(victim: Victim, drawn: random.Random) -> str:
    """A file in another one's place: of the other release, of this one, or other bytes of the same size."""
    name, other = drawn.choice(NAMES), drawn.choice(NAMES)
    path, body = victim.object(victim.new, name), victim.object(victim.new, other).read_bytes()
    how = drawn.choice(("the other release's", other, "random", "shuffled"))
    if how == "the other release's":
        body = victim.object(victim.old, name).read_bytes()
    elif how == "random":
        body = drawn.randbytes(path.stat().st_size)
    elif how == "shuffled":
        pieces = bytearray(path.read_bytes())
        middle = drawn.randrange(1, len(pieces))
        body = bytes(pieces[middle:] + pieces[:middle])
    replace_file(path, body)
    return f"put {how} in the place of {name}"


def exchange(victim: Victim, drawn: random.Random) -> str:
    """Two objects of the release with each other."""
    one, two = (victim.object(victim.new, name) for name in drawn.sample(NAMES, 2))
    first, second = one.read_bytes(), two.read_bytes()
    replace_file(one, second)
    replace_file(two, first)
    return f"exchanged {one.name} and {two.name}"


def edit_manifest(victim: Victim, drawn: random.Random) -> str:
    """A value anywhere in the manifest; serving.json keeps the sum that it had."""
    return _edit_json(victim.place(victim.new) / MANIFEST, drawn)


def edit_serving(victim: Victim, drawn: random.Random) -> str:
    """serving.json names what is not there, has another sum, or is none that a swap can have made."""
    path = victim.folder / SERVING
    raw = json.loads(path.read_bytes())
    slot = raw["slots"][raw["live"]]
    edits: dict[str, Callable[[], object]] = {
        "sum": lambda: slot.update(manifest_sha256=drawn.randbytes(32).hex()),
        "sum of the other": lambda: slot.update(manifest_sha256=raw["slots"][_other(raw["live"])]["manifest_sha256"]),
        "sum's type": lambda: slot.update(manifest_sha256=drawn.choice([None, 1, [], {}, True])),
        "release": lambda: slot.update(release_id=drawn.choice(["20000101T000000-00000000", "..", "a/../b", "", "\0"])),
        "release's type": lambda: slot.update(release_id=drawn.choice([None, 1, [], {}, True, 1e9])),
        "slot": lambda: raw["slots"].pop(raw["live"]),
        "slot's type": lambda: raw["slots"].update({raw["live"]: drawn.choice(WRONG)}),
        "slots": lambda: raw.update(slots=drawn.choice(WRONG)),
        "live": lambda: raw.update(live=drawn.choice(["red", "", None, 1, [], {}])),
        "schema": lambda: raw.update(schema=drawn.choice([0, 3, -1, "2", None, [], 2**70])),
        "generation": lambda: raw.update(generation=drawn.choice([0, -1, "1", None, [], {}, 1.5, True])),
        "shift": lambda: raw.update(shift=drawn.choice([{"percent": 101}, 1, "x", [1], {"percent": []}])),
        "percent": lambda: raw.update(
            shift={"percent": drawn.choice([0, 101, "5", [], 2**80]), "before": None, "began": ""}
        ),
        "withdrawn": lambda: raw.update(withdrawn=drawn.choice([1, [1], "x", {"a": 1}, None])),
        "changed": lambda: raw.update(changed=drawn.choice([1, [1], "x", {"a": 1}])),
        "more": lambda: raw.update(unknown=1),
    }
    name = drawn.choice(sorted(edits))
    edits[name]()
    replace_file(path, json.dumps(raw).encode())
    return f"edited {name} of serving.json"


def spoil_serving(victim: Victim, drawn: random.Random) -> str:
    """serving.json is no JSON any more, or too deep to be read."""
    path = victim.folder / SERVING
    body = path.read_bytes()
    spoilt = [b"", body[:-2], b"[" * 200_000, drawn.randbytes(100), b"null", b"[]", b"1e999", b'"x"', body + b"x"]
    replace_file(path, drawn.choice(spoilt))
    return "spoilt serving.json"


DAMAGE: Mapping[str, Mutation] = {
    "bit flips": flip,
    "cut short": cut,
    "extended": extend,
    "removed": remove,
    "swapped": swap,
    "exchanged": exchange,
    "edited manifest": edit_manifest,
    "edited serving.json": edit_serving,
    "spoilt serving.json": spoil_serving,
}


# --- forgery ----------------------------------------------------------------------------------------------------------


def forge_manifest(victim: Victim, drawn: random.Random) -> str:
    """A value anywhere in the manifest, and its sum in serving.json."""
    path = victim.place(victim.new) / MANIFEST
    what = _edit_json(path, drawn)
    return _resealed(victim, what, path.read_bytes())


def forge_paths(victim: Victim, drawn: random.Random) -> str:
    """Objects that lie elsewhere: above the store, in the other release, twice, under other names."""
    raw = victim.manifest(victim.new)
    one = drawn.choice(raw["objects"])
    old = drawn.choice(victim.manifest(victim.old)["objects"])
    how = drawn.choice(
        ("above", "absolute", "of the other", "whole other", "other place", "doubled", "renamed", "none")
    )
    place = raw["place"]
    edits: dict[str, Callable[[], object]] = {
        "above": lambda: one.update(key=f"{place}/../../../../etc/hostname"),
        "absolute": lambda: one.update(key="/etc/hostname"),
        "of the other": lambda: one.update(key=old["key"], sha256=old["sha256"], size_bytes=old["size_bytes"]),
        "whole other": lambda: raw.update(objects=victim.manifest(victim.old)["objects"]),
        "other place": lambda: raw.update(place=victim.manifest(victim.old)["place"]),
        "doubled": lambda: raw["objects"].append(one),
        "renamed": lambda: one.update(name=drawn.choice(NAMES) + "x"),
        "none": lambda: raw.update(objects=[]),
    }
    edits[how]()
    return _resealed(victim, f"moved objects: {how}", json.dumps(raw).encode())


def forge_object(victim: Victim, drawn: random.Random) -> str:
    """Any damage to an object, with all sums made right again."""
    path = victim.object(victim.new, drawn.choice(NAMES))
    body = bytearray(path.read_bytes())
    place = _anywhere(len(body), drawn)
    how = drawn.choice(("flip", "cut", "random", "other", "integer"))
    if how == "flip":
        body[place] ^= 1 << drawn.randrange(8)
    elif how == "integer":
        extreme = drawn.choice((0, -1, 1, 2**31 - 1, -(2**31), 2**40, 2**62, -(2**63)))
        width = 8 if abs(extreme) >= 2**31 else drawn.choice((4, 8))
        body[place : place + width] = extreme.to_bytes(width, "little", signed=True)
    elif how == "other":
        body = bytearray(victim.object(victim.old, path.name).read_bytes())
    else:
        body = body[:place] if how == "cut" else bytearray(drawn.randbytes(len(body)))
    replace_file(path, bytes(body))
    return _resealed(victim, f"{how} in {path.name}")


def forge_json(victim: Victim, drawn: random.Random) -> str:
    """A value in smoke.json or encoder.json, with all sums made right again."""
    path = victim.object(victim.new, drawn.choice((artifact.SMOKE, artifact.ENCODER)))
    return _resealed(victim, _edit_json(path, drawn))


def forge_index(victim: Victim, drawn: random.Random) -> str:
    """An index that is hostile to whoever reads it, with all sums made right again."""
    path = victim.object(victim.new, artifact.INDEX)
    body, what = hostile.spoilt(path, drawn)
    replace_file(path, body)
    return _resealed(victim, what)


FORGERY: Mapping[str, Mutation] = {
    "forged manifest": forge_manifest,
    "forged paths": forge_paths,
    "forged object": forge_object,
    "forged JSON": forge_json,
    "hostile index": forge_index,
}


def spoil_signature(victim: Victim, drawn: random.Random) -> str:
    """The signature of another release, by another key, of another form, or none."""
    path, other = victim.place(victim.new) / SIGNATURE, new_key()[0]
    raw = json.loads(path.read_bytes())
    body = (victim.place(victim.new) / MANIFEST).read_bytes()
    stranger = private_key(other)
    true_key = private_key(victim.key)
    spoilt: dict[str, Callable[[], bytes]] = {
        "the other release's": lambda: (victim.place(victim.old) / SIGNATURE).read_bytes(),
        "a stranger's": lambda: Signature(stranger.key_id, stranger.sign(body)).to_json(),
        "a stranger's under our key's name": lambda: Signature(true_key.key_id, stranger.sign(body)).to_json(),
        "of other bytes": lambda: Signature(true_key.key_id, true_key.sign(body + b" ")).to_json(),
        "random": lambda: Signature(true_key.key_id, drawn.randbytes(64)).to_json(),
        "of another form": lambda: json.dumps({**raw, drawn.choice(sorted(raw)): drawn.choice(WRONG)}).encode(),
        "of fewer fields": lambda: json.dumps(
            {k: v for k, v in raw.items() if k != drawn.choice(sorted(raw))}
        ).encode(),
        "no JSON": lambda: drawn.choice((b"", b"[" * 100_000, b"null", drawn.randbytes(80), b"\xff\xfe")),
    }
    how = drawn.choice(sorted(spoilt))
    replace_file(path, spoilt[how]())
    return f"put {how} in the place of the signature"


KINDS: Mapping[str, Mutation] = {**DAMAGE, **FORGERY, "spoilt signature": spoil_signature}


def meaning_changed(victim: Victim, pristine: Victim, serving: bytes) -> set[str]:
    """The names of the files that say something else than they did; `serving` is what serving.json was."""
    names = {path.relative_to(pristine.folder) for path in files_of(pristine)}
    changed = {name for name in names if _bytes(victim.folder / name) != _bytes(pristine.folder / name)}
    found = {name.name for name in changed}
    if found == {SIGNATURE} and _same_signature(victim, pristine):
        return set()
    return found | ({SERVING} if _parsed(_bytes(victim.folder / SERVING)) != json.loads(serving) else set())


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _parsed(body: bytes | None) -> Any:
    try:
        return json.loads(body or b"")
    except (ValueError, RecursionError):
        return body


def _same_signature(victim: Victim, pristine: Victim) -> bool:
    """Base64 has several forms of the same bytes, and JSON several of the same object."""
    made, was = (_bytes(one.place(one.new) / SIGNATURE) for one in (victim, pristine))
    try:
        return Signature.from_json(made or b"", "") == Signature.from_json(was or b"", "")
    except SlipwayError:
        return False


def files_of(victim: Victim) -> list[Path]:
    """The files of the new release, in order of their names."""
    found = victim.place(victim.new).rglob("*")
    return sorted(path for path in found if path.is_file() and not path.name.startswith(RESERVED_NAME))


def _any_file(victim: Victim, drawn: random.Random) -> Path:
    return drawn.choice(files_of(victim))


def _anywhere(size: int, drawn: random.Random) -> int:
    """A place in a file; often in its first bytes, where headers are."""
    return drawn.randrange(min(size, 128)) if drawn.random() < 0.3 else drawn.randrange(size)


def _other(colour: str) -> str:
    return "green" if colour == "blue" else "blue"


def _edit_json(path: Path, drawn: random.Random) -> str:
    """Remove, rename or replace a value somewhere in a JSON file."""
    root = json.loads(path.read_bytes())
    holder, key = drawn.choice(list(_places(root)))
    how = drawn.choice(("removed", "wrong", "wrong", "near"))
    before = holder[key]
    if how == "removed":
        del holder[key]
    elif how == "near" and isinstance(before, int | float):
        holder[key] = before + drawn.choice((-1, 1, 0.5))
    elif how == "near" and isinstance(before, str):
        holder[key] = before[::-1] + "x"
    else:
        holder[key] = drawn.choice([value for value in WRONG if value != before or type(value) is not type(before)])
    replace_file(path, json.dumps(root, indent=1).encode())
    return f"{how}: {key} of {path.name}"


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below a JSON value."""
    found: list[tuple[Any, Any]] = []
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        found.append((value, key))
        found += _places(value[key])
    return found


def _resealed(victim: Victim, what: str, manifest: bytes | None = None) -> str:
    """Make every sum right: the objects' in the manifest (unless it is given), and the manifest's in serving.json."""
    path = victim.place(victim.new) / MANIFEST
    body = manifest or _with_true_sums(victim, path.read_bytes())
    replace_file(path, body)
    serving = victim.folder / SERVING
    raw = json.loads(serving.read_bytes())
    raw["slots"][raw["live"]]["manifest_sha256"] = hashlib.sha256(body).hexdigest()
    replace_file(serving, json.dumps(raw).encode())
    return f"{what}, all sums made right"


def _with_true_sums(victim: Victim, body: bytes) -> bytes:
    raw = json.loads(body)
    try:
        for sealed in raw["objects"]:
            if sealed["name"] in NAMES:
                actual = (victim.folder / sealed["key"]).read_bytes()
                sealed.update(sha256=hashlib.sha256(actual).hexdigest(), size_bytes=len(actual))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return body  # it was forged itself, and names no objects any more
    return json.dumps(raw, indent=1, sort_keys=True, ensure_ascii=False).encode()
