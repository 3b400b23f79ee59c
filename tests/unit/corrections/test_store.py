"""The store of corrections: whole or not at all, once, bounded, deletable, pseudonymous.

Each of its tests is a few lines on the same fixtures; there are many, which is why this file is long.
"""

import io
import json
import os
import stat
import zipfile
from datetime import datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import delete, insert, update

from pipeline.case.identity import job_id
from pipeline.case.job import JobView
from pipeline.corrections import store as store_module
from pipeline.corrections.export import export_archive, export_cases
from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.readers import counting
from pipeline.corrections.review import agreement, collect_metrics, review_of, reviews_of
from pipeline.corrections.store import CorrectionStore
from pipeline.corrections.verdicts import Verdict
from pipeline.database.engine import database_in
from pipeline.database.tables import CASES, INSTALLATION, PSEUDONYM_KEY, ROLES
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import find_cases
from pipeline.finetune.schedule import due
from pipeline.settings.corrections import CorrectionPolicy
from pipeline.settings.finetune import FinetunePolicy
from tests.unit.corrections.phantom import keep_phantom, phantom, record, write_case


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "feedback", database_in(tmp_path), CorrectionPolicy(held_back_share=0.34))


def _files(tmp_path: Path, name: str = "files") -> Path:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    for suffix in ("t1", "t1ce", "t2", "flair", "seg", "auto"):
        (folder / f"{suffix}.nii.gz").write_bytes(suffix.encode() * 100)
    return folder


def test_the_same_correction_is_kept_once(store: CorrectionStore, tmp_path: Path) -> None:
    first = store.keep(record(1), _files(tmp_path))
    again = store.keep(record(1), _files(tmp_path))
    assert first.id == again.id == f"{4097:016x}-v1"
    assert len(store.cases()) == 1
    assert store.check(first) == store.path(first.id)


def test_another_correction_of_the_study_is_its_next_version(store: CorrectionStore, tmp_path: Path) -> None:
    store.keep(record(1), _files(tmp_path))
    second = store.keep(record(1, fingerprint="other", received="2026-01-03T10:00:00+00:00"), _files(tmp_path))
    assert second.id.endswith("-v2")
    assert [case.id for case in counting(store.cases(), lambda _: True)] == [second.id]
    assert len(store.cases()) == 2


def test_a_case_that_was_not_finished_is_not_there(store: CorrectionStore, tmp_path: Path) -> None:
    part = store.cases_folder / f".{4097:016x}-v1.part"
    part.mkdir(parents=True)
    (part / "half.nii.gz").write_bytes(b"x")
    assert store.cases() == []
    assert store.keep(record(1), _files(tmp_path)).files.keys() >= {f"{4097:016x}-v1_seg.nii.gz"}
    assert not part.exists()


@pytest.mark.parametrize("left", ["part", "gone"])
def test_who_died_before_the_last_step(store: CorrectionStore, tmp_path: Path, left: str) -> None:
    """Its row says whether a case is there: the folder gets its place, or goes."""
    case = store.keep(record(1), _files(tmp_path))
    rest = store.cases_folder / f".{case.id}.{left}"
    store.path(case.id).rename(rest)
    other = store.keep(record(2), _files(tmp_path))
    assert store.check(case) and not rest.exists()
    with store.database.begin() as connection:
        connection.execute(delete(CASES).where(CASES.c.id == case.id))
    store.path(case.id).rename(rest)
    store.trust(other.id)
    assert not rest.exists()
    assert store.cases() == [other]


