from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from slipway import layout
from slipway.errors import (
    ConflictError,
    CorruptObject,
    GateRefused,
    InputError,
    ObjectMissing,
    ReleaseRefused,
    SlipwayError,
    StateUnknown,
    StoreUnreachable,
)
from slipway.index import artifact
from slipway.manifest import Draft, Manifest, load
from slipway.pointer import audit_trail, read_serving
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.serving.loading import load_release, manifest_sum
from slipway.stages.release import Released, name_release, release, seal_release
from slipway.storage import LocalStore
from tests.support.crashing_store import CrashingStore, Killed
from tests.support.memory_store import MemoryStore
from tests.support.releases import FAILED, PASSED, a_candidate, a_run, again, an_evaluation, publish, unit_vectors
from tests.support.starts import started


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path / "scratch")


def judged(run: Run, seed: int = 0) -> tuple[Manifest, Manifest]:
    candidate = a_candidate(run, seed)
    return candidate, an_evaluation(run, candidate)


def put_live(run: Run, made: tuple[Manifest, Manifest], generation: int | None = None) -> Released:
    now = read_serving(run.store)[0].generation if generation is None else generation
    return release(run, *made, PASSED, now, "tester", "because")


def live(run: Run) -> str | None:
    found = read_serving(run.store)[0].live_release
    return found.release_id if found else None


def writes(run: Run) -> list[tuple[str, str]]:
    return [call for call in run.store.calls if call[0] in {"put", "put_if", "upload", "copy", "delete"}]


def test_a_candidate_becomes_the_live_release(run: Run) -> None:
    candidate, evaluation = judged(run)
    made = put_live(run, (candidate, evaluation))
    assert made == Released(True, name_release(candidate, evaluation), 1, "live in slot blue")
    assert made.release_id.startswith(candidate.created_at[:4])
    sealed = load(run.store, layout.release(made.release_id))
    assert {one.name for one in sealed.objects} == {
        artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS, artifact.ENCODER, artifact.SMOKE,
    }  # fmt: skip
    assert {one.sha256 for one in candidate.objects} < {one.sha256 for one in sealed.objects}
    assert sealed.inputs == {"candidate": candidate.digest, "evaluation": evaluation.digest}
    assert sealed.facts["metrics"] == {"recall_at_10": 1.0}
    assert sealed.facts["gates"] == PASSED.as_json()
    assert (sealed.facts["run_id"], sealed.facts["encoder"]) == ("run-1", "e" * 16)
    changed = read_serving(run.store)[0].changed
    assert changed is not None
    assert (changed.action, changed.who, changed.why, changed.run_id) == ("release", "tester", "because", "run-1")


def test_what_the_run_was_allowed_is_kept_in_the_audit_trail(run: Run) -> None:
    put_live(run, judged(run))
    put_live(started(again(run, "run-2"), "changes", "deletes"), judged(run, 2))
    assert [one["changed"]["allowed"] for one in audit_trail(run.store)] == [[], ["changes", "deletes"]]
    changed = read_serving(run.store)[0].changed
    assert changed is not None
    assert changed.allowed == ("changes", "deletes")


def test_a_release_needs_nothing_of_its_candidate_any_more(run: Run, tmp_path: Path) -> None:
    candidate, evaluation = judged(run)
    made = put_live(run, (candidate, evaluation))
    for place in (candidate.place, evaluation.place):
        for info in list(run.store.list(f"{place}/")):
            run.store.delete(info.key)
    assert load_release(run.store, made.release_id, tmp_path / "cache").searcher.documents == 40


def test_the_pointer_is_swapped_last(run: Run) -> None:
    made = judged(run)
    del run.store.calls[:]
    put_live(run, made)
    keys = [key for _, key in writes(run)]
    assert keys[-2:] == ["serving.json", "audit/00000001.json"]
    assert keys[-3].endswith("/manifest.json")
    assert all(key.startswith("releases/") for method, key in writes(run)[:-2] if method != "copy")


