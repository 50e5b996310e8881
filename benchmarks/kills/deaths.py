"""Where a process kills itself: at a store operation, before or after it, or between computing and sealing vectors."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from benchmarks.kills.diary import Diary
from slipway.storage.base import ObjectInfo, Versioned
from slipway.storage.local import LocalStore

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder, Vectors

T = TypeVar("T")
OUTSIDE = "between stages"


@dataclass(frozen=True, slots=True)
class Moment:
    """When to die: at the operation or the encoded group of this number (from 1), before it or after it."""

    at: str  # "operation" or "group"
    number: int
    after: bool


class Fate:
    """Counts what a process does, writes it into the diary, and kills the process at its moment (None: never).

    `stage` is the stage at work, as far as the pipeline has told.
    """

    def __init__(self, diary: Diary, moment: Moment | None) -> None:
        self.stage = OUTSIDE
        self._diary, self._moment = diary, moment
        self._done = {"operation": 0, "group": 0}

    def operation(self, method: str, key: str, work: Callable[[], T]) -> T:
        """Do a store operation, if it is lived to see."""
        return self._lived("operation", work, method=method, key=key)

    def group(self, hashes: Sequence[str], work: Callable[[], T]) -> T:
        """Encode a group of chunks, if it is lived to see. Those finished are written down before dying after it."""

        def encoded() -> T:
            made = work()
            self._diary.write("encoded", hashes=list(hashes))
            return made

        return self._lived("group", encoded)

    def _lived(self, what: str, work: Callable[[], T], **told: str) -> T:
        self._done[what] += 1
        number = self._done[what]
        self._diary.write(what, number=number, stage=self.stage, **told)
        here = self._moment is not None and (self._moment.at, self._moment.number) == (what, number)
        if here and self._moment and not self._moment.after:
            die()
        try:
            return work()
        finally:  # also after one that failed: looking for what is not there yet is an operation
            if here:
                die()


def die() -> None:
    """What the kernel, an operator or a power cut does: no handler runs, nothing is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


class FatefulStore(LocalStore):
    """A store in a folder whose every operation may be the last. Reading inside a conditional write counts too."""

    def __init__(self, root: Path | str, fate: Fate) -> None:
        super().__init__(root)
        self._fate = fate

    def read(self, key: str) -> Versioned:
        return self._fate.operation("read", key, lambda: super(FatefulStore, self).read(key))

    def put(self, key: str, body: bytes) -> None:
        self._fate.operation("put", key, lambda: super(FatefulStore, self).put(key, body))

    def put_if(self, key: str, body: bytes, expected: str | None) -> str:
        return self._fate.operation("put_if", key, lambda: super(FatefulStore, self).put_if(key, body, expected))

    def upload(self, path: Path, key: str) -> None:
        self._fate.operation("upload", key, lambda: super(FatefulStore, self).upload(path, key))

    def download(self, key: str, path: Path) -> None:
        self._fate.operation("download", key, lambda: super(FatefulStore, self).download(key, path))

    def copy(self, key: str, destination: str) -> None:
        self._fate.operation("copy", destination, lambda: super(FatefulStore, self).copy(key, destination))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return iter(self._fate.operation("list", prefix, lambda: [*super(FatefulStore, self).list(prefix)]))

    def delete(self, key: str) -> None:
        self._fate.operation("delete", key, lambda: super(FatefulStore, self).delete(key))

    def scoped(self, prefix: str) -> FatefulStore:
        return FatefulStore(self._path(prefix.rstrip("/")), self._fate)


def observe_encoder(fate: Fate) -> None:
    """Let every group that the embed stage encodes in this process count as one."""
    from slipway.chunking import chunk_hash
    from slipway.stages import embed

    load = embed.load_encoder

    class Observed:
        def __init__(self, encoder: TextEncoder) -> None:
            self._encoder = encoder

        def __getattr__(self, name: str) -> Any:
            return getattr(self._encoder, name)

        def encode_documents(self, texts: Sequence[str]) -> Vectors:
            if fate.stage != "embed":
                return self._encoder.encode_documents(texts)
            return fate.group([chunk_hash(text) for text in texts], lambda: self._encoder.encode_documents(texts))

    embed.load_encoder = lambda *given, **named: Observed(load(*given, **named))  # type: ignore[assignment]
