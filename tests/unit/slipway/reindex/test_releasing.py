"""From a verdict to what is live, and the nights that come after it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from slipway import checkpoint, decisions, layout, lease, reindex, report
from slipway.decisions import Approval
from slipway.errors import (
    BreakerTripped,
    CorruptObject,
    EncoderError,
    GateRefused,
    InputError,
    NotApproved,
    ReleaseRefused,
    RunInProgress,
)
from slipway.evaluation.gates import GateResult, Verdict
from slipway.lease import Holder
from slipway.manifest import Manifest, find, load
from slipway.pointer import audit_trail, read_serving
from slipway.reindex import Answer, Judged, releasing
from slipway.reindex.campaign import Ask
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.stages.release import Released
from tests.support.campaigns import NEW, OLD, TEXTS, Project, a_project, asked
from tests.support.memory_store import MemoryStore

YES = Answer(True, "ann", "looks right")
MADE = ("candidates/", "evaluations/", "comparisons/", "drift/")
REPORTS = ("campaign", "campaign.2")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = a_project(tmp_path, MemoryStore(), monkeypatch)
    golden = project.judge(dict(list(TEXTS.items())[:30]))
    project.write(golden={"queries": str(golden)}, gates={"recall_at_10": 0.9, "exact_hit_rate_at_10": 0.9})
    project.night("night-1")
    return project


def begun(project: Project, run_id: str = "campaign", **changes: Any) -> Run:
    run = project.run(run_id)
    reindex.begin(run, asked(**changes), project.collections)
    return run


def approved(run: Run, answer: Answer = YES) -> Approval:
    return reindex.decide(run, reindex.judge(run, reindex.build(run)), answer)


def released(run: Run, approval: Approval, generation: int = 1) -> Released:
    return reindex.release(run, reindex.asked_of(run), approval, generation)


def upgraded(project: Project, run_id: str = "campaign", **changes: Any) -> Released:
    run = begun(project, run_id, **changes)
    approval = reindex.decide(run, reindex.judge(run, reindex.build(run)), YES)
    return reindex.release(run, reindex.asked_of(run), approval, 1)


def live_release(project: Project) -> Manifest:
    slot = read_serving(project.store)[0].live_release
    assert slot
    return load(project.store, layout.release(slot.release_id))


def live_encoder(project: Project) -> str:
    return str(live_release(project).facts["dimension"])


def test_the_approved_candidate_is_live_with_its_approval_in_the_audit(project: Project) -> None:
    done = upgraded(project)
    assert (done.released, live_encoder(project)) == (True, "12")
    change = audit_trail(project.store)[-1]["changed"]
    assert (change["why"], change["who"], change["run_id"]) == ("a better model", "tester", "campaign")
    assert change["allowed"][-1] == "approval"
    (told,) = decisions.all(project.store)
    assert (told["run_id"], told["approved"], told["outcome"]) == ("campaign", True, "pass")
    assert (told["who"], told["comment"]) == ("ann", "looks right")
    assert told["candidate"] == live_release(project).facts["candidate"]
    assert told["report"] == layout.report("campaign")
    assert lease.read_lease(project.store)[0].state == "free"  # type: ignore[union-attr]


def test_a_release_that_is_asked_for_again_is_the_same(project: Project) -> None:
    done = upgraded(project)
    run = project.run("campaign")
    approval = Approval(True, "ann", "looks right", "2026-01-01T00:00:00+00:00", "pass")
    assert reindex.release(run, reindex.asked_of(run), approval, 1) == done
    assert read_serving(project.store)[0].generation == done.generation


def test_a_release_that_is_asked_for_again_after_a_night_is_told_as_it_was(project: Project) -> None:
    run = begun(project)
    approval = approved(run)
    done = released(run, approval)
    project.put({**TEXTS, "900": "a paper that came at night"})
    project.night("night-2")
    again = released(run, approval)
    assert (again.released, again.release_id, again.generation) == (True, done.release_id, done.generation)
    assert read_serving(project.store)[0].generation == done.generation + 1


def test_a_retry_does_not_bring_back_an_upgrade_that_was_rolled_back(project: Project) -> None:
    run = begun(project)
    approval = approved(run)
    released(run, approval)
    roll_back(project.store, "bob", "bad answers")
    project.put({**TEXTS, "900": "a paper that came at night"})
    project.night("night-2")
    with pytest.raises(ReleaseRefused, match=r"at generation 2, and bob rolled back .*generation 3, .*bad answers"):
        released(run, approval)
    assert live_encoder(project) == "8"
    withdrawn = next(iter(read_serving(project.store)[0].withdrawn))
    roll_back(project.store, "bob", "good after all", withdrawn)
    assert released(run, approval).release_id == withdrawn


def test_a_damaged_record_since_the_beginning_is_told(project: Project) -> None:
    run = begun(project)
    approval = approved(run)
    project.put({**TEXTS, "900": "a paper that came at night"})
    project.night("night-2")
    project.put({**TEXTS, "901": "a paper of the night after"})
    project.night("night-3")
    project.store.put(layout.audit(2), b"{")
    with pytest.raises(CorruptObject, match=r"audit/.*2.json"):
        released(run, approval)


@pytest.fixture
def halved(project: Project) -> Project:
    """A night was allowed to delete what the source had lost."""
    golden = {"queries": str(project.folder / "golden.jsonl")}
    limits = {"deleted_share": 0.1, "changed_share": 1.0}
    project.write(golden=golden, gates={"recall_at_10": 0.9}, limits=limits)
    project.put(dict(list(TEXTS.items())[:25]))
    project.night("night-2", allowed=frozenset({"deletes"}))
    return project


def test_what_a_rollback_during_the_campaign_withdrew_does_not_come_back_by_it(halved: Project) -> None:
    run = begun(halved)
    approval = approved(run)
    roll_back(halved.store, "bob", "the export lost documents")
    with pytest.raises(ReleaseRefused, match=r"at generation 2, and since then bob rolled back .*lost documents"):
        released(run, approval, 2)
    assert live_release(halved).counts["documents"] == len(TEXTS)


def test_what_a_night_may_not_delete_a_campaign_may_not_either(halved: Project) -> None:
    roll_back(halved.store, "bob", "the export lost documents")
    run = begun(halved)
    for part in (reindex.plan, reindex.build):
        with pytest.raises(BreakerTripped, match=r"start a nightly run \(a campaign allows .* with --allow-deletes"):
            part(run)
    assert {space for space, _ in halved.embedded} == {OLD}


def test_what_nights_changed_since_the_verdict_goes_live_too(project: Project) -> None:
    run = begun(project)
    approval = reindex.decide(run, reindex.judge(run, reindex.build(run)), YES)
    project.put({**TEXTS, "900": "a paper that came at night"})
    project.night("night-2")
    done = reindex.release(run, reindex.asked_of(run), approval, 1)
    assert load(project.store, layout.release(done.release_id)).counts["documents"] == len(TEXTS) + 1


def test_a_night_at_work_is_not_disturbed(project: Project) -> None:
    run = begun(project)
    approval = reindex.decide(run, reindex.judge(run, reindex.build(run)), YES)
    with (
        lease.alone(project.store, Holder("night-2", "tester", "nightly run", lease.this_process())),
        pytest.raises(RunInProgress, match="night-2"),
    ):
        reindex.release(run, reindex.asked_of(run), approval, 1)
    assert live_encoder(project) == "8"


def test_a_gate_that_fails_now_is_not_covered_by_an_approval_of_its_pass(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(project)
    approval = reindex.decide(run, reindex.judge(run, reindex.build(run)), YES)
    failed = Verdict((GateResult("recall_at_10", 0.1, False, "recall_at_10 0.1: under the minimum 0.9"),))
    monkeypatch.setattr(releasing, "judge", lambda run, built, seconds: reindex.Judged(failed))
    with pytest.raises(GateRefused, match=r"judged again .* under the minimum"):
        reindex.release(run, reindex.asked_of(run), approval, 1)
    assert live_encoder(project) == "8"


def test_a_gate_that_was_overridden_stays_overridden(project: Project) -> None:
    project.write(golden={"queries": str(project.folder / "golden.jsonl")}, gates={"p95_ms": {"max": 1e-9}})
    run = begun(project)
    judged = reindex.judge(run, reindex.build(run))
    with pytest.raises(InputError, match="failed and are not named as overridden: p95_ms"):
        reindex.decide(run, judged, YES)
    approval = reindex.decide(run, judged, Answer(True, "ann", "latency does not matter here", ("p95_ms",)))
    assert reindex.release(run, reindex.asked_of(run), approval, 1).released
    assert audit_trail(project.store)[-1]["changed"]["allowed"][-2:] == ["approval", "override of p95_ms"]


def test_a_gate_that_was_let_pass_undecided_is_named_in_the_audit(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = [
        GateResult("ndcg_at_10", 0.4, False, "ndcg_at_10: too few queries to tell", undecided=True),
        GateResult("mrr_at_10", 0.4, True, "mrr_at_10: undecided, which was allowed", undecided=True),
    ]
    unsure = reindex.Judged(Verdict(tuple(gates)))
    monkeypatch.setattr(releasing, "judge", lambda run, built, seconds: unsure)
    run = begun(project)
    reindex.release(run, reindex.asked_of(run), reindex.decide(run, unsure, YES), 1)
    assert audit_trail(project.store)[-1]["changed"]["allowed"][-2:] == ["approval", "undecided ndcg_at_10"]


def test_another_space_that_went_live_meanwhile_is_refused(project: Project) -> None:
    late = begun(project, "late", index="HNSW32")
    approval = reindex.decide(late, reindex.judge(late, reindex.build(late)), YES)
    upgraded(project)
    with pytest.raises(ReleaseRefused, match="to another vector space"):
        reindex.release(late, reindex.asked_of(late), approval, 1)


def test_a_rejection_is_recorded_and_leaves_only_vectors(project: Project) -> None:
    run = begun(project)
    built = reindex.build(run)
    with pytest.raises(NotApproved, match="ann rejected the candidate: too slow"):
        reindex.decide(run, reindex.judge(run, built), Answer(False, "ann", "too slow"))
    (told,) = decisions.all(project.store)
    assert (told["approved"], told["who"]) == (False, "ann")
    reindex.discard(run)
    assert find(project.store, built.candidate.place) is None
    assert find(project.store, built.evaluation.place) is None
    assert list(project.store.list(f"vectors/{built.candidate.facts['encoder']}/"))
    assert find(project.store, layout.start("campaign"))
    assert project.night("night-2")["nothing_changed"]
    other = begun(project, "other")
    assert reindex.build(other).candidate.place == built.candidate.place
    assert max(project.embedded.values()) == 1


def test_what_a_release_was_made_of_is_never_discarded(project: Project) -> None:
    upgraded(project)
    reindex.discard(project.run("campaign"))
    slot = read_serving(project.store)[0].live_release
    assert slot and slot.candidate
    assert find(project.store, slot.candidate)


def test_nights_follow_the_upgrade_and_say_so_until_the_file_agrees(project: Project) -> None:
    upgraded(project)
    for number in (2, 3, 4):  # until the campaign's own release is in no slot
        project.put({**TEXTS, f"{number}": f"paper of night {number}"})
        made = project.night(f"night-{number}")
        assert made["released"]
        assert "Change `encoder:` in the file to new" in made["note"]
        assert live_encoder(project) == "12"
    golden = {"queries": str(project.folder / "golden.jsonl")}
    project.write(NEW, golden=golden)
    project.put({**TEXTS, "5": "paper of night 5"})
    made = project.night("night-5")
    assert "note" not in made
    assert live_encoder(project) == "12"
    assert {space for (space, text), _ in project.embedded.items() if "night" in text} == {NEW}


def test_nights_follow_a_rollback_of_the_upgrade_too(project: Project) -> None:
    upgraded(project)
    project.write(NEW, golden={"queries": str(project.folder / "golden.jsonl")})
    roll_back(project.store, "ann", "worse than thought")
    project.put({**TEXTS, "2": "paper of night 2"})
    made = project.night("night-2")
    assert made["released"]
    assert "Change `encoder:` in the file to old" in made["note"]
    assert live_encoder(project) == "8"
    project.put({**TEXTS, "3": "paper of night 3"})
    assert "Change `encoder:` in the file to old" in project.night("night-3")["note"]


def test_a_file_with_an_encoder_that_no_release_knows_is_refused(project: Project) -> None:
    project.write(NEW)
    with pytest.raises(EncoderError, match="slipway reindex"):
        project.night("night-2")
    assert {space for space, _ in project.embedded} == {OLD}


def test_nights_keep_the_index_of_a_campaign_until_the_file_is_changed(project: Project) -> None:
    upgraded(project, encoder=OLD, index="HNSW32")
    golden = {"queries": str(project.folder / "golden.jsonl")}
    project.put({**TEXTS, "2": "paper of night 2"})
    made = project.night("night-2")
    assert (made["released"], made["index"]["spec"]) == (True, "HNSW32")
    assert '"spec": "HNSW32"' in made["note"]
    project.write(golden=golden, index={"spec": "HNSW16"})  # somebody's change of the file, which a night follows
    project.put({**TEXTS, "3": "paper of night 3"})
    made = project.night("night-3")
    assert (made["index"]["spec"], "note" in made) == ("HNSW16", False)


def test_a_file_that_names_the_index_of_a_campaign_that_was_rolled_back_is_not_followed(project: Project) -> None:
    upgraded(project, encoder=OLD, index="HNSW32")
    project.write(golden={"queries": str(project.folder / "golden.jsonl")}, index={"spec": "HNSW32"})
    roll_back(project.store, "ann", "slow")
    project.put({**TEXTS, "2": "paper of night 2"})
    made = project.night("night-2")
    assert (made["index"]["spec"], made["released"]) == ("Flat", True)
    assert '"spec": "Flat"' in made["note"]


def test_a_campaign_without_an_index_keeps_the_one_of_a_campaign_before(project: Project) -> None:
    upgraded(project, encoder=OLD, index="HNSW32")
    run = begun(project, "other")
    made = checkpoint.as_started(run).collection
    assert (made.encoder.name, made.index.spec) == (NEW, "HNSW32")
    start = checkpoint.started(run)
    assert start
    assert "with the live release's index, spec HNSW32" in start.note


def campaign(project: Project, run_id: str, ask: Ask, **changes: Any) -> dict[str, Any]:
    return reindex.run_campaign(project.run(run_id), asked(**changes), project.collections, ask)


def test_a_candidate_that_was_withdrawn_is_refused_before_anybody_is_asked(project: Project) -> None:
    upgraded(project)
    roll_back(project.store, "bob", "bad answers")
    with pytest.raises(ReleaseRefused, match=r"was withdrawn \(bad answers\)") as refused:
        campaign(project, "other", lambda made, judged: pytest.fail("somebody was asked"))
    assert refused.value.result
    assert refused.value.result["status"] == "refused"


def test_a_campaign_that_is_refused_at_its_release_leaves_only_vectors(project: Project) -> None:
    def ask(made: dict[str, Any], judged: Judged) -> Answer:
        roll_back(project.store, "bob", "bad answers")
        return YES

    project.put({**TEXTS, "900": "a paper that came at night"})
    project.night("night-2")
    before = {info.key for prefix in MADE for info in project.store.list(prefix)}
    with pytest.raises(ReleaseRefused, match="rolled back"):
        campaign(project, "campaign", ask)
    assert {info.key for prefix in MADE for info in project.store.list(prefix)} == before


def test_the_report_on_what_was_released_has_the_seconds_too(project: Project) -> None:
    def ask(made: dict[str, Any], judged: Judged) -> Answer:
        project.put({**TEXTS, "900": "a paper that came at night"})
        project.night("night-2")
        return YES

    campaign(project, "campaign", ask)
    first, last = (report.read_document(project.store, load(project.store, layout.report(name))) for name in REPORTS)
    assert set(first["seconds"]) <= set(last["seconds"])
    assert "judge" in last["seconds"]


def test_nights_go_on_when_the_model_that_was_replaced_is_removed(project: Project) -> None:
    upgraded(project)
    shutil.rmtree(project.folder / "models" / OLD)
    for number in (2, 3):
        project.put({**TEXTS, f"{number}": f"paper of night {number}"})
        made = project.night(f"night-{number}")
        assert made["released"]
        assert "Change `encoder:` in the file to new" in made["note"]
    assert live_encoder(project) == "12"


def test_nights_find_a_live_model_that_was_moved_by_its_encoder_file(project: Project) -> None:
    upgraded(project)
    (project.folder / "models" / NEW).rename(project.folder / "models" / "moved")
    project.put({**TEXTS, "2": "paper of night 2"})
    with pytest.raises(EncoderError, match=r"change `encoder:` in the collection file to new"):
        project.night("night-2")
    file = project.folder / "encoders" / f"{NEW}.yaml"
    file.write_text(file.read_text().replace(f"models/{NEW}", "models/moved"))
    assert project.night("night-3")["released"]
    assert live_encoder(project) == "12"
