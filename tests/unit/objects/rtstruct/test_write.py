"""The structure set that is written, line by line of what has gone wrong with others'.

Each of its tests is a few lines on the same fixtures; there are many, which is why this file is long.
"""

import datetime
import io
from collections.abc import Sequence

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from pipeline.errors import Flag, GlioLoopError
from pipeline.objects import HoleEncodings, Provenance, RegionOfInterest, RTStructureSet, read_structure_set
from pipeline.objects.rtstruct.planes import place
from pipeline.objects.rtstruct.simplify import crossing_polygons
from pipeline.volume.records import SourceVolume
from tests.unit.objects.phantom import (
    AXIAL,
    CORONAL,
    FLIPPED,
    SAGITTAL,
    image_like,
    phantom_series,
    random_orientation,
    signed_distance,
    soft,
)

PROVENANCE = Provenance("unet@1.2.3", "ab" * 32, created=datetime.datetime(2026, 3, 4, 5, 6, 7), instance="node-7")
OBLIQUE = random_orientation(np.random.default_rng(5))


def ball(volume: SourceVolume, number: int = 1, name: str = "GTV_WT", radius: float = 11.0) -> RegionOfInterest:
    return RegionOfInterest(number, name, image_like(soft(radius - signed_distance(volume)), volume))


def written(headers: Sequence[Dataset], volume: SourceVolume, **options: object) -> Dataset:
    """Return the structure set of one ball as it comes back from a file."""
    regions = options.pop("regions", None) or [ball(volume)]
    made = RTStructureSet(headers, volume, regions, PROVENANCE, **options)  # type: ignore[arg-type]
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    file.seek(0)
    return pydicom.dcmread(file)


@pytest.fixture(scope="module")
def plain() -> tuple[list[Dataset], SourceVolume, Dataset]:
    headers, volume = phantom_series()
    return headers, volume, written(headers, volume)


def contours_of(dataset: Dataset, roi: int = 0) -> list[Dataset]:
    return list(dataset.ROIContourSequence[roi].ContourSequence)


def points_of(contour: Dataset) -> np.ndarray:
    return np.array([float(value) for value in contour.ContourData]).reshape(-1, 3)


def test_patient_study_and_frame_of_reference_are_the_reference_series(plain: tuple) -> None:
    headers, volume, made = plain
    for keyword in (
        "PatientID",
        "PatientName",
        "StudyInstanceUID",
        "FrameOfReferenceUID",
        "AccessionNumber",
        "StudyID",
    ):
        assert made[keyword].value == headers[0][keyword].value
    assert made.SeriesInstanceUID != volume.series_instance_uid
    assert made.StructureSetROISequence[0].ReferencedFrameOfReferenceUID == volume.frame_of_reference_uid


