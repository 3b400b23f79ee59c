"""Objects read back on the reference grid: segmentations, structure sets, on other sequences; and recognised."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian, generate_uid

from pipeline.align import Alignment
from pipeline.corrections.contours import write_contours
from pipeline.corrections.images import write_images
from pipeline.corrections.masks import read_drawn
from pipeline.corrections.meaning import understand
from pipeline.corrections.recognise import OwnObject, check_identity, content_hash, own_copy, read_object
from pipeline.corrections.regions import RegionNames
from pipeline.corrections.study import Study
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import find_cases
from pipeline.names import ROI_NAMES, TUMOUR_REGIONS, MRSequence, Region
from pipeline.objects import Provenance, build_objects
from pipeline.settings.corrections import CorrectionPolicy
from pipeline.volume.records import SourceVolume
from tests.unit.objects.phantom import FLIPPED, SAGITTAL, phantom_series

NAMES = RegionNames(ROI_NAMES, CorrectionPolicy())
SHIFT = (3.0, -2.0, 3.0)


def _ball(volume: SourceVolume, radius: float, centre: NDArray[np.float64]) -> sitk.Image:
    size = volume.image.GetSize()
    index = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij")).reshape(3, -1)
    direction = np.array(volume.image.GetDirection()).reshape(3, 3)
    spacing = np.array(volume.image.GetSpacing())
    points = np.array(volume.image.GetOrigin())[:, None] + direction @ (index * spacing[:, None])
    inside = (((points - centre[:, None]) ** 2).sum(0) <= radius**2).reshape(size)
    image = sitk.GetImageFromArray(np.ascontiguousarray(inside.transpose(2, 1, 0)).astype(np.uint8))
    image.CopyInformation(volume.image)
    return image


def _middle(volume: SourceVolume) -> NDArray[np.float64]:
    return np.array(volume.image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in volume.image.GetSize()]))


def _objects(
    headers: list[Dataset], volume: SourceVolume, centre: NDArray[np.float64]
) -> tuple[dict[str, Dataset], dict[Region, sitk.Image]]:
    masks = {r: _ball(volume, size, centre) for r, size in zip(TUMOUR_REGIONS, (9.0, 7.0, 5.0), strict=True)}
    probabilities = {region: sitk.Cast(mask, sitk.sitkFloat32) for region, mask in masks.items()}
    thresholds = dict.fromkeys(TUMOUR_REGIONS, 0.5)
    made = build_objects(headers, volume, probabilities, masks, thresholds, Provenance("m@1"), want={"rtstruct", "seg"})
    return made.datasets, masks


def _study(reference: SourceVolume, other: SourceVolume) -> Study:
    moved = sitk.Euler3DTransform()
    moved.SetTranslation(SHIFT)
    still = Alignment(sitk.Euler3DTransform(), 0.0, 1.0, 0.0, 0.0)
    return Study(
        {MRSequence.T1C: reference, MRSequence.FLAIR: other},
        {MRSequence.T1C: still, MRSequence.FLAIR: Alignment(moved, 0.0, 1.0, 0.0, 5.0)},
        MRSequence.T1C,
    )


@pytest.mark.parametrize("orientation", [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), SAGITTAL, FLIPPED])
@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_own_objects_read_back_as_they_were(kind: str, orientation: tuple[float, ...]) -> None:
    headers, volume = phantom_series(orientation=orientation)
    objects, masks = _objects(headers, volume, _middle(volume))
    drawn = read_drawn(objects[kind], _study(volume, phantom_series()[1]), NAMES)
    assert drawn.sequences == (MRSequence.T1C,)
    for region in TUMOUR_REGIONS:
        assert (drawn.masks[region] == sitk.GetArrayViewFromImage(masks[region]).astype(bool)).all()


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_contours_on_another_sequence_are_carried_over(kind: str) -> None:
    _, reference = phantom_series(spacing=(1.0, 1.0, 1.5), shape=(20, 32, 40))
    headers, other = phantom_series(spacing=(1.0, 1.0, 1.5), shape=(20, 32, 40))
    centre = _middle(other)
    objects, _ = _objects(headers, other, centre)
    drawn = read_drawn(objects[kind], _study(reference, other), NAMES)
    assert drawn.sequences == (MRSequence.FLAIR,)
    # The alignment maps reference to moving: what lies at the centre there lies before the shift here.
    expected = sitk.GetArrayFromImage(_ball(reference, 9.0, centre - np.array(SHIFT))).astype(bool)
    found = drawn.masks[Region.WT]
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.97


def test_a_case_has_the_sequences_that_its_study_has(tmp_path: Path) -> None:
    headers, volume = phantom_series()
    study = _study(volume, phantom_series()[1])
    objects, _ = _objects(headers, volume, _middle(volume))
    masks = read_drawn(objects["seg"], study, NAMES).masks
    write_images(tmp_path / "case", study, masks, masks, prefix="case_")
    (case,) = find_cases(tmp_path)
    assert set(case.files) == {MRSequence.T1C, MRSequence.FLAIR}
    assert set(np.unique(sitk.GetArrayFromImage(case.read_labels()))) == {0, 1, 2, 4}


def _contours(dataset: Dataset, study: Study, folder: Path) -> dict[str, Any]:
    nothing = dict.fromkeys(TUMOUR_REGIONS, study.nothing())
    write_contours(folder, dataset, understand(read_drawn(dataset, study, NAMES), nothing, False, 0), study)
    return dict(json.loads((folder / "contours.json").read_text()))


def test_what_was_drawn_on_the_reference_is_shown_as_it_is(tmp_path: Path) -> None:
    headers, volume = phantom_series(orientation=SAGITTAL)
    objects, _ = _objects(headers, volume, _middle(volume))
    shown = _contours(objects["rtstruct"], _study(volume, phantom_series()[1]), tmp_path)
    assert shown["slices"] == [one.sop_instance_uid for one in volume.slices]
    assert shown["regions"] == ["WT", "TC", "ET"]
    for number, item in enumerate(objects["rtstruct"].ROIContourSequence):
        for contour in item.ContourSequence:
            k = shown["slices"].index(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            pixels = [volume.image.TransformPhysicalPointToContinuousIndex(point)[:2] for point in points]
            found = [np.reshape(one["points"], (-1, 2)) for one in shown["contours"][str(k)]
                     if one["region"] == ("WT", "TC", "ET")[number]]  # fmt: skip
            assert any(len(one) == len(pixels) and np.allclose(one, pixels, atol=0.051) for one in found)


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_anything_else_is_shown_by_its_outline(kind: str, tmp_path: Path) -> None:
    """A segmentation, and contours on another sequence: on the reference's slices, around the same area."""
    _, reference = phantom_series(spacing=(1.0, 1.0, 1.5), shape=(20, 32, 40))
    headers, other = phantom_series(spacing=(1.0, 1.0, 1.5), shape=(20, 32, 40))
    objects, _ = _objects(headers, other, _middle(other))
    study = _study(reference, other)
    shown = _contours(objects[kind], study, tmp_path)
    assert shown["slices"] == [one.sop_instance_uid for one in reference.slices]
    mask = read_drawn(objects[kind], study, NAMES).masks[Region.WT]
    assert set(shown["contours"]) == {str(k) for k in np.flatnonzero(mask.any(axis=(1, 2)))}
    for k, contours in shown["contours"].items():
        (outline,) = [np.reshape(one["points"], (-1, 2)) for one in contours if one["region"] == "WT"]
        x, y = outline.T
        area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
        # The outline at half height cuts an eighth of a pixel off each corner.
        assert area == pytest.approx(mask[int(k)].sum(), rel=0.06, abs=4)
        assert outline.mean(axis=0) == pytest.approx(np.argwhere(mask[int(k)]).mean(axis=0)[::-1], abs=0.6)


