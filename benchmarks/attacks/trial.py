"""One batch of mutations, in a process of its own: what readers made of each, written down before and after it.

    python -m benchmarks.attacks.trial <folder of victims> <result file> <seed> <first> <count>

Each mutation is made to the new release of one of the victims, which serving.json then names. Two readers, one of which
asks for signatures, serve the old release all the while. A line that says "begun" without one that says "ended" names
the mutation that killed the process.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.attacks.mutations import DAMAGE, FORGERY, KINDS, SIGNATURE, files_of, meaning_changed, replace_file
from benchmarks.attacks.victim import OLD, RemoteStore, Victim, encode, naming_new, texts
from slipway.errors import SlipwayError
from slipway.layout import SERVING
from slipway.serving.loading import load_release
from slipway.serving.reader import Reader
from slipway.signing import Trusted
from slipway.storage.local import LocalStore

MEMORY_BYTES = 6 << 30  # of address space: an index that asks for more is refused here, and not by the kernel
QUERIES = 5


@dataclass(frozen=True, slots=True)
class Target:
    """A victim to spoil, what it was, its store, and the two readers that serve its old release.

    Caches lie in `folder`: one a reader, and one for readers that are opened for one mutation.
    """

    victim: Victim
    pristine: Victim
    store: LocalStore
    folder: Path
    trusted: Trusted
    readers: dict[bool, Reader]  # by whether it asks for signatures
    expected: list[list[str]]

    @property
    def cache(self) -> Path:
        """Of readers that are opened for one mutation."""
        return self.folder / "cache"

    def restore(self, number: int) -> None:
        """Make the new release what it was, and serving.json a state that names it."""
        kept = {path.relative_to(self.pristine.folder) for path in files_of(self.pristine)}
        for path in files_of(self.victim):
            if path.relative_to(self.victim.folder) not in kept:
                path.unlink()
        for name in kept:
            body = (self.pristine.folder / name).read_bytes()
            path = self.victim.folder / name
            if not path.is_file() or path.read_bytes() != body:
                replace_file(path, body)
        for copies in (self.cache, *(self.folder / f"{signed}" for signed in self.readers)):
            # a sound copy that was fetched before is as good as the store's, and would hide what was done to that
            shutil.rmtree(copies / "releases" / self.victim.new, ignore_errors=True)
        replace_file(self.victim.folder / SERVING, naming_new(self.pristine, number).to_json())


def open_target(victim: Victim, folder: Path, *, remote: bool) -> Target:
    """Copy a victim, and open two readers on its old release."""
    copied = victim.copied(folder / "store")
    store = RemoteStore(copied.folder) if remote else LocalStore(copied.folder)
    trusted = Trusted.of(victim.public_key)
    readers = {
        signed: Reader(store, folder / f"{signed}", trusted=trusted if signed else None) for signed in (True, False)
    }
    target = Target(copied, victim, store, folder, trusted, readers, [])
    target.expected.extend(answers(readers[True]))
    return target


def answers(reader: Reader) -> list[list[str]]:
    """What a reader finds for some texts of the old release."""
    found = [reader.search(encode(text), 5) for _, text in texts()[OLD][:QUERIES]]
    return [[f"{hit.document_id} {hit.score:.4f} {hit.snippet[:40]}" for hit in hits] for hits in found]


def attack(target: Target, kind: str, drawn: random.Random, number: int) -> tuple[str, list[str]]:
    """Make one mutation that means something; what it is, and what was wrong with how it was taken."""
    while True:
        target.restore(number)
        before = (target.victim.folder / SERVING).read_bytes()
        what = KINDS[kind](target.victim, drawn)
        if changed := meaning_changed(target.victim, target.pristine, before):
            break
    signed = kind not in DAMAGE or changed == {SIGNATURE} or drawn.random() < 0.5
    wrong = [*_refresh(target, signed), *_open(target, signed)]
    if kind in FORGERY:
        wrong += _load_unsigned(target)
    wrong += [
        f"the old release's answers changed (signed={each})" for each in (True, False) if not _serves_old(target, each)
    ]
    return what, wrong


def _serves_old(target: Target, signed: bool) -> bool:
    reader = target.readers[signed]
    return reader.release.release_id == target.victim.old and answers(reader) == target.expected


def _refresh(target: Target, signed: bool) -> list[str]:
    """The reader that serves the old release looks at the new one."""
    try:
        target.readers[signed].refresh()
    except SlipwayError:
        return []
    except Exception as error:
        return [f"CRASH refresh raised {error!r}"[:300]]
    return [f"ACCEPTED by the reader that serves (signed={signed})"]


def _open(target: Target, signed: bool) -> list[str]:
    """A new reader opens what serving.json names."""
    try:
        Reader(target.store, target.cache, trusted=target.trusted if signed else None).close()
    except SlipwayError:
        return []
    except Exception as error:
        return [f"CRASH open raised {error!r}"[:300]]
    return [f"ACCEPTED by a new reader (signed={signed})"]


def _load_unsigned(target: Target) -> list[str]:
    """A forgery whose sums are right, where nobody asks for signatures: it may be taken, and must not kill."""
    try:
        loaded = load_release(target.store, target.victim.new, target.cache)
        for _, text in texts()[OLD][:QUERIES]:
            loaded.searcher.search(encode(text)[None, :], 10)
    except SlipwayError:
        return []
    except Exception as error:
        return [f"CRASH unsigned: {error!r}"[:300]]
    return []


def run_batch(victims: list[Victim], result: Path, seed: int, first: int, count: int) -> None:
    """Mutations `first` to `first + count - 1`, each of which depends on the seed and its number alone."""
    kinds = sorted(KINDS)
    with tempfile.TemporaryDirectory(prefix="slipway-attack-") as folder, result.open("a") as file:
        targets: dict[int, Target] = {}
        for number in range(first, first + count):
            drawn = random.Random(f"{seed} {number}")
            kind, chosen = kinds[number % len(kinds)], number // len(kinds) % (2 * len(victims))
            if chosen not in targets:
                victim = victims[chosen % len(victims)]
                targets[chosen] = open_target(victim, Path(folder) / str(chosen), remote=chosen >= len(victims))
            _tell(file, number=number, kind=kind, event="begun")
            what, wrong = attack(targets[chosen], kind, drawn, number)
            if wrong:  # its readers may serve what they should not: the next one begins with new ones
                shutil.rmtree(Path(folder) / str(chosen))
                del targets[chosen]
            _tell(file, number=number, kind=kind, event="ended", what=what, wrong=wrong)


def _tell(file: Any, **event: Any) -> None:
    file.write(json.dumps(event) + "\n")
    file.flush()


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Let this process ask for no more than `MEMORY_BYTES`."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def main(arguments: list[str]) -> None:
    import faiss

    faiss.omp_set_num_threads(1)
    victims = [
        Victim(**one) for one in json.loads((Path(arguments[0]) / "victims.json").read_text(), object_hook=_paths)
    ]
    with bounded_memory():
        run_batch(victims, Path(arguments[1]), *(int(number) for number in arguments[2:5]))
    os._exit(0)  # what a hostile index left behind may not be freed in order


def _paths(raw: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "folder": Path(raw["folder"])}


if __name__ == "__main__":
    main(sys.argv[1:])