def test_every_slice_of_the_series_is_referenced_once(plain: tuple) -> None:
    headers, volume, made = plain
    frame = made.ReferencedFrameOfReferenceSequence[0]
    assert frame.FrameOfReferenceUID == volume.frame_of_reference_uid
    study = frame.RTReferencedStudySequence[0]
    assert study.ReferencedSOPInstanceUID == volume.study_instance_uid
    series = study.RTReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == volume.series_instance_uid
    referenced = [item.ReferencedSOPInstanceUID for item in series.ContourImageSequence]
    assert sorted(referenced) == sorted(header.SOPInstanceUID for header in headers)


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, FLIPPED, OBLIQUE], ids=str)
def test_contours_name_their_slice_and_lie_in_its_plane(orientation: tuple[float, ...]) -> None:
    headers, volume = phantom_series(orientation=orientation, spacing=(0.7, 1.3, 2.5))
    by_uid = {header.SOPInstanceUID: header for header in headers}
    found = contours_of(written(headers, volume))
    assert len(found) == 8
    for contour in found:
        header = by_uid[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        assert contour.ContourImageSequence[0].ReferencedSOPClassUID == header.SOPClassUID
        across, down = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        height = (points_of(contour) - np.array(header.ImagePositionPatient, float)) @ np.cross(across, down)
        assert np.abs(height).max() < 1e-4


def test_a_slice_that_is_off_the_regular_grid_keeps_its_own_plane() -> None:
    headers, volume = phantom_series()
    position = [float(value) for value in headers[4].ImagePositionPatient]
    moved = (position[0], position[1], position[2] + 0.037)
    headers[4].ImagePositionPatient = list(moved)
    slices = list(volume.slices)
    slices[4] = type(slices[4])(slices[4].sop_class_uid, slices[4].sop_instance_uid, None, moved)
    changed = SourceVolume(
        volume.image,
        tuple(slices),
        volume.study_instance_uid,
        volume.series_instance_uid,
        volume.frame_of_reference_uid,
    )
    made = written(headers, changed)
    contour = next(
        item
        for item in contours_of(made)
        if item.ContourImageSequence[0].ReferencedSOPInstanceUID == headers[4].SOPInstanceUID
    )
    assert np.allclose(points_of(contour)[:, 2], moved[2], atol=1e-6)


@pytest.mark.parametrize("holes", list(HoleEncodings))
def test_contours_are_closed_planar_polygons_without_crossings(holes: HoleEncodings) -> None:
    headers, volume = phantom_series(shape=(10, 48, 48), orientation=OBLIQUE)
    distance = signed_distance(volume)
    shell = image_like(soft(np.minimum(14 - distance, distance - 7)), volume)
    made = written(headers, volume, regions=[RegionOfInterest(1, "GTV_ET", shell)], holes=holes)
    expected = "CLOSEDPLANAR_XOR" if holes is HoleEncodings.XOR else "CLOSED_PLANAR"
    for contour in contours_of(made):
        points = points_of(contour)
        assert contour.ContourGeometricType == expected
        assert contour.NumberOfContourPoints == len(points) >= 3
        assert not np.array_equal(points[0], points[-1])
        assert not (points == np.roll(points, 1, axis=0)).all(axis=1).any()
    if holes is not HoleEncodings.KEYHOLE:  # a keyhole's channel touches itself
        polygons = place([points_of(contour) for contour in contours_of(made)], volume).contours
        assert not crossing_polygons(polygons).any()
    mask = pydicom_mask(made, volume)
    assert np.array_equal(mask, array_of(shell) >= 0.5)


def pydicom_mask(dataset: Dataset, volume: SourceVolume) -> np.ndarray:
    return array_of(read_structure_set(dataset, volume)[0].mask)


def array_of(image: object) -> np.ndarray:
    import SimpleITK as sitk  # noqa: PLC0415

    return np.asarray(sitk.GetArrayFromImage(image))


def test_numbers_have_at_most_16_characters_far_from_the_origin() -> None:
    headers, volume = phantom_series(origin=(-12345.678901, 9876.54321, -99999.123456), orientation=OBLIQUE)
    made = written(headers, volume)
    for contour in contours_of(made):
        text = contour.get_item("ContourData").value.decode()
        assert max(len(number.strip()) for number in text.split("\\")) <= 16
        assert len(text) % 2 == 0


def test_few_points_for_the_accuracy(plain: tuple) -> None:
    _, _, made = plain
    assert max(int(contour.NumberOfContourPoints) for contour in contours_of(made)) < 75


def test_labels_descriptions_and_approval(plain: tuple) -> None:
    _, _, made = plain
    assert made.StructureSetLabel == "unet 1.2.3"
    assert "unet@1.2.3" in made.SeriesDescription
    assert (made.StructureSetDate, made.StructureSetTime) == ("20260304", "050607")
    assert made.ApprovalStatus == "UNAPPROVED"
    assert "ReviewerName" not in made
    roi = made.StructureSetROISequence[0]
    assert roi.ROIGenerationAlgorithm == "AUTOMATIC"
    assert "unet@1.2.3" in roi.ROIDescription
    assert roi.ROIGenerationDescription == "unet@1.2.3"
    assert float(roi.ROIVolume) == pytest.approx(4 / 3 * np.pi * 1.1**3, rel=0.02)
    observation = made.RTROIObservationsSequence[0]
    assert (observation.RTROIInterpretedType, observation.ROIInterpreter) == ("GTV", "")
    assert observation.ReferencedROINumber == roi.ROINumber == made.ROIContourSequence[0].ReferencedROINumber == 1
    assert list(made.ROIContourSequence[0].ROIDisplayColor) == [255, 0, 0]


def test_provenance_is_in_the_object(plain: tuple) -> None:
    _, _, made = plain
    assert made.Manufacturer == "GlioLoop"
    assert made.ManufacturerModelName
    assert made.DeviceSerialNumber == "node-7"
    assert list(made.SoftwareVersions)[1] == "unet@1.2.3"
    equipment = made.ContributingEquipmentSequence[0]
    assert "unet@1.2.3" in list(equipment.SoftwareVersions)
    algorithm = made.StructureSetROISequence[0].ROIDerivationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("unet", "1.2.3")
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    assert "ab" * 32 in algorithm.AlgorithmParameters


def test_flags_and_predecessor_are_written() -> None:
    headers, volume = phantom_series()
    first = written(headers, volume)
    second = written(headers, volume, predecessor=first, flags=[Flag("MODEL_UNCERTAIN")])
    assert second.PredecessorStructureSetSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert "uncertain" in second.StructureSetDescription
    assert "Research use only" in first.StructureSetDescription


def test_uids_are_fresh_at_every_run_and_the_same_for_the_same_job() -> None:
    headers, volume = phantom_series()
    one, two = written(headers, volume), written(headers, volume)
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.SeriesInstanceUID != two.SeriesInstanceUID
    a, b, c = (RTStructureSet(headers, volume, [ball(volume)], PROVENANCE, uid_seed=seed) for seed in ("x", "x", "y"))
    assert a == b
    assert {a.SOPInstanceUID, a.SeriesInstanceUID}.isdisjoint({c.SOPInstanceUID, c.SeriesInstanceUID})
    for dataset in (one, a):
        assert pydicom.uid.UID(dataset.SOPInstanceUID).is_valid


def test_empty_region_is_listed_without_contours() -> None:
    headers, volume = phantom_series()
    empty = RegionOfInterest(2, "GTV_ET", image_like(np.zeros((10, 32, 40), np.float32), volume))
    made = written(headers, volume, regions=[ball(volume), empty])
    assert "ContourSequence" not in made.ROIContourSequence[1]
    assert "nothing found" in made.StructureSetROISequence[1].ROIDescription
    assert [roi.contour_count for roi in read_structure_set(made, volume)] == [8, 0]
    only = written(headers, volume, regions=[empty])
    assert [roi.contour_count for roi in read_structure_set(only, volume)] == [0]


def test_mask_overrules_the_probability() -> None:
    headers, volume = phantom_series()
    probability = soft(11 - signed_distance(volume))
    mask = (probability >= 0.5).astype(np.uint8)
    mask[:, :12] = 0
    mask[5, 15:18, 18:22] = 1
    region = RegionOfInterest(1, "GTV_WT", image_like(probability, volume), mask=image_like(mask, volume))
    assert np.array_equal(pydicom_mask(written(headers, volume, regions=[region]), volume), mask)


@pytest.mark.parametrize(
    ("character_set", "name", "description"),
    [
        ("ISO_IR 192", "Müller^Jürgen=山田^太郎", "Schädel"),
        ("ISO_IR 100", "Müller^Jürgen", "Schädel"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎", "MRI 頭部"),
    ],
)
def test_text_of_other_languages_survives(character_set: str | list[str], name: str, description: str) -> None:
    headers, volume = phantom_series()
    reread_headers = []
    for header in headers:
        header.SpecificCharacterSet = character_set
        header.PatientName, header.StudyDescription = name, description
        file = io.BytesIO()
        header.save_as(file, enforce_file_format=True)
        reread_headers.append(pydicom.dcmread(io.BytesIO(file.getvalue())))
    for given in (headers, reread_headers):
        made = written(given, volume)
        assert (str(made.PatientName), made.StudyDescription) == (name, description)


def test_headers_without_type_2_attributes_still_give_them() -> None:
    headers, volume = phantom_series()
    for header in headers:
        for keyword in ("AccessionNumber", "PatientBirthDate", "StudyID", "ReferringPhysicianName", "StudyTime"):
            delattr(header, keyword)
    made = written(headers, volume)
    for keyword in ("AccessionNumber", "PatientBirthDate", "StudyID", "ReferringPhysicianName", "StudyTime"):
        assert keyword in made
    assert "AccessionNumber" not in headers[0]


def test_enhanced_multi_frame_names_the_frame() -> None:
    headers, volume = phantom_series()
    header = headers[0]
    items = tuple(
        type(item)(item.sop_class_uid, str(header.SOPInstanceUID), 10 - index, item.position)
        for index, item in enumerate(volume.slices)
    )
    header.NumberOfFrames = 10
    changed = SourceVolume(
        volume.image, items, volume.study_instance_uid, volume.series_instance_uid, volume.frame_of_reference_uid
    )
    made = written([header], changed)
    images = [contour.ContourImageSequence[0] for contour in contours_of(made)]
    assert [int(image.ReferencedFrameNumber) for image in images] == list(range(9, 1, -1))
    series = made.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert len(series.ContourImageSequence) == 1
    assert "ReferencedFrameNumber" not in series.ContourImageSequence[0]


def _without_frame(headers: list[Dataset], volume: SourceVolume) -> tuple[list[Dataset], SourceVolume]:
    for header in headers:
        del header.FrameOfReferenceUID
    return headers, SourceVolume(volume.image, volume.slices, volume.study_instance_uid, volume.series_instance_uid, "")


def _other_patient(headers: list[Dataset], volume: SourceVolume) -> tuple[list[Dataset], SourceVolume]:
    headers[3].PatientID = "P2"
    return headers, volume


def _other_frame(headers: list[Dataset], volume: SourceVolume) -> tuple[list[Dataset], SourceVolume]:
    headers[3].FrameOfReferenceUID = "1.2.3"
    return headers, volume


def _slice_gone(headers: list[Dataset], volume: SourceVolume) -> tuple[list[Dataset], SourceVolume]:
    return headers[1:], volume


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_without_frame, "FRAME_OF_REFERENCE_MISSING"),
        (_other_patient, "OBJECT_INVALID"),
        (_other_frame, "OBJECT_INVALID"),
        (_slice_gone, "OBJECT_INVALID"),
    ],
)
def test_inconsistent_series_are_refused(spoil: object, code: str) -> None:
    headers, volume = spoil(*phantom_series())  # type: ignore[operator]
    with pytest.raises(GlioLoopError) as caught:
        RTStructureSet(headers, volume, [ball(volume)], PROVENANCE)
    assert caught.value.code == code