def test_a_failed_gate_is_refused_with_its_reason_and_changes_nothing(run: Run) -> None:
    put_live(run, judged(run))
    before = run.store.read(layout.SERVING).body
    candidate, evaluation = judged(run, 1)
    del run.store.calls[:]
    with pytest.raises(GateRefused, match=r"the candidate was refused: ndcg_at_10 0.1: under the minimum 0.3$"):
        release(run, candidate, evaluation, FAILED, 1, "tester", "because")
    assert writes(run) == []
    assert run.store.read(layout.SERVING).body == before


def test_an_evaluation_of_another_candidate_is_refused(run: Run) -> None:
    first, second = judged(run, 1), judged(run, 2)
    del run.store.calls[:]
    with pytest.raises(ReleaseRefused, match="the evaluation is of another candidate"):
        put_live(run, (first[0], second[1]))
    assert writes(run) == []


def test_a_run_that_began_before_somebody_else_released_is_stale(run: Run) -> None:
    made = judged(run, 1)
    put_live(again(run, "run-2"), judged(run, 2))
    del run.store.calls[:]
    with pytest.raises(ReleaseRefused, match=r"is at generation 1, it was at 0 when this run began"):
        put_live(run, made, generation=0)
    assert writes(run) == []
    assert live(run) == name_release(*judged(run, 2))


def test_a_run_that_becomes_stale_in_the_last_moment_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made, other = judged(run, 1), judged(run, 2)
    between(monkeypatch, lambda: put_live(again(run, "run-2"), other))
    with pytest.raises(ReleaseRefused, match="this run is stale"):
        put_live(run, made, generation=0)
    assert live(run) == name_release(*other)


