"""Cases that leave: no face, no word, no date; the whole brain, what was drawn, and references that hold."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from highdicom.seg import segread
from pydicom import Dataset, dcmread
from scipy import ndimage

from pipeline.corrections.record import CaseRecord
from pipeline.corrections.store import CorrectionStore
from pipeline.database.engine import database_in
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import find_cases
from pipeline.names import MRSequence, Region
from pipeline.registry import InstalledModel
from pipeline.research.release import Released, release_cases
from pipeline.research.skull import MARGIN_MM, to_keep
from pipeline.volume import read_volume
from tests.unit.corrections.phantom import phantom, record, write_case, write_threshold_model

#: What a person typed, and what leads back.
SECRETS = ("GTV_JaneDoe", "2026-01-02", "20260101", "1.2.7", "left as Dr. Roe drew it")
NOSE = (slice(1, 6),) * 3


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CaseRecord, Released]:
    """A case of a phantom with a nose, exported with DICOM; its folder, its record and what was told."""
    work = tmp_path_factory.mktemp("release")
    images, regions = phantom(7)
    assert not images[(slice(None), *NOSE)].any()
    images[(slice(None), *NOSE)] = 500
    regions[Region.TC] = regions[Region.ET] = ndimage.binary_erosion(regions[Region.WT], iterations=3)
    store = CorrectionStore(work / "feedback", database_in(work))
    kept = store.keep(
        record(
            7,
            unknown_rois=("GTV_JaneDoe",),
            reviewed="20260101",
            notes=("left as Dr. Roe drew it",),
            consensus_of=("0" * 16 + "-v1", "0" * 16 + "-v2"),
        ),
        write_case(work / "files", images, regions),
    )
    model = InstalledModel(write_threshold_model(work / "models"), work / "models" / "threshold" / "1.0.0")
    told = release_cases(store, work / "out", model, dicom=True)
    return work, kept, told


def _array(path: Path) -> np.ndarray:
    return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(path)))


def test_the_face_goes_and_the_whole_brain_stays(released: tuple[Path, CaseRecord, Released]) -> None:
    work, kept, told = released
    assert told.exported == (kept.id,) and not told.refused
    (before,) = find_cases(work / "feedback" / "cases" / kept.id)
    (after,) = find_cases(work / "out" / kept.id)
    assert not list((work / "out" / kept.id).glob("*auto*"))
    brain = phantom(7)[0][0] != 0
    for sequence in MRSequence:
        old, new = _array(before.files[sequence]), _array(after.files[sequence])
        assert old[NOSE].all() and not new[NOSE].any()
        assert (new[brain] == old[brain]).all()
    assert before.segmentation and after.segmentation
    assert (_array(before.segmentation) == _array(after.segmentation)).all()


def test_nothing_says_whose_it_is(released: tuple[Path, CaseRecord, Released]) -> None:
    work, kept, _ = released
    files = [path for path in (work / "out").rglob("*") if path.is_file()]
    assert not any(secret.encode() in path.read_bytes() for secret in SECRETS for path in files)
    said = json.loads((work / "out" / kept.id / "case.json").read_text())
    assert said["patient"] == kept.patient and len(said["consensus_of"]) == 2
    assert said["deidentified"]["images"] == "skull-stripped"
    assert not said.keys() & {
        "received",
        "reviewed",
        "reviewer",
        "job",
        "notes",
        "unknown_rois",
        "files",
        "fingerprint",
    }
    for dataset in _datasets(work / "out" / kept.id):
        assert dataset.PatientIdentityRemoved == "YES" and dataset.PatientID == kept.patient
        assert {one.CodeValue for one in dataset.DeidentificationMethodCodeSequence} == {"113100", "113102", "113105"}
        assert not any(
            dataset.get(one) for one in ("StudyDate", "PatientBirthDate", "AccessionNumber", "InstitutionName")
        )
        assert "TimezoneOffsetFromUTC" not in dataset


def _datasets(folder: Path) -> list[Dataset]:
    return [dcmread(path) for path in sorted((folder / "dicom").rglob("*.dcm"))]


def test_dicom_holds_the_same_images_and_contours(released: tuple[Path, CaseRecord, Released]) -> None:
    work, kept, _ = released
    (case,) = find_cases(work / "out" / kept.id)
    folder = work / "out" / kept.id / "dicom"
    for sequence in MRSequence:
        volume = read_volume(sorted((folder / sequence.value).iterdir()))
        image = sitk.ReadImage(case.files[sequence])
        assert np.allclose(volume.image.GetOrigin(), image.GetOrigin())
        assert np.allclose(volume.image.GetSpacing(), image.GetSpacing())
        assert (sitk.GetArrayFromImage(volume.image) == sitk.GetArrayFromImage(image)).all()
    datasets = _datasets(work / "out" / kept.id)
    assert len({one.StudyInstanceUID for one in datasets}) == len({one.FrameOfReferenceUID for one in datasets}) == 1
    assert len({one.SOPInstanceUID for one in datasets}) == len(datasets)
    images = {one.SOPInstanceUID for one in datasets if one.Modality == "MR"}

    structure_set = dcmread(folder / "rtstruct.dcm")
    contours = [c for roi in structure_set.ROIContourSequence for c in roi.get("ContourSequence", [])]
    assert contours and {c.ContourImageSequence[0].ReferencedSOPInstanceUID for c in contours} <= images
    drawn = {one.ROIName: one.ROIGenerationAlgorithm for one in structure_set.StructureSetROISequence}
    (told,) = {
        one.get("ROIGenerationDescription") for one in structure_set.StructureSetROISequence if one.ROIName == "GTV_WT"
    }
    assert told == "Consensus of 2 readers, research use only"
    assert drawn == {"GTV_WT": "SEMIAUTOMATIC", "GTV_TC": "AUTOMATIC", "GTV_ET": "AUTOMATIC"}
    # The record says that a person drew the whole tumour; the segmentation has its voxels, all of them.
    segmentation = segread(folder / "seg.dcm")
    assert segmentation.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    voxels = int(segmentation.get_volume(segment_numbers=[1]).array.sum())
    assert case.segmentation and voxels == (_array(case.segmentation) > 0).sum()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
def test_dicom_is_valid(released: tuple[Path, CaseRecord, Released]) -> None:
    work, kept, _ = released
    folder = work / "out" / kept.id / "dicom"
    for path in (folder / "t1c" / "0030.dcm", folder / "rtstruct.dcm", folder / "seg.dcm"):
        told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
        assert "Error" not in told, told


def test_what_stays() -> None:
    probability = np.zeros((40, 40, 40), np.float32)
    probability[10:30, 10:30, 10:30] = 0.9
    probability[18:22, 18:22, 18:22] = 0  # a ventricle
    probability[2:5, 2:5, 2:5] = 0.9  # an eye
    tumour = np.zeros((40, 40, 40), np.uint8)
    tumour[20, 20, 36] = 2
    brain, labels = sitk.GetImageFromArray(probability), sitk.GetImageFromArray(tumour)
    kept = to_keep(brain, labels)
    assert kept[10:30, 10:30, 10:30].all() and kept[20, 20, 36]
    assert not kept[2:5, 2:5, 2:5].any()
    reach = np.argwhere(kept & (tumour == 0))
    assert reach.min() == 10 - MARGIN_MM and reach.max() == 29 + MARGIN_MM
    with pytest.raises(GlioLoopError, match="BRAIN_NOT_FOUND"):
        to_keep(sitk.GetImageFromArray(np.zeros_like(probability)), labels)


def test_a_case_without_a_brain_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    images, regions = phantom(8)
    store = CorrectionStore(tmp_path / "feedback", database_in(tmp_path))
    kept = store.keep(record(8), write_case(tmp_path / "files", images * 0, regions))
    model = InstalledModel(write_threshold_model(tmp_path / "models", brain=False), tmp_path / "models/threshold/1.0.0")
    told = release_cases(store, tmp_path / "out", model)
    assert told.exported == () and told.refused[kept.id].code == "BRAIN_NOT_FOUND"
    assert list((tmp_path / "out").iterdir()) == []