def test_a_case_that_was_not_recorded_is_put_back(
    store: CorrectionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies, or the disk is full, between the deletion and its record."""
    case = store.keep(record(1), _files(tmp_path))

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="space"):
        patch.setattr(store_module, "sync_folder", fail)
        store.delete(case.id)
    store.keep(record(2), _files(tmp_path))
    assert store.check(store.case(case.id))
    assert not store.was_deleted(case.fingerprint)


def test_who_still_copies_is_left_alone(store: CorrectionStore, tmp_path: Path) -> None:
    copying, left = (store.cases_folder / f".copying-{name}.part" for name in ("a", "b"))
    for folder in (copying, left):
        folder.mkdir(parents=True)
    os.utime(left, (1e9, 1e9))
    store.keep(record(1), _files(tmp_path))
    assert copying.exists() and not left.exists()


def test_a_damaged_file_is_noticed(store: CorrectionStore, tmp_path: Path) -> None:
    case = store.keep(record(1), _files(tmp_path))
    (store.path(case.id) / f"{case.id}_seg.nii.gz").write_bytes(b"other")
    with pytest.raises(GlioLoopError) as damaged:
        store.check(case)
    assert damaged.value.code == "FEEDBACK_DAMAGED"


def test_a_list_shows_what_changed_a_moment_ago(store: CorrectionStore, tmp_path: Path) -> None:
    kept = store.keep(record(1, trusted=False), _files(tmp_path))
    assert [case.trusted for case in store.cases()] == [False]
    assert store.cases()[0] is store.cases()[0], "a record that did not change is not read again"
    store.trust(kept.id)
    assert [case.trusted for case in store.cases()] == [True]
    store.delete(kept.id)
    assert store.cases() == []


def test_what_was_deleted_is_not_taken_up_again(store: CorrectionStore, tmp_path: Path) -> None:
    case = store.keep(record(1), _files(tmp_path))
    store.delete(case.id)
    assert store.was_deleted(case.fingerprint)
    assert not store.path(case.id).exists()
    with pytest.raises(GlioLoopError) as unknown:
        store.case(case.id)
    assert unknown.value.code == "FEEDBACK_UNKNOWN"
    assert store.keep(record(1, fingerprint="new"), _files(tmp_path)).id.endswith("-v2")


@pytest.mark.parametrize("identity", ["../../etc", "", "x" * 200, "0" * 16, f"{1:016x}-v1/.."])
def test_ids_are_no_paths(store: CorrectionStore, identity: str) -> None:
    with pytest.raises(GlioLoopError) as unknown:
        store.delete(identity)
    assert unknown.value.code == "FEEDBACK_UNKNOWN"


def test_all_of_a_patient_goes(store: CorrectionStore, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        store.keep(record(number, patient="a" * 16 if number < 3 else "b" * 16), _files(tmp_path))
    assert len(store.delete_patient("a" * 16)) == 2
    assert [case.patient for case in store.cases()] == ["b" * 16]


def test_the_oldest_is_dropped_beyond_the_bounds(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path / "feedback", database_in(tmp_path), CorrectionPolicy(most_cases=2))
    kept = [store.keep(record(number), _files(tmp_path)) for number in (1, 2, 3)]
    assert [case.id for case in store.cases()] == [kept[2].id, kept[1].id]
    (line,) = store.gone()
    assert (line.id, line.why) == (kept[0].id, "dropped")
    assert not store.was_deleted(kept[0].fingerprint)
    small = CorrectionStore(tmp_path / "feedback", database_in(tmp_path), CorrectionPolicy(most_gigabytes=1e-6))
    small.keep(record(4), _files(tmp_path))
    assert len(small.cases()) == 1


def _role_of(store: CorrectionStore, files: Path, number: int, patient: str) -> str:
    return store.keep(record(number, patient=patient), files).role


def test_a_third_of_the_patients_is_held_back_for_good(store: CorrectionStore, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    with store.database.begin() as connection:
        connection.execute(insert(INSTALLATION).values(name=PSEUDONYM_KEY, value=(b"k" * 32).hex()))
    patients = [f"{number:016x}" for number in range(60)]
    roles = [_role_of(store, files, number, patient) for number, patient in enumerate(patients)]
    assert 0.2 < sum(role == "held_back" for role in roles) / len(roles) < 0.48
    for case in store.cases():
        store.delete(case.id)
    with store.database.begin() as connection:
        connection.execute(delete(ROLES))
    again = [_role_of(store, files, 100 + number, patient) for number, patient in enumerate(patients)]
    assert again == roles, "neither order nor deletion nor loss of the list changes a role"
    other = CorrectionStore(tmp_path / "other", database_in(tmp_path / "other"), store.policy)
    assert [_role_of(other, files, number, one) for number, one in enumerate(patients)] != roles, "the key is secret"


def test_neither_another_share_nor_an_earlier_version_s_choice_changes_a_role(
    store: CorrectionStore, tmp_path: Path
) -> None:
    """Cases that an earlier version kept have their roles; what was learnt from is never judged by."""
    kept = store.keep(record(1), _files(tmp_path))
    former = "learn" if kept.role == "held_back" else "held_back"
    with store.database.begin() as connection:
        connection.execute(update(ROLES).values(role=former))
    store.keep(record(2), _files(tmp_path))
    store.delete_patient(kept.patient)
    wider = CorrectionStore(store.folder, store.database, CorrectionPolicy(held_back_share=0.9))
    assert wider.keep(record(3, patient=kept.patient), _files(tmp_path)).role == former


def test_two_studies_of_one_uid_are_two(store: CorrectionStore, tmp_path: Path) -> None:
    """One StudyInstanceUID, two patients: neither's review shows the other's correction, nor is it its next version."""
    pseudonyms = Pseudonyms.of_installation(store.database)
    jobs = {
        name: _job(job_id(name, ["1"], "m@1", {}), "2026-01-01T00:00:00+00:00", study=name, study_instance_uid="1.2.3")
        for name in ("a", "b")
    }
    key = store.study_key(pseudonyms, "a", "1.2.3")
    kept = store.keep(record(1, study=key, job=jobs["a"].id), _files(tmp_path))
    assert review_of(store, "a", "1.2.3", [jobs["a"]]).state == "corrected"
    assert review_of(store, "b", "1.2.3", [jobs["b"]]).state == "automatic"
    assert store.study_key(pseudonyms, "b", "1.2.3") != kept.study
    found = reviews_of(store, list(jobs.values()))
    assert [found[jobs[name].id].state for name in ("a", "b")] == ["corrected", "automatic"]


def test_cases_kept_by_the_uid_stay_their_study_s(store: CorrectionStore, tmp_path: Path) -> None:
    pseudonyms = Pseudonyms.of_installation(store.database)
    former = pseudonyms.study("1.2.3")
    store.keep(record(1, study=former, job=job_id("a", ["1"], "m@1", {})), _files(tmp_path))
    assert len(store.of_study("a", "1.2.3")) == 1
    assert store.of_study("b", "1.2.3") == []
    assert store.study_key(pseudonyms, "a", "1.2.3") == former, "the next correction is its second version"
    assert store.study_key(pseudonyms, "b", "1.2.3") == pseudonyms.study("b")


def test_the_last_decision_about_an_object_counts(store: CorrectionStore) -> None:
    store.write_verdict("one", "d1", Verdict.AMBIGUOUS)
    store.write_verdict("one", "d1", Verdict.OWN)
    store.write_verdict("two", "d2", Verdict.FOREIGN, detail="another study")
    assert {key: one.verdict for key, one in store.verdicts().items()} == {
        ("one", "d1"): Verdict.OWN,
        ("two", "d2"): Verdict.FOREIGN,
    }


def test_pseudonyms_are_keyed_and_the_key_is_the_owners(tmp_path: Path) -> None:
    one = Pseudonyms.of_installation(database_in(tmp_path / "a"))
    other = Pseudonyms.of_installation(database_in(tmp_path / "b"))
    assert one.patient("PAT-1") == Pseudonyms.of_installation(database_in(tmp_path / "a")).patient("PAT-1")
    assert one.patient("PAT-1") != other.patient("PAT-1")
    assert one.patient("PAT-1") != one.study("PAT-1")
    assert one.person(" ") == ""
    assert stat.S_IMODE((tmp_path / "a" / "queue.sqlite").stat().st_mode) == 0o600


def test_export_is_a_brats_data_set_without_ways_back(store: CorrectionStore, tmp_path: Path) -> None:
    kept = keep_phantom(store, 1, tmp_path)
    store.keep(record(2, trusted=False), _files(tmp_path))
    assert export_cases(store, tmp_path / "out") == [kept.id]
    (case,) = find_cases(tmp_path / "out")
    assert len(case.files) == 4
    assert case.segmentation is not None
    written = json.loads((tmp_path / "out" / kept.id / "case.json").read_text())
    assert written["source_sop_instance_uid"] is None
    assert not list((tmp_path / "out").glob("*/*_auto.nii.gz"))
    with zipfile.ZipFile(io.BytesIO(export_archive(store, kept))) as archive:
        archive.extractall(tmp_path / "unpacked")
    folders = [tmp_path / name / kept.id for name in ("out", "unpacked")]
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first == second


def _job(identity: str, created: str, delivered: bool = False, **facts: object) -> JobView:
    given = {
        "id": identity,
        "state": "done",
        "created": created,
        "updated": created,
        "model": "m@1",
        "result": {"objects": {"rtstruct": {"sop_instance_uid": "1.2"}}},
        "deliveries": {"w": {"state": "done" if delivered else "running"}},
    }
    return JobView.model_validate(given | facts)


def test_review_state(store: CorrectionStore, tmp_path: Path) -> None:
    uid = "1.2.3"
    first = _job("0" * 32, "2026-01-01T00:00:00+00:00")
    assert review_of(store, "a", uid, []).state == "none"
    assert review_of(store, "a", uid, [first]).state == "automatic"
    assert review_of(store, "a", uid, [_job("0" * 32, "2026-01-01T00:00:00+00:00", True)]).state == "sent"
    pseudonym = Pseudonyms.of_installation(store.database).study("a")
    store.keep(record(1, study=pseudonym), _files(tmp_path))
    assert review_of(store, "a", uid, [first]).state == "corrected"
    later = _job("1" * 32, "2026-02-01T00:00:00+00:00", True)
    assert review_of(store, "a", uid, [later, first]).state == "sent"


def test_review_of_every_job_in_a_list(store: CorrectionStore, tmp_path: Path) -> None:
    """A correction counts for the job that drew what it corrects; a damaged case spoils no list."""
    jobs = [
        _job(digit * 32, "2026-01-01T00:00:00+00:00", digit == "1", study="a", study_instance_uid="1.2.3")
        for digit in "012"
    ]
    jobs.append(_job("3" * 32, "2026-01-01T00:00:00+00:00", study="b", study_instance_uid="1.2.4", result=None))
    assert [one.state for one in reviews_of(store, jobs).values()] == ["automatic", "sent", "automatic", "none"]
    pseudonym = Pseudonyms.of_installation(store.database).study("a")
    store.keep(record(1, study=pseudonym, job="0" * 32, trusted=False), _files(tmp_path))
    store.keep(record(2, study=pseudonym, job="1" * 32, kind="accepted"), _files(tmp_path))
    store.keep(record(3), _files(tmp_path))
    found = reviews_of(store, jobs)
    assert found["0" * 32].as_json() == {"state": "corrected", "trusted": False, "decision": None, "error": None}
    assert found["1" * 32].as_json() == {"state": "accepted", "trusted": True, "decision": None, "error": None}
    assert found["2" * 32].as_json() == {"state": "automatic", "trusted": None, "decision": None, "error": None}
    assert [one.id for one in store.of_studies([pseudonym])] == [f"{pseudonym}-v2", f"{pseudonym}-v1"]
    with store.database.begin() as connection:
        connection.execute(update(CASES).where(CASES.c.id == f"{pseudonym}-v2").values(record="{"))
    assert reviews_of(store, jobs)["1" * 32].state == "sent"


def test_agreement_counts_what_was_drawn(store: CorrectionStore, tmp_path: Path) -> None:
    for number in (1, 2):
        store.keep(record(number), _files(tmp_path))
    found = agreement(store.cases())
    assert [(row.model, row.region, row.n) for row in found.summary] == [("threshold@1.0.0", "WT", 2)]
    assert [point.case[-3:] for point in found.points] == ["-v1", "-v1"]


def test_agreement_drifts_per_model(store: CorrectionStore, tmp_path: Path) -> None:
    for number, (model, dice) in enumerate([("m@1", 0.9), ("m@1", 0.7), ("m@2", 0.95)], 1):
        regions = {"WT": record(0).regions["WT"].model_copy(update={"dice": dice})}
        store.keep(record(number, model=model, regions=regions), _files(tmp_path))
    points = agreement(store.cases()).points
    assert [(one.model, one.dice, one.dice_recent) for one in points] == [
        ("m@1", 0.9, 0.9), ("m@1", 0.7, 0.8), ("m@2", 0.95, 0.95),
    ]  # fmt: skip
    collector = CollectorRegistry()
    collect_metrics(store, collector)
    assert collector.get_sample_value("glioloop_feedback_dice", {"region": "WT", "model": "m@1"}) == pytest.approx(0.8)
    assert collector.get_sample_value("glioloop_feedback_dice", {"region": "WT", "model": "m@2"}) == pytest.approx(0.95)
    assert collector.get_sample_value("glioloop_feedback_cases", {"kind": "corrected"}) == 3


def test_a_stored_case_reads_back(store: CorrectionStore, tmp_path: Path) -> None:
    case = keep_phantom(store, 3, tmp_path)
    (read,) = find_cases(store.check(case))
    assert set(read.read_images()) and read.segmentation is not None
    images, regions = phantom(3)
    write_case(tmp_path / "again", images, regions)


def test_learning_is_due_after_so_many_new_trusted_corrections(store: CorrectionStore, tmp_path: Path) -> None:
    policy = FinetunePolicy(after_corrections=2)
    run = datetime.fromisoformat("2026-01-02T10:02:30+00:00")
    store.keep(record(1), _files(tmp_path))
    store.keep(record(2, trusted=False), _files(tmp_path))
    store.keep(record(3, kind="accepted"), _files(tmp_path))
    assert not due(policy, store, None)
    assert due(policy.model_copy(update={"learn_from": "all"}), store, None)
    store.keep(record(4), _files(tmp_path))
    assert due(policy, store, None)
    assert not due(policy, store, run), "one of the two was there at the last run"
    store.keep(record(5), _files(tmp_path))
    assert due(policy, store, run)
    assert not due(policy, store, run, [counting(store.cases(), lambda _: True)[-1].id]), (
        "it waited, and had what came meanwhile"
    )
    assert not due(FinetunePolicy(), store, None), "only when asked, unless the site says otherwise"