def between(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen once, after the release was read back and before the swap."""
    from slipway.stages import release as module

    def swap(*arguments: Any) -> Any:
        monkeypatch.undo()
        happens()
        return module.swap_serving(*arguments)

    monkeypatch.setattr(module, "swap_serving", swap)


def test_a_swap_that_is_lost_in_the_store_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    between(monkeypatch, lambda: run.store.fail_next("put_if", ConflictError("first")))
    with pytest.raises(ReleaseRefused, match="changed by somebody else at the same moment"):
        put_live(run, judged(run))
    assert live(run) is None


def test_the_same_candidate_again_changes_nothing(run: Run) -> None:
    made = judged(run)
    first = put_live(run, made)
    del run.store.calls[:]
    second = put_live(again(run, "run-2"), made)
    assert second == Released(False, first.release_id, 1, "nothing changed: the candidate is the live release")
    assert writes(run) == []


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("step", range(8))
def test_a_retry_after_a_kill_at_any_write_ends_with_the_release_live(tmp_path: Path, step: int, landed: bool) -> None:
    store = CrashingStore()
    run = a_run(store, tmp_path / "scratch")
    made = judged(run)
    store.die_at, store.landed = step, landed
    with pytest.raises(Killed):
        put_live(run, made, generation=0)
    assert live(run) in {None, name_release(*made)}
    again = put_live(run, made, generation=0)
    assert (again.released, again.release_id, again.generation) == (True, name_release(*made), 1)
    load_release(store, again.release_id, tmp_path / "cache", manifest_sum(store, again.release_id))


def test_a_retry_after_a_lost_answer_tells_that_it_is_live(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = judged(run)

    original = run.store.put_if

    def put_if(key: str, body: bytes, expected: str | None) -> str:
        version = original(key, body, expected)
        if key == layout.SERVING:
            monkeypatch.undo()
            raise StateUnknown("no answer")
        return version

    monkeypatch.setattr(run.store, "put_if", put_if)
    with pytest.raises(StateUnknown):
        put_live(run, made, generation=0)
    assert put_live(run, made, generation=0) == Released(True, name_release(*made), 1, "live in slot blue")


class Careless(MemoryStore):
    """Copies with one bit flipped, in the objects it is told."""

    spoils = ""

    def copy(self, key: str, destination: str) -> None:
        super().copy(key, destination)
        if self.spoils and key.endswith(self.spoils):
            body = bytearray(self.read(destination).body)
            body[len(body) // 3] ^= 8
            self.put(destination, bytes(body))


@pytest.mark.parametrize("name", [artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS, artifact.ENCODER, artifact.SMOKE])
def test_a_copy_that_was_damaged_on_the_way_does_not_go_live(tmp_path: Path, name: str) -> None:
    store = Careless()
    run = a_run(store, tmp_path / "scratch")
    put_live(run, judged(run, 1))
    before = store.read(layout.SERVING).body
    store.spoils = name
    with pytest.raises(CorruptObject, match=rf"{name} has SHA-256"):
        put_live(again(run, "run-2"), judged(run, 2))
    assert store.read(layout.SERVING).body == before


def test_what_is_read_back_is_what_lies_in_the_store_and_not_in_a_former_attempts_files(tmp_path: Path) -> None:
    store = CrashingStore()
    run = a_run(store, tmp_path / "scratch")
    made = judged(run)
    store.die_at = 6  # five copies and the manifest are written; the swap is not
    with pytest.raises(Killed):
        put_live(run, made)
    assert live(run) is None
    sealed = load(store, layout.release(name_release(*made)))
    body = store.read(sealed.one(artifact.ROWS).key).body
    store.put(sealed.one(artifact.ROWS).key, body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(CorruptObject):
        put_live(run, made)
    assert live(run) is None


def test_an_index_that_does_not_answer_its_smoke_queries_does_not_go_live(run: Run) -> None:
    candidate = a_candidate(run, 1)
    evaluation = an_evaluation(run, candidate)
    other = an_evaluation(run, a_candidate(run, 2), unit_vectors(4, seed=7))
    mixed = Manifest(
        **{name: getattr(evaluation, name) for name in evaluation.__dataclass_fields__ if name != "objects"},
        objects=other.objects,
    )
    with pytest.raises(ReleaseRefused, match=r"smoke query 0 found seed1-.*; expected seed2-"):
        put_live(run, (candidate, mixed))
    assert live(run) is None


def test_two_runs_that_seal_the_same_release_agree(run: Run) -> None:
    candidate, evaluation = judged(run)
    name = name_release(candidate, evaluation)
    first = seal_release(run, name, candidate, evaluation, PASSED)
    assert seal_release(again(run, "run-2"), name, candidate, evaluation, PASSED) == first


def test_a_rollback_makes_the_standby_live_without_writing_anything_else(run: Run) -> None:
    first, second = publish(run, 1), publish(again(run, "run-2"), 2)
    del run.store.calls[:]
    after = roll_back(run.store, "on-call", "worse answers")
    assert (live(run), after.generation, after.standby_release.release_id) == (first.release_id, 3, second.release_id)
    assert [(name, one.why) for name, one in after.withdrawn.items()] == [(second.release_id, "worse answers")]
    assert after.live_release.manifest_sha256 == manifest_sum(run.store, first.release_id)
    assert {key for _, key in writes(run)} == {"serving.json", "audit/00000002.json", "audit/00000003.json"}
    last = audit_trail(run.store)[-1]["changed"]
    assert (last["action"], last["who"], last["why"]) == ("rollback", "on-call", "worse answers")


def test_a_rolled_back_release_is_not_brought_back_by_the_next_night(run: Run) -> None:
    first = publish(run, 1)
    made = judged(run, 2)
    second = put_live(again(run, "run-2"), made)
    roll_back(run.store, "on-call", "worse answers")
    with pytest.raises(ReleaseRefused, match=r"was withdrawn \(worse answers\) and nothing has changed since"):
        put_live(again(run, "run-3"), made)
    assert live(run) == first.release_id
    roll_back(run.store, "on-call", "it was not that", to=second.release_id)
    assert live(run) == second.release_id
    assert put_live(again(run, "run-4"), made).released is False


def test_a_withdrawn_candidate_does_not_come_back_with_other_search_parameters(run: Run) -> None:
    first = publish(run, 1)
    candidate, evaluation = judged(run, 2)
    put_live(again(run, "run-2"), (candidate, evaluation))
    roll_back(run.store, "on-call", "worse answers")
    tuned = replace(evaluation, facts={**evaluation.facts, "parameters": {"efSearch": 99}})
    assert name_release(candidate, tuned) != name_release(candidate, evaluation)
    with pytest.raises(ReleaseRefused, match=r"was withdrawn \(worse answers\) and nothing has changed since"):
        put_live(again(run, "run-3"), (candidate, tuned))
    assert live(run) == first.release_id


def test_after_a_rollback_a_changed_candidate_is_released(run: Run) -> None:
    publish(run, 1)
    publish(again(run, "run-2"), 2)
    roll_back(run.store, "on-call", "worse answers")
    third = publish(again(run, "run-3"), 3)
    assert (third.released, live(run)) == (True, third.release_id)


def test_an_older_release_can_be_rolled_back_to(run: Run) -> None:
    made = [publish(again(run, f"run-{seed}"), seed).release_id for seed in range(3)]
    roll_back(run.store, "on-call", "both are bad", to=made[0])
    assert live(run) == made[0]
    publish(again(run, "run-9"), 9)


@pytest.mark.parametrize("why", ["", "  ", "\n"])
def test_a_rollback_needs_a_reason(run: Run, why: str) -> None:
    publish(run, 1)
    publish(again(run, "run-2"), 2)
    with pytest.raises(ReleaseRefused, match="needs a reason"):
        roll_back(run.store, "on-call", why)
    assert read_serving(run.store)[0].generation == 2


def test_there_must_be_something_to_go_back_to(run: Run) -> None:
    with pytest.raises(ReleaseRefused, match="no standby release"):
        roll_back(run.store, "on-call", "panic")
    first = publish(run, 1)
    with pytest.raises(ReleaseRefused, match="no standby release"):
        roll_back(run.store, "on-call", "panic")
    with pytest.raises(ReleaseRefused, match=f"{first.release_id} is live already"):
        roll_back(run.store, "on-call", "panic", to=first.release_id)


def refuses_rollback(run: Run, to: str | None, match: str, error: type[SlipwayError] = ReleaseRefused) -> None:
    before = run.store.read(layout.SERVING).body
    with pytest.raises(error, match=match):
        roll_back(run.store, "on-call", "worse", to)
    assert run.store.read(layout.SERVING).body == before


def test_a_release_that_is_not_there_cannot_be_rolled_back_to(run: Run) -> None:
    publish(run, 1)
    refuses_rollback(run, "20200101T000000-abcdefgh", "there is no release 20200101T000000-abcdefgh")
    refuses_rollback(run, "../serving.json", "it contains", InputError)


def test_a_release_that_is_not_whole_cannot_be_rolled_back_to(run: Run) -> None:
    first = publish(run, 1)
    publish(again(run, "run-2"), 2)
    sealed = load(run.store, layout.release(first.release_id))
    index = sealed.one(artifact.INDEX).key
    body = run.store.read(index).body
    run.store.put(index, body[:-1])
    refuses_rollback(run, None, r"not whole: .*index.faiss is missing or cut short")
    run.store.delete(index)
    refuses_rollback(run, None, r"not whole: .*index.faiss is missing or cut short")
    run.store.put(index, body)
    manifest = run.store.read(f"{sealed.place}/manifest.json").body
    run.store.delete(f"{sealed.place}/manifest.json")
    refuses_rollback(run, None, r"is not whole: it has no manifest")
    run.store.put(f"{sealed.place}/manifest.json", manifest)
    assert roll_back(run.store, "on-call", "worse").live_release.release_id == first.release_id


def test_a_standby_whose_manifest_was_altered_cannot_be_rolled_back_to(run: Run) -> None:
    first = publish(run, 1)
    publish(again(run, "run-2"), 2)
    key = f"{layout.release(first.release_id)}/manifest.json"
    run.store.put(key, run.store.read(key).body.replace(b"run-1", b"run-7"))
    refuses_rollback(run, None, "manifest.json has SHA-256 .*serving.json says", CorruptObject)


def test_a_release_cut_short_before_its_manifest_cannot_be_rolled_back_to(tmp_path: Path) -> None:
    store = CrashingStore()
    run = a_run(store, tmp_path / "scratch")
    publish(run, 1)
    made = judged(run, 2)
    store.die_at = 3
    with pytest.raises(Killed):
        put_live(run, made)
    refuses_rollback(run, name_release(*made), "it has no manifest, as its run was cut short")


def test_an_unreachable_store_changes_nothing(run: Run) -> None:
    made = judged(run)
    for method in ("read", "copy", "put_if", "download"):
        run.store.fail_next(method, StoreUnreachable("gone"))
        with pytest.raises(StoreUnreachable):
            put_live(run, made, generation=0)
        assert live(run) is None
    assert put_live(run, made, generation=0).released


def test_it_works_in_a_folder(tmp_path: Path) -> None:
    run = a_run(LocalStore(tmp_path / "store"), tmp_path / "scratch")
    first, second = publish(run, 1), publish(again(run, "run-2"), 2)
    assert live(run) == second.release_id
    roll_back(run.store, "on-call", "worse")
    assert live(run) == first.release_id
    assert not list((tmp_path / "scratch").glob("read-back*"))


class Serving(RuleBasedStateMachine):
    """Whatever people and crashes do, what is live is a whole release that somebody released."""

    @initialize()
    def begin(self) -> None:
        self.folder = TemporaryDirectory()
        self.store = CrashingStore()
        self.base = a_run(self.store, Path(self.folder.name))
        self.made = [judged(self.base, seed) for seed in range(3)]
        self.names = {name_release(*made) for made in self.made}
        self.runs = 0
        self.trail: list[dict[str, Any]] = []

    @rule(seed=st.integers(0, 2), stale=st.integers(0, 3), die_at=st.none() | st.integers(0, 9), landed=st.booleans())
    def release(self, seed: int, stale: int, die_at: int | None, landed: bool) -> None:
        self.runs += 1
        run = again(self.base, f"run-{self.runs}")
        generation = max(0, read_serving(self.store)[0].generation - max(0, stale - 2))
        self.attempt(die_at, landed, lambda: put_live(run, self.made[seed], generation))

    @rule(
        to=st.none() | st.integers(0, 2) | st.just("unknown"),
        die_at=st.none() | st.integers(0, 3),
        landed=st.booleans(),
    )
    def go_back(self, to: int | str | None, die_at: int | None, landed: bool) -> None:
        target = name_release(*self.made[to]) if isinstance(to, int) else to
        self.attempt(die_at, landed, lambda: roll_back(self.store, "tester", "because", target))

    def attempt(self, die_at: int | None, landed: bool, act: Callable[[], object]) -> None:
        before = read_serving(self.store)[0]
        self.store.die_at, self.store.landed = die_at, landed
        try:
            act()
        except (ReleaseRefused, Killed) as error:
            if isinstance(error, ReleaseRefused):
                assert read_serving(self.store)[0] == before
        finally:
            self.store.die_at = None
        assert read_serving(self.store)[0].generation in {before.generation, before.generation + 1}

    @invariant()
    def what_is_live_is_whole(self) -> None:
        serving = read_serving(self.store)[0]
        if serving.live_release is None:
            assert serving.generation == 0
            return
        assert serving.live_release.release_id in self.names
        assert serving.live_release.release_id not in serving.withdrawn
        assert serving.standby_release is None or serving.standby_release.release_id in self.names
        slot = serving.live_release
        load_release(self.store, slot.release_id, Path(self.folder.name) / "cache", slot.manifest_sha256)

    @invariant()
    def every_change_but_the_last_is_recorded_for_good(self) -> None:
        trail = audit_trail(self.store)
        generation = read_serving(self.store)[0].generation
        assert [record["generation"] for record in trail] == list(range(1, len(trail) + 1))
        assert len(trail) in {generation, max(0, generation - 1)}
        assert trail[: len(self.trail)] == self.trail
        self.trail = trail

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestServing = Serving.TestCase
TestServing.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


def test_what_is_gone_from_the_store_is_named(run: Run) -> None:
    candidate, evaluation = judged(run)
    run.store.delete(candidate.one(artifact.INDEX).key)
    with pytest.raises(ObjectMissing, match=artifact.INDEX):
        put_live(run, (candidate, evaluation))
    assert live(run) is None


def test_what_was_seen_of_noise_is_kept_and_makes_no_other_release(run: Run) -> None:
    candidate = a_candidate(run)
    evaluation = an_evaluation(run, candidate)
    comparison = Draft(run.store, layout.comparison("1"), "compare", "1").seal({}, {"noise": {"ndcg_at_10": 0.01}})
    release_id = name_release(candidate, evaluation)
    seal_release(run, release_id, candidate, evaluation, PASSED, comparison)
    assert release(run, candidate, evaluation, PASSED, 0, "ann", "because").released
    assert load(run.store, layout.release(release_id)).facts["noise"] == {"ndcg_at_10": 0.01}
