"""The whole loop on two real Orthancs: segmented, corrected, learnt, judged, promoted, better, rolled back."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.uid import generate_uid

from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.store import CorrectionStore
from pipeline.database.engine import database_in
from pipeline.evaluation.cases import Case
from pipeline.names import ROI_NAMES, MRSequence, Region
from pipeline.registry import Registry
from pipeline.settings import ROOT
from pipeline.settings.corrections import CorrectionPolicy
from tests.orthanc.conftest import Pair, make_pair, send
from tests.orthanc.corrections import coarse_scan, fetch, outlines, replace_contours, send_back
from tests.patience import wait_for, wait_while_moving

pytest.importorskip("torch")

from pipeline.finetune.studies import sample_case
from tests.unit.corrections.phantom import patient_of, record, write_case, write_threshold_model

PARENT, CHILD = "threshold@1.0.0", "threshold@1.0.0-ft.1"
ENDED = ("done", "failed", "refused")
HELD_BACK_SHARE = 0.5
#: Of six held-back corrections, so many come by the workstation; the others are of earlier days.
HELD_BACK, EARLIER = 2, 4
#: Labels of the shipped truth that make up each region.
LABELS = {Region.WT: (1, 2, 4), Region.TC: (1, 4), Region.ET: (4,)}


@pytest.fixture
def known(tmp_path: Path, sample_study: Path) -> Case:
    """A coarse scan of the shipped study with its truth, aligned."""
    folder = coarse_scan(sample_study, tmp_path / "known", 3, "KNOWN")
    shutil.copy(sample_study / "truth.nii.gz", folder)
    return sample_case(folder, tmp_path / "aligned")


@pytest.fixture
def pair(tmp_path: Path, known: Case) -> Iterator[Pair]:
    """A node whose network draws tumours too small, and learns fast; a workstation."""
    shipped = Registry(ROOT / "models", tmp_path / "none", database_in(tmp_path / "none")).get(None)
    write_threshold_model(tmp_path / "models", whole_tumour=2.8, core=3.0, finder=shipped)
    _write_case(known, tmp_path / "reference" / "known", 3, prefix="known_")
    both = make_pair(
        tmp_path,
        ModelsFolder=str(tmp_path / "models"),
        Feedback={"HeldBackShare": HELD_BACK_SHARE},
        Finetune={
            "Steps": 60,  # with 30, whether enhancing tumour was learnt hung on the last bits of the alignment
            "LearningRate": 0.01,
            "ReplayShare": 0.0,
            "ReferenceSet": str(tmp_path / "reference"),
        },
    )
    with both.workstation, both.node:
        both.wait_ready()
        yield both


def test_the_loop_closes(pair: Pair, known: Case, sample_study: Path, tmp_path: Path) -> None:
    scans = {}
    for number, patient in enumerate(_patients(pair)):
        folder = coarse_scan(sample_study, tmp_path / patient, number + 10, patient)
        scans[send(pair, folder)] = folder
    for study in scans:
        job = pair.wait_job("done", "failed", "refused", study=study)
        assert (job["state"], job["model"]) == ("done", PARENT), job["error"]
    first = next(iter(scans))

    # The radiologist draws the tumour as it is, approves, and sends the structure sets back by C-STORE, twice.
    wait_while_moving(
        lambda: len(pair.workstation_structure_sets()) == len(scans),
        lambda: len(pair.workstation_structure_sets()),
        60,
        "the structure sets at the workstation",
    )
    truth = sitk.ReadImage(sample_study / "truth.nii.gz", sitk.sitkUInt8)
    for dataset in _at_workstation(pair):
        slices = sorted(scans[dataset.StudyInstanceUID].glob("t1c/*.dcm"))
        for region, labels in LABELS.items():
            replace_contours(dataset, ROI_NAMES[region], outlines(truth, labels, slices))
        dataset.ApprovalStatus = "APPROVED"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        for _ in range(2):
            send_back(pair, dataset)
    wait_while_moving(lambda: _kept(pair) == len(scans), lambda: _kept(pair), 60, "every correction, each once")
    cases = pair.get("/glioloop/feedback")["cases"]
    assert sorted(case["role"] for case in cases) == ["held_back"] * HELD_BACK + ["learn"]
    for case in cases:
        assert case["model"] == PARENT
        whole = case["regions"]["WT"]
        assert whole["drawn"]
        assert whole["corrected_ml"] == pytest.approx(_ml(truth, LABELS[Region.WT]), rel=0.05)
        assert whole["added_ml"] > 2 * whole["removed_ml"]
    assert pair.get(f"/glioloop/studies/{first}")["review"]["state"] == "corrected"

    # Learnt from one, judged by the others and by a further scan as the reference; nothing is put to use unasked.
    _keep_earlier(pair, known, tmp_path)
    started = pair.post("/glioloop/finetune")
    assert started.status_code == httpx.codes.ACCEPTED, started.text
    result = _finished(pair, started.json()["id"])["result"]
    assert (result["model"], result["parent"], result["promoted"]) == (CHILD, PARENT, False)
    decision = result["decision"]
    assert decision["passed"], decision
    assert decision["corrections"]["change"] > 0.05
    assert (decision["corrections"]["n"], decision["corrections"]["p"] <= 0.025) == (HELD_BACK + EARLIER, True)
    assert decision["reference"]["WT"]["n"] == 1
    assert _current(pair) == PARENT
    assert not list(pair.node.configuration.state_folder.glob("finetune/*/samples")), "patients' images stay nowhere"

    # Put to use by a person; the next job uses it, without a restart.
    assert pair.post("/glioloop/models/threshold/1.0.0-ft.1/promote").json() == {"current": CHILD}
    again = pair.post(f"/glioloop/studies/{first}/process").json()
    assert again["model"] == CHILD
    path = f"/glioloop/jobs/{again['id']}"
    wait_while_moving(
        lambda: pair.get(path)["state"] in ENDED, lambda: _progress(pair.get(path)), 240, "the job with the new network"
    )
    improved = pair.get(f"/glioloop/jobs/{again['id']}")
    assert improved["state"] == "done", improved["error"]
    _check_lineage(pair, improved, cases)
    assert pair.get(f"/glioloop/studies/{first}")["review"]["state"] in ("automatic", "sent")

    assert pair.post("/glioloop/models/rollback").json() == {"current": PARENT}
    assert _current(pair) == PARENT


def _patients(pair: Pair) -> list[str]:
    """Patients of whom this installation's key has one learnt from and the others held back."""
    pseudonyms = Pseudonyms.of_installation(database_in(pair.node.configuration.state_folder))
    held: list[str] = []
    learnt: list[str] = []
    for number in count():
        name = f"LOOP-{number}"
        (held if pseudonyms.share(pseudonyms.patient(name)) < HELD_BACK_SHARE else learnt).append(name)
        if len(held) >= HELD_BACK and learnt:
            break
    return [learnt[0], *held[:HELD_BACK]]


