"""The structured report: what it states, what it refers to, its evidence."""

import io

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from pipeline.errors import Flag
from pipeline.names import Region
from pipeline.objects import ObjectSet, Provenance, build_objects
from tests.unit.objects.phantom import image_like, phantom_series, signed_distance, soft


def build(radius: float, want: frozenset[str] = frozenset({"seg", "sr"}), **options: object) -> ObjectSet:
    headers, volume = phantom_series((12, 40, 48))
    field = soft(radius - signed_distance(volume))
    mask = image_like((field >= 0.5).astype(np.uint8), volume)
    image = image_like(field, volume)
    return build_objects(
        headers, volume, {Region.WT: image}, {Region.WT: mask}, {}, Provenance("unet@1.2.3"), want=want, **options
    )  # type: ignore[arg-type]


def reread(dataset: Dataset) -> hd.sr.ComprehensiveSR:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return hd.sr.ComprehensiveSR.from_dataset(pydicom.dcmread(io.BytesIO(file.getvalue())))


def items(item: Dataset) -> list[Dataset]:
    """Return all content items of a tree."""
    return [item, *(below for child in item.get("ContentSequence") or [] for below in items(child))]


def texts(report: Dataset) -> list[str]:
    return [item.TextValue for item in items(report) if item.get("ValueType") == "TEXT"]


def measured(report: hd.sr.ComprehensiveSR) -> dict[str, tuple[float, str]]:
    group = report.content.get_volumetric_roi_measurement_groups()[0]
    return {item.name.meaning: (float(item.value), item.unit.value) for item in group.get_measurements()}


def test_volume_and_diameters() -> None:
    values = measured(reread(build(13.0).datasets["sr"]))
    assert values["Volume"] == (pytest.approx(4 / 3 * np.pi * 1.3**3, rel=0.02), "ml")
    assert values["Long axis"] == (pytest.approx(26, abs=0.5), "mm")
    assert values["Short axis"] == (pytest.approx(26, abs=0.5), "mm")
    assert values["Maximum 3D Diameter of a Mesh"] == (pytest.approx(26, abs=0.7), "mm")


def test_refers_to_the_segment_and_shares_its_tracking() -> None:
    made = build(13.0)
    segmentation, report = made.datasets["seg"], reread(made.datasets["sr"])
    group = report.content.get_volumetric_roi_measurement_groups()[0]
    assert group.tracking_uid == segmentation.SegmentSequence[0].TrackingUID
    assert group.tracking_identifier == "GTV_WT"
    references = [item.ReferencedSOPSequence[0] for item in items(report) if item.get("ValueType") == "IMAGE"]
    segments = [item for item in references if "ReferencedSegmentNumber" in item]
    assert [item.ReferencedSOPInstanceUID for item in segments] == [segmentation.SOPInstanceUID]
    assert int(segments[0].ReferencedSegmentNumber) == 1


def test_evidence_names_images_and_segmentation() -> None:
    made = build(13.0)
    report = made.datasets["sr"]
    named = {
        item.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert made.datasets["seg"].SOPInstanceUID in named
    assert len(named) == 13


def test_states_flags_model_and_use() -> None:
    report = build(13.0, flags=[Flag("MODEL_UNCERTAIN", "0.31")]).datasets["sr"]
    stated = " | ".join(texts(report))
    assert "uncertain" in stated
    assert "0.31" in stated
    assert "unet@1.2.3" in stated
    assert "Research use only" in stated
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")


@pytest.mark.parametrize("flags", [[], [Flag("NO_TUMOUR_FOUND")]])
def test_no_tumour_found_is_said_once(flags: list[Flag]) -> None:
    report = build(-5.0, flags=flags).datasets["sr"]
    assert sum("No tumour was found" in text for text in texts(report)) == 1
    assert measured(reread(report)) == {"Volume": (0.0, "ml")}


def test_without_a_segmentation() -> None:
    report = reread(build(13.0, want=frozenset({"sr"})).datasets["sr"])
    group = report.content.get_image_measurement_groups()[0]
    assert {item.name.meaning for item in group.get_measurements()} >= {"Volume", "Long axis"}


def test_many_images_are_evidence_and_only_the_measured_ones_described() -> None:
    """A report of a series of many thin slices does not describe each of them."""
    headers, volume = phantom_series((110, 16, 16))
    field = soft(5.0 - signed_distance(volume))
    mask = image_like((field >= 0.5).astype(np.uint8), volume)
    report = reread(
        build_objects(
            headers,
            volume,
            {Region.WT: image_like(field, volume)},
            {Region.WT: mask},
            {},
            Provenance("unet@1.2.3"),
            want=frozenset({"sr"}),
        ).datasets["sr"]
    )
    described = [one for one in items(report) if one.get("ValueType") == "IMAGE"]
    assert 1 <= len({str(one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for one in described}) <= 3
    named = [
        item
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in report.get(keyword) or []
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert len({str(item.ReferencedSOPInstanceUID) for item in named}) == len(headers)
