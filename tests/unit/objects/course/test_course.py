"""The report of a course and the registration of the study before: valid, and read back by others' readers."""

from pathlib import Path

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.uid import generate_uid

from pipeline.names import Region
from pipeline.objects.course.content import ReportedChange, ReportedLesion, ReportedRegion
from pipeline.objects.course.sop import CourseReport, Reported
from pipeline.objects.registration.sop import PriorRegistration
from pipeline.volume.records import SourceVolume
from tests.unit.objects.phantom import phantom_series
from tests.unit.objects.test_objects import PROVENANCE, built, reread, validate

Study = tuple[list[Dataset], SourceVolume]
LESION, REGION = str(generate_uid()), str(generate_uid())


@pytest.fixture(scope="module")
def current() -> Study:
    return phantom_series()


@pytest.fixture(scope="module")
def prior() -> Study:
    headers, volume = phantom_series((8, 30, 36))
    for header in headers:
        header.StudyDate = "20250601"
    return headers, volume


def reported(slice_index: int | None = 5) -> Reported:
    mask = np.zeros((3, 9, 9), dtype=bool)
    mask[:, 1:8, 2:7] = True
    mask[:, 4, 4] = False  # a hole
    mask[2, 8, 0] = True  # a second part of the slice
    changes = (
        ReportedChange("previous", 1.5, 12.0),
        ReportedChange("nadir", 9.0, None),
        ReportedChange("first", -2, -9),
    )
    return Reported(
        time_point="2026-01-02",
        order=2,
        days=215.0,
        regions=[ReportedRegion(Region.ET, REGION, "GTV_ET", 13.5, 480.0, changes, changes[:1])],
        lesions=[
            ReportedLesion(
                Region.ET, LESION, "GTV_ET 12345", "left", 13.5, 24.0, 20.0, slice_index, mask, (4, 10, 12), changes[:1]
            )
        ],
        texts=["GTV_ET: 13.50 ml, +1.50 ml (+12 %) since the previous study."],
    )


def made(current: Study, prior: Study, slice_index: int | None = 5) -> tuple[CourseReport, PriorRegistration]:
    segmentation = built(*current).datasets["seg"]
    before = built(*prior).datasets["seg"]
    report = CourseReport(
        *current, reported(slice_index), PROVENANCE,
        segmentation=segmentation, priors=[*prior[0], before], uid_seed="course-1",
    )  # fmt: skip
    transform = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.1, 0.2, -0.1, (3.0, -2.0, 5.0))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.array(transform.GetMatrix()).reshape(3, 3), transform.GetTranslation()
    return report, PriorRegistration(*current, prior[1], matrix, PROVENANCE, uid_seed="course-1")


def read_back(report: CourseReport) -> highdicom.sr.MeasurementReport:
    content = highdicom.sr.ComprehensiveSR.from_dataset(reread(report)).content
    assert isinstance(content, highdicom.sr.MeasurementReport)
    return content


def test_they_pass_the_validators(current: Study, prior: Study, tmp_path: Path) -> None:
    report, registration = made(current, prior)
    validate({"course": report, "registration": registration}, tmp_path)


def test_without_a_slice_of_diameters_too(current: Study, prior: Study, tmp_path: Path) -> None:
    validate({"course": made(current, prior, None)[0]}, tmp_path)


def test_the_report_is_read_back(current: Study, prior: Study) -> None:
    content = read_back(made(current, prior)[0])
    lesions = content.get_volumetric_roi_measurement_groups(tracking_uid=LESION)
    (region,) = content.get_volumetric_roi_measurement_groups(tracking_uid=REGION)
    (planar,) = content.get_planar_roi_measurement_groups(tracking_uid=LESION)
    assert len(lesions) == 1
    regions = lesions[0].roi
    assert isinstance(regions, list)
    assert len(regions) == 4  # three slices, two parts in one; no hole
    diameters = {one.name.meaning: one.value for one in planar.get_measurements()}
    assert diameters.items() >= {"Long axis": 24.0, "Short axis": 20.0}.items()
    volumes = [one for one in region.get_measurements() if one.name.meaning == "Volume"]
    assert [(one.value, one.unit.value, one.derivation and one.derivation.value) for one in volumes] == [
        (13.5, "ml", None), (1.5, "ml", "CHANGE-PREVIOUS"), (12.0, "%", "CHANGE-PREVIOUS"),
        (9.0, "ml", "CHANGE-NADIR"), (-2, "ml", "CHANGE-FIRST"), (-9, "%", "CHANGE-FIRST"),
    ]  # fmt: skip
    assert region.referenced_segment is not None
    assert str(planar.finding_sites[0].laterality).count("Left") == 1


def test_earlier_objects_are_evidence(current: Study, prior: Study) -> None:
    report = made(current, prior)[0]
    studies = {
        item.StudyInstanceUID
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for item in report.get(keyword, [])
    }
    assert studies == {current[1].study_instance_uid, prior[1].study_instance_uid}


def test_outlines_lie_around_the_voxels(current: Study, prior: Study) -> None:
    (planar,) = read_back(made(current, prior)[0]).get_planar_roi_measurement_groups(tracking_uid=LESION)
    assert planar.roi is not None
    outline = planar.roi.value
    assert planar.roi.graphic_type.value == "POLYLINE"
    assert np.allclose(outline[0], outline[-1])
    # Voxel (row 10 + 1, column 12 + 2) is the first inside: its centre at 14.5, 11.5.
    assert outline.min(axis=0) == pytest.approx([14.0, 11.0], abs=0.01)
    assert outline.max(axis=0) == pytest.approx([19.0, 18.0], abs=0.01)


def test_the_registration_brings_the_prior_onto_this_study(current: Study, prior: Study) -> None:
    registration = reread(made(current, prior)[1])
    one, other = registration.RegistrationSequence
    matrix = [
        np.array(item.MatrixRegistrationSequence[0].MatrixSequence[0].FrameOfReferenceTransformationMatrix).reshape(
            4, 4
        )
        for item in (one, other)
    ]
    assert np.allclose(matrix[0].astype(float), np.eye(4))
    assert np.allclose(np.linalg.det(matrix[1][:3, :3].astype(float)), 1)
    named = {image.ReferencedSOPInstanceUID for image in other.ReferencedImageSequence}
    assert named == {item.sop_instance_uid for item in prior[1].slices}
    assert registration.FrameOfReferenceUID == current[1].frame_of_reference_uid
