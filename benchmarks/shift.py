"""A night of the demo's collection with a gradual shift, while two reader processes search all the while.

    make demo && python benchmarks/shift.py

Works on copies of the demo's store and database. One night changes twenty documents and is released through the shares
10, 50 and 100. Then comes a release that is made bad on purpose: its vectors stand in a wrong order, and every
checksum is right. The release stage must refuse it; and where that check is left out, the readers must, and the shift
must take it back. No query may fail meanwhile. Then a rollback is timed, until the swap and until all readers follow.

Prints what happened, and as the last line one JSON object: released, shares, refused_by_release_stage, taken_back,
queries, failed_queries, rollback_seconds, readers_followed_seconds. The exit status is 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

import yaml

from slipway.config import load_collection
from slipway.run import Connection

ROOT = Path(__file__).resolve().parents[1]
SHIFT = {"shift": [10, 50, 100], "step_minutes": 0.2, "wait_minutes": 2, "min_queries": 100, "max_latency_ratio": 10}
CHANGED = 20  # documents


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=ROOT / ".slipway", help="what make demo made")
    demo = parser.parse_args().demo
    if not (demo / "store/pydocs/serving.json").is_file():
        print(f"{demo} holds no release of pydocs; run make demo first", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="slipway-shift-") as name:
        return _run(demo, Path(name))


def _run(demo: Path, folder: Path) -> int:
    from benchmarks.shifts.trial import prove

    for part in ("store", "demo"):
        shutil.copytree(demo / part, folder / part)
    collection = load_collection(_described(folder), "pydocs")
    database = folder / "demo/pydocs.db"
    proved = prove(
        collection,
        str(folder / "store/pydocs"),
        lambda name: Connection(name, f"sqlite:///{database}"),
        lambda: _change(database),
        folder,
    )
    print(json.dumps(proved.as_json()))
    return 0 if proved.is_kept else 1


def _described(folder: Path) -> Path:
    """A folder with the demo's collection file, whose release shifts and whose paths are those of the copies."""
    raw = yaml.safe_load((ROOT / "include/collections/pydocs.yaml").read_text())
    raw["release"] = SHIFT
    raw["golden"]["queries"] = str(ROOT / "include/golden/pydocs.jsonl")
    for source in raw["sources"]:
        if source["kind"] == "lake":
            source["path"] = str(folder / "demo/guides")
    collections = folder / "collections"
    collections.mkdir()
    (collections / "pydocs.yaml").write_text(yaml.safe_dump(raw))
    return collections


def _change(database: Path) -> None:
    with sqlite3.connect(database) as session:
        session.execute(
            "UPDATE documents SET doc = doc || ' Changed in the night of the shift.' "
            "WHERE id IN (SELECT id FROM documents ORDER BY id LIMIT ?)",
            (CHANGED,),
        )


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