def test_invalid_regions_are_refused() -> None:
    headers, volume = phantom_series()
    _, other = phantom_series(shape=(99, 32, 40))
    nan = signed_distance(volume).astype(np.float32)
    nan[3, 3, 3] = np.nan
    good = ball(volume)
    wrong = [
        [],
        [good, ball(volume, number=1, name="GTV_TC")],
        [good, ball(volume, number=2)],
        [ball(volume, name="x" * 65)],
        [ball(volume, number=0)],
        [ball(other)],
        [RegionOfInterest(1, "GTV_WT", good.image[20:, :, :])],  # a box that cuts the region
        [RegionOfInterest(1, "GTV_WT", image_like(nan, volume))],
        [RegionOfInterest(1, "GTV_WT", good.image, threshold=1.5)],
        [RegionOfInterest(1, "GTV_WT", good.image, colour=(300, 0, 0))],
    ]
    for regions in wrong:
        with pytest.raises(GlioLoopError) as caught:
            RTStructureSet(headers, volume, regions, PROVENANCE)
        assert caught.value.code == "OBJECT_INVALID"
    with pytest.raises(GlioLoopError):
        RTStructureSet(headers, volume, [good], PROVENANCE, label="longer than sixteen")


def test_can_be_written_in_another_transfer_syntax(plain: tuple) -> None:
    headers, volume, made = plain
    again = RTStructureSet(headers, volume, [ball(volume)], PROVENANCE)
    again.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    file = io.BytesIO()
    again.save_as(file, enforce_file_format=True)
    implicit = pydicom.dcmread(io.BytesIO(file.getvalue()))
    for one, other in zip(contours_of(made), contours_of(implicit), strict=True):
        assert np.array_equal(points_of(one), points_of(other))