def _write_case(known: Case, folder: Path, number: int, prefix: str = "") -> Path:
    """Another scan of a known head, at 2 mm, so that a network takes a second on it."""
    rng = np.random.default_rng(number)
    found = known.read_images()
    images = np.stack([sitk.GetArrayFromImage(found[name])[::2, ::2, ::2] for name in MRSequence]).astype(np.float32)
    images += rng.normal(0, 0.01 * images.max(), images.shape) * (images > 0)
    labels = sitk.GetArrayFromImage(known.read_labels())[::2, ::2, ::2]
    regions = {region: np.isin(labels, members) for region, members in LABELS.items()}
    return write_case(folder, images, regions, prefix)


def _keep_earlier(pair: Pair, known: Case, folder: Path) -> None:
    """Corrections of earlier days, by other patients, all held back: in the store already."""
    state = pair.node.configuration.state_folder
    store = CorrectionStore(state / "feedback", database_in(state), CorrectionPolicy(held_back_share=HELD_BACK_SHARE))
    for number in range(EARLIER):
        files = _write_case(known, folder / f"earlier-{number}", number + 100)
        kept = record(number, patient=patient_of(store, "held_back", number))
        drawn = {name: region.model_copy(update={"drawn": True}) for name, region in kept.regions.items()}
        assert store.keep(kept.model_copy(update={"regions": drawn}), files).role == "held_back"


def _kept(pair: Pair) -> int:
    return int(pair.get("/glioloop/feedback")["total"])


def _ml(labels: sitk.Image, members: tuple[int, ...]) -> float:
    voxels = np.isin(sitk.GetArrayViewFromImage(labels), members).sum()
    return float(voxels * np.prod(labels.GetSpacing()) / 1000)


def _at_workstation(pair: Pair) -> list[Dataset]:
    return [fetch(pair, one) for one in pair.workstation_structure_sets()]


def _finished(pair: Pair, run: str) -> dict[str, Any]:
    path = f"/glioloop/finetune/{run}"
    wait_while_moving(
        lambda: pair.get(path)["state"] not in ("queued", "running"),
        lambda: _progress(pair.get(path)),
        240,
        "the fine-tuning",
    )
    found: dict[str, Any] = pair.get(path)
    assert found["state"] == "done", found["error"]
    return found


def _progress(view: dict[str, Any]) -> tuple[object, ...]:
    """What changes of a job or a fine-tuning while it is at work."""
    return tuple(view.get(name) for name in ("state", "stage", "phase", "progress", "paused"))


def _current(pair: Pair) -> str:
    return str(next(card["identity"] for card in pair.get("/glioloop/models") if card["current"]))


def _check_lineage(pair: Pair, job: dict[str, Any], cases: list[dict[str, Any]]) -> None:
    """The new structure set at the workstation names the network, what it came from, and what it replaces."""
    uid = job["result"]["rtstruct"]["sop_instance_uid"]
    wait_for(lambda: uid in {one.SOPInstanceUID for one in _at_workstation(pair)}, 60, "the new structure set")
    (new,) = (one for one in _at_workstation(pair) if uid == one.SOPInstanceUID)
    assert CHILD in new.SoftwareVersions
    (algorithm,) = new.StructureSetROISequence[0].ROIDerivationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmVersion == "1.0.0-ft.1"
    assert f"fine-tuned from={PARENT}" in algorithm.AlgorithmParameters
    assert "corrections learnt=1" in algorithm.AlgorithmParameters
    assert new.PredecessorStructureSetSequence[0].ReferencedSOPInstanceUID
    (card,) = (one for one in pair.get("/glioloop/models") if one["identity"] == CHILD)
    assert card["lineage"]["parent"] == PARENT
    assert card["lineage"]["cases"] == [case["id"] for case in cases if case["role"] == "learn"]
    assert card["metrics"]
