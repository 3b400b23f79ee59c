"""References of the objects to their sources: each slice's own instance and frame, however the series is stored."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import EnhancedMRImageStorage, generate_uid

from pipeline.names import Region
from pipeline.objects import ObjectSet, build_objects
from pipeline.volume.records import SliceSource, SourceVolume
from tests.unit.objects.phantom import phantom_series
from tests.unit.objects.test_objects import PROVENANCE, regions_of, reread, validate

#: Slices of a series of ten, by the instance that holds them, in the order of its frames; a number alone is classic.
LAYOUTS: dict[str, list[list[int] | int]] = {
    "classic": [*range(10)],
    "one Enhanced instance": [[*range(10)]],
    "one Enhanced instance against the order of slices": [[*reversed(range(10))]],
    "concatenation": [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]],
    "concatenation in the other order": [[9, 8, 7, 6], [5, 4, 3], [2, 1, 0]],
    "interleaved": [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]],
    "an instance a slice, each Enhanced": [[number] for number in range(10)],
    "classic and Enhanced": [0, [1, 2, 3, 4], 5, [9, 8, 7, 6]],
    "frames that are not of the volume": [[-1, 0, -1, 1, 2, -1, 3, 4], [5, -1, 6, 7, 8, 9]],
}


def stored(layout: Sequence[list[int] | int], numbered: bool = True) -> tuple[list[Dataset], SourceVolume]:
    """Return a phantom series stored as a layout says; -1 is a frame elsewhere."""
    classic, volume = phantom_series()
    slices: dict[int, SliceSource] = {}
    headers = []
    for number, held in enumerate(layout, start=1):
        if isinstance(held, int):
            headers.append(classic[held])
            slices[held] = volume.slices[held]
            continue
        instance = enhanced([classic[max(one, 0)] for one in held])
        if numbered:
            instance.InConcatenationNumber, instance.ConcatenationUID = number, "2.25.77"
        headers.append(instance)
        for frame, one in enumerate(held, start=1):
            if one >= 0:
                item = volume.slices[one]
                slices[one] = SliceSource(EnhancedMRImageStorage, instance.SOPInstanceUID, frame, item.position)
    return headers, dataclasses.replace(volume, slices=tuple(slices[index] for index in range(10)))


def enhanced(frames: Sequence[Dataset]) -> Dataset:
    source = Dataset()
    source.update({element.tag: element for element in frames[0] if element.keyword != "SOPInstanceUID"})
    source.file_meta = frames[0].file_meta
    geometry = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "PixelData")
    for keyword in geometry:
        source.pop(keyword, None)
    source.add_new("SOPClassUID", "UI", EnhancedMRImageStorage)
    source.SOPInstanceUID, source.NumberOfFrames = generate_uid(), len(frames)
    source.PerFrameFunctionalGroupsSequence = []
    for frame in frames:
        group, position, orientation, measures = Dataset(), Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = list(frame.ImagePositionPatient)
        orientation.ImageOrientationPatient = list(frame.ImageOrientationPatient)
        measures.PixelSpacing, measures.SliceThickness = list(frame.PixelSpacing), frame.SliceThickness
        group.PlanePositionSequence, group.PlaneOrientationSequence = [position], [orientation]
        group.PixelMeasuresSequence = [measures]
        source.PerFrameFunctionalGroupsSequence.append(group)
    return source


def built(headers: list[Dataset], volume: SourceVolume, **options: object) -> ObjectSet:
    return build_objects(headers, volume, *regions_of(volume), {}, PROVENANCE, **options)  # type: ignore[arg-type]


def named(source: Dataset) -> tuple[str, str, int | None]:
    frame = source.get("ReferencedFrameNumber")
    return (
        str(source.ReferencedSOPClassUID),
        str(source.ReferencedSOPInstanceUID),
        None if frame is None else int(frame),
    )


def where(position: Sequence[float], volume: SourceVolume) -> tuple[str, str, int | None]:
    """Return instance and frame of the slice at a position."""
    (item,) = [one for one in volume.slices if np.allclose(one.position, [float(part) for part in position], atol=1e-3)]
    return str(item.sop_class_uid), str(item.sop_instance_uid), item.frame_number


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_frame_and_contour_names_its_own_instance_and_frame(
    layout: list[list[int] | int], tmp_path: Path
) -> None:
    headers, volume = stored(layout)
    made = built(headers[::-1], volume)
    segmentation = reread(made.datasets["seg"])
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert named(source) == where(frame.PlanePositionSequence[0].ImagePositionPatient, volume)
    for roi in reread(made.datasets["rtstruct"]).ROIContourSequence:
        for contour in roi.ContourSequence:
            (source,) = contour.ContourImageSequence
            _, _, height = contour.ContourData[:3]
            first = volume.slices[0].position
            assert named(source) == where((first[0], first[1], height), volume)
    everyone = {str(header.SOPInstanceUID) for header in headers}
    (series,) = segmentation.ReferencedSeriesSequence
    assert {str(one.ReferencedSOPInstanceUID) for one in series.ReferencedInstanceSequence} == everyone
    assert {str(one.ReferencedSOPInstanceUID) for one in segmentation.SourceImageSequence} == everyone
    assert {uid for uid in everyone if uid in str(reread(made.datasets["sr"]))} == everyone
    validate(made.datasets, tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_report_without_segmentation_names_the_measured_slice(layout: list[list[int] | int]) -> None:
    headers, volume = stored(layout)
    made = built(headers, volume, want={"sr"})
    slices = {(uid, frame) for _, uid, frame in (where(item.position, volume) for item in volume.slices)}
    assert made.sizes[Region.WT].slice_index == 4 or made.sizes[Region.WT].slice_index == 5
    measured = volume.slices[made.sizes[Region.WT].slice_index]
    groups = [item for item in items(reread(made.datasets["sr"])) if meaning(item) == "Source of Measurement"]
    references = [item.ReferencedSOPSequence[0] for item in groups]
    found = {(str(one.ReferencedSOPInstanceUID), one.get("ReferencedFrameNumber")) for one in references}
    assert (measured.sop_instance_uid, measured.frame_number) in found
    assert found <= slices


def test_building_changes_no_header() -> None:
    headers, volume = stored(LAYOUTS["classic and Enhanced"])
    before = [header.to_json() for header in headers]
    built(headers, volume)
    assert [header.to_json() for header in headers] == before


def items(item: Dataset) -> list[Dataset]:
    return [item, *(below for child in item.get("ContentSequence") or [] for below in items(child))]


def meaning(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning) if "ConceptNameCodeSequence" in item else ""


def test_phantom_is_read_as_it_is_stored() -> None:
    file = io.BytesIO()
    header = stored(LAYOUTS["concatenation"])[0][0]
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.save_as(file, enforce_file_format=True)
    assert len(pydicom.dcmread(io.BytesIO(file.getvalue())).PerFrameFunctionalGroupsSequence) == 4
