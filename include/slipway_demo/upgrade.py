"""The demo of an upgrade, headless: from a small static model to MiniLM and back, by Airflow and its approval.

Two readers search all the while. What is shown: the upgrade is approved over REST and goes live, relevance rises, and
no search fails; the way back is refused by the relevance gate; an index made bad on purpose is refused by the recall
gate; a rollback brings the former model back. The last line is one JSON object.

    python -m slipway_demo.upgrade [FOLDER]          FOLDER: .slipway/upgrade
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slipway_demo.airflow_runs import Runs
from slipway_demo.standalone import Standalone, say
from slipway_demo.surroundings import HOST
from slipway_demo.upgrade_place import COLLECTION, Place, free_port
from slipway_demo.upgrade_reader import Readers, reading

FOLDER = Path(".slipway/upgrade")
SMALL, SMALL_DIMENSION, LARGE = "static", 64, "minilm"
BAD_INDEX = "{spec: 'IVF256,Flat', search: {nprobe: 1}}"
READERS = ("web-1", "web-2")
RUN_S = 3_600.0  # that any one run may take
QUERIES = 20  # golden queries that the readers search by
LOST = "it did not come to a verdict, so it shows nothing"


@dataclass(frozen=True)
class Outcome:
    """What was seen; the last line of the command."""

    upgrade_released: bool
    downgrade_released: bool
    bad_index_released: bool
    failed_queries: int
    rollback_seconds: float

    @property
    def as_promised(self) -> bool:
        """Whether all of it went as it should."""
        refused = not (self.downgrade_released or self.bad_index_released)
        return self.upgrade_released and refused and self.failed_queries == 0


@dataclass
class Trial:
    """The upgrade from the encoder `small`, of which the collection file tells, to `large`, and what comes after it."""

    place: Place
    runs: Runs
    readers: Readers
    small: str
    large: str
    first: Mapping[str, Any]

    def upgrade(self) -> bool:
        """Upgrade, approved by a person over REST. Whether that went live, with relevance that rose, and a report."""
        made = self._campaign("upgrade", {"encoder": self.large})
        if not made["released"]:
            return False
        before, after = (float(one["metrics"]["ndcg_at_10"]) for one in (self.first, made))
        say(f"  nDCG@10 {before:.3f} → {after:.3f}; approved by {made['approval']['who']}; report: {made['report']}")
        moment = self.readers.wait_for(made["release_id"])
        say(f"  both readers serve {made['release_id']} since {time.strftime('%H:%M:%S', time.localtime(moment))}")
        return after > before and made["report"] is not None

    def refused(self, what: str, encoder: str, index: str, gate: str) -> bool:
        """Whether a change that `gate` must refuse was released all the same. Raises where it came to no verdict."""
        # Without a sample, which would refuse a worse encoder before there is an index to judge.
        made = self._campaign(what, {"encoder": encoder, "index": index, "approval": False, "sample": 0})
        if made["released"]:
            return True
        gates = {one["metric"]: one for one in made.get("gates", [])}
        if gate not in gates or gates[gate]["passed"]:
            raise RuntimeError(f"the {what} was not refused by {gate}, but: {made.get('reason', LOST)}")
        for one in gates.values():
            say(f"  {'pass' if one['passed'] else 'FAIL'}  {one['reason']}")
        return False

    def roll_back(self) -> float:
        """Go back to the first release by the DAG. Seconds from asking for it until both readers serve it."""
        began = time.time()
        dag_id, run_id = f"{COLLECTION}__rollback", "demo-rollback"
        self.runs.start(dag_id, run_id, {"reason": "the demo goes back"})
        back = self.readers.wait_for(self.first["release_id"], RUN_S) - began
        if (state := self.runs.wait(dag_id, run_id, RUN_S)) != "success":
            raise RuntimeError(f"the rollback ended {state}")
        return back

    def _campaign(self, what: str, form: Mapping[str, Any]) -> dict[str, Any]:
        dag_id, run_id = f"{COLLECTION}__reindex", f"demo-{what.replace(' ', '-')}"
        began = time.monotonic()
        self.runs.start(dag_id, run_id, {"reason": f"the demo's {what}", **form})
        state = self.runs.wait(dag_id, run_id, RUN_S, lambda: self._approve(dag_id, run_id))
        say(f"{what}: {state} after {time.monotonic() - began:.0f} s")
        made = self.place.result(f"reindex-{run_id}")
        if made.get("reason"):
            say(f"  {made['reason']}")
        return made

    def _approve(self, dag_id: str, run_id: str) -> None:
        question = self.runs.question(dag_id, run_id, "approve")
        if question is not None:
            say(f"  asked: {question['subject']}")
            self.runs.answer(dag_id, run_id, "approve", "Approve", {"comment": "the demo approves", "override": ""})


def show(place: Place, queries: Sequence[str], small: str, large: str, bad_index: str = BAD_INDEX) -> Outcome:
    """Run the whole demo at a place that has begun (see Place.begin), with an Airflow of its own."""
    airflow, port = Standalone(place.folder / "airflow"), free_port()
    api = airflow.start(place.environment(port), f"http://{HOST}:{port}", f"{COLLECTION}__reindex")
    try:
        runs = Runs(api)
        first = _first_night(place, runs)
        with reading(place.store_url, READERS, queries, place.folder / "readers") as readers:
            readers.wait_for(first["release_id"])
            trial = Trial(place, runs, readers, small, large, first)
            upgraded = trial.upgrade()
            back = trial.refused("way back", small, "", "ndcg_at_10")
            bad = trial.refused("bad index", large, bad_index, "recall_at_10")
            seconds = trial.roll_back()
            say(f"rollback: both readers are back after {seconds:.1f} s")
        failed = sum(one["failed"] for one in readers.ended)
        say(f"{sum(one['queries'] for one in readers.ended):,} searches by {len(READERS)} readers, {failed} failed")
    finally:
        airflow.session.stop()
    return Outcome(upgraded, back, bad, failed, round(seconds, 2))


def _first_night(place: Place, runs: Runs) -> dict[str, Any]:
    dag_id, run_id = f"{COLLECTION}__nightly", "demo-night"
    began = time.monotonic()
    runs.start(dag_id, run_id, {"reason": "the demo's first night"})
    state = runs.wait(dag_id, run_id, RUN_S)
    made = place.result(run_id)
    say(f"first night: {state} after {time.monotonic() - began:.0f} s, {made.get('documents', 0):,} documents")
    if state != "success":
        raise RuntimeError(
            f"the first night ended {state}: {made.get('reason')}; see {place.folder / 'airflow' / 'logs'}"
        )
    return made


def pydocs(project: Path, folder: Path) -> Place:
    """The place of the demo's own collection, with MiniLM's vectors of `make demo` where that has run."""
    from slipway.config.load import named_encoder
    from slipway.encoders import find_model
    from slipway_demo.fill import data_folder, fill

    sources = folder / "sources"
    fill(sources)
    shipped = project / "include" / "collections"
    described = yaml.safe_load((shipped / f"{COLLECTION}.yaml").read_text(encoding="utf-8"))
    described |= {
        "encoder": SMALL,
        "schedule": None,
        "golden": {"queries": str(project / "include/golden/pydocs.jsonl")},
    }
    described["sources"][1]["path"] = str(data_folder(sources))
    # No floors that were set for MiniLM, and no latency that two readers on the same cores would decide.
    described["gates"] = {"recall_at_10": 0.95, "ndcg_at_10": {"max_drop": 0.02}, "documents": 5000}
    place = Place(folder, project, {"pydocs_db": f"sqlite:///{sources / 'pydocs.db'}"})
    place.begin(described, {SMALL: SMALL_DIMENSION})
    found = place.take_vectors(
        find_model(named_encoder(shipped, LARGE)).fingerprint, project / ".slipway" / "store" / COLLECTION
    )
    say("MiniLM's vectors are taken from the demo's store." if found else "MiniLM embeds everything, for some minutes.")
    return place


def golden_queries(file: Path) -> list[str]:
    """The first queries of a golden file."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [str(json.loads(line)["query"]) for line in lines[:QUERIES]]


def main(arguments: list[str]) -> int:
    """Run it on `pydocs`. 0: all went as promised; 1: it did not."""
    signal.signal(signal.SIGTERM, _end)  # the default would leave Airflow and the readers behind
    project = Path.cwd()
    place = pydocs(project, (Path(arguments[0]) if arguments else FOLDER).resolve())
    outcome = show(place, golden_queries(project / "include/golden/pydocs.jsonl"), SMALL, LARGE)
    say(json.dumps(vars(outcome)))
    return 0 if outcome.as_promised else 1


def _end(number: int, frame: Any) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