def test_objects_on_other_images_are_foreign() -> None:
    headers, volume = phantom_series()
    objects, _ = _objects(headers, volume, _middle(volume))
    study = _study(phantom_series()[1], phantom_series()[1])
    for dataset in objects.values():
        with pytest.raises(GlioLoopError) as foreign:
            read_drawn(dataset, study, NAMES)
        assert foreign.value.code == "STRUCTURE_SET_FOREIGN"


def test_another_patient_or_study_is_foreign() -> None:
    headers, volume = phantom_series()
    dataset = _objects(headers, volume, _middle(volume))[0]["rtstruct"]
    check_identity(dataset, "P1", volume.study_instance_uid)
    for patient, study in (("P2", volume.study_instance_uid), ("P1", "1.2.3")):
        with pytest.raises(GlioLoopError) as foreign:
            check_identity(dataset, patient, study)
        assert foreign.value.code == "STRUCTURE_SET_FOREIGN"


def test_content_counts_and_not_its_encoding(tmp_path: Path) -> None:
    headers, volume = phantom_series()
    dataset = _objects(headers, volume, _middle(volume))[0]["rtstruct"]
    first, implicit, edited = tmp_path / "a.dcm", tmp_path / "b.dcm", tmp_path / "c.dcm"
    dataset.save_as(first, enforce_file_format=True)
    copy = read_object(first)
    copy.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    copy.file_meta.ImplementationVersionName = "OTHER"
    copy.save_as(implicit, implicit_vr=True, little_endian=True)
    own = {str(dataset.SOPInstanceUID): OwnObject("j", str(dataset.SOPInstanceUID), "", content_hash(first))}
    assert own_copy(str(dataset.SOPInstanceUID), content_hash(implicit), own)
    changed = pydicom.dcmread(first)
    contour = changed.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = [*contour.ContourData[:-1], contour.ContourData[-1] + 1]
    changed.save_as(edited)
    assert not own_copy(str(dataset.SOPInstanceUID), content_hash(edited), own)
    assert not own_copy(generate_uid(), content_hash(first), own)


@pytest.mark.parametrize("content", [b"", b"no dicom", b"\0" * 128 + b"DICM" + b"\xff" * 64])
def test_rubbish_is_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    with pytest.raises(GlioLoopError) as unreadable:
        read_object(path)
    assert unreadable.value.code == "STRUCTURE_SET_UNREADABLE"
