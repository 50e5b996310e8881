"""Which keys and prefixes a store accepts: the same on every store, so that a key that works here works there."""

from __future__ import annotations

from slipway.errors import InputError

RESERVED_NAME = ".slipway"
"""Names that begin with this belong to the stores themselves (locks, unfinished writes) and are never listed."""

UNFINISHED = ".part"  # how the names of unfinished writes end

MAX_KEY_BYTES = 1024
MAX_NAME_BYTES = 255


def check_key(key: str) -> str:
    """`key` unchanged, if it is a relative POSIX path that every store can hold. Raises `InputError`."""
    fault = _fault_of_key(key)
    if fault:
        raise InputError(f"object key {key!r}: {fault}; use a relative path such as 'snapshots/ab12/manifest.json'")
    return key


def check_prefix(prefix: str) -> str:
    """`prefix` unchanged, if some valid key can begin with it ("" means all). Raises `InputError`."""
    folder, _, _name = prefix.rpartition("/")
    fault = "it is absolute" if prefix.startswith("/") else _fault_of_key(folder) if folder else None
    if fault is None and prefix.rsplit("/", 1)[-1] == "..":
        fault = "it contains '..'"
    if fault:
        raise InputError(f"listing prefix {prefix!r}: {fault}; use a relative path such as 'snapshots/'")
    return prefix


def join_key(scope: str, key: str) -> str:
    """`key` below `scope` ("" is the root of the store)."""
    return f"{scope}/{key}" if scope else key


def _fault_of_key(key: str) -> str | None:
    if not key:
        return "it is empty"
    if key.startswith("/"):
        return "it is absolute"
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if size_bytes > MAX_KEY_BYTES:
        return f"it is {size_bytes} bytes long and {MAX_KEY_BYTES} are allowed"
    return next((fault for name in key.split("/") if (fault := _fault_of_name(name))), None)


def _fault_of_name(name: str) -> str | None:
    if not name:
        return "it contains an empty segment ('//' or a '/' at its end)"
    if name in {".", ".."}:
        return f"it contains {name!r}"
    if name.startswith(RESERVED_NAME):
        return f"names that begin with {RESERVED_NAME!r} are reserved"
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "it contains a control character"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"one of its segments is longer than {MAX_NAME_BYTES} bytes"
    return None
