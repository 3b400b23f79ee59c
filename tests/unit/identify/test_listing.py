"""The headers that identification sees of a series: one a part, from a list that tells positions and little else."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import RawDataStorage, SecondaryCaptureImageStorage

from pipeline.identify import (
    Decision,
    ListedInstance,
    SeriesHeader,
    dataset_from_orthanc_tags,
    headers_from_files,
    headers_of_series,
    identify,
)
from pipeline.identify.traits import triple_of
from pipeline.names import MRSequence
from tests.unit.volume.test_volume import enhanced, instance, saved, stack

T2 = {
    "SeriesDescription": "PD+T2 TSE",
    "RepetitionTime": 4000.0,
    "ScanningSequence": "SE",
    "PixelSpacing": [40.0, 40.0],
}


class Archive:
    """Lists instances by their main attributes, gives headers, and counts how many were asked for."""

    def __init__(self, datasets: list[Dataset]) -> None:
        self.datasets = {str(one.SOPInstanceUID): one for one in datasets}
        self.read = 0

    def headers(self) -> list[SeriesHeader]:
        return headers_of_series("1.2.3", map(self.listed, self.datasets.values()), self.header, "orthanc")

    @staticmethod
    def listed(dataset: Dataset) -> ListedInstance:
        cosines = list(dataset.get("ImageOrientationPatient") or [])
        row, column = triple_of(cosines[:3]), triple_of(cosines[3:])
        return ListedInstance(
            key=str(dataset.SOPInstanceUID),
            number=int(dataset.get("InstanceNumber") or 0),
            frames=int(dataset.get("NumberOfFrames") or 0),
            position=triple_of(dataset.get("ImagePositionPatient")),
            cosines=(row, column) if row and column else None,
        )

    def header(self, key: str) -> Dataset | None:
        self.read += 1
        return self.datasets.get(key)


def parts_of(headers: list[SeriesHeader]) -> list[str]:
    return sorted(str(header.part) for header in headers)


def two(keyword: str, values: tuple[Any, Any], count: int = 20, **common: Any) -> list[Dataset]:
    return [
        instance(100 * e + k, (0, 0, 6.0 * k), **{keyword: value}, **common)
        for k in range(count)
        for e, value in enumerate(values, start=1)
    ]


def test_two_positions_tell_of_all(tmp_path: Path) -> None:
    archive = Archive(two("EchoTime", (14.0, 95.0), **T2))
    headers = archive.headers()
    assert parts_of(headers) == ["echo time 14", "echo time 95"]
    assert archive.read == 4
    assert [(header.slices, header.extent_mm) for header in headers] == [(20, pytest.approx(120.0))] * 2
    from_files, _ = headers_from_files(saved(tmp_path, list(archive.datasets.values())))
    assert parts_of(from_files) == parts_of(headers)


def test_the_echo_that_fits_is_chosen_and_the_decision_survives_its_way() -> None:
    decision = identify(Archive(two("EchoTime", (14.0, 95.0), **T2)).headers())
    assert str(decision.parts[MRSequence.T2]) == "echo time 95"
    assert Decision.from_json(json.loads(json.dumps(decision.as_json()))) == decision


def test_jobs_of_earlier_versions_are_read() -> None:
    stored = identify(Archive(two("EchoTime", (14.0, 95.0), **T2)).headers()).as_json()
    for key in ("parts", "rivals"):
        del stored[key]
    for verdict in stored["series"]:
        del verdict["part"]
    decision = Decision.from_json(stored)
    assert (decision.parts, decision.rivals) == ({}, ())


def test_a_part_that_lacks_slices_counts_what_it_has() -> None:
    datasets = two("EchoTime", (80.0, 95.0), **T2)
    datasets = [one for one in datasets if one.EchoTime != 95.0 or one.ImagePositionPatient[2] > 20]
    headers = Archive(datasets).headers()
    assert {str(one.part): one.slices for one in headers} == {"echo time 80": 20, "echo time 95": 16}
    assert str(identify(headers).parts[MRSequence.T2]) == "echo time 80"


@pytest.mark.parametrize("number", [-5, 10, 500])
def test_a_raw_data_object_never_stands_for_the_series(number: int) -> None:
    raw = instance(90, (0, 0, 0), ImagePositionPatient=None, ImageOrientationPatient=None, InstanceNumber=number)
    raw.SOPClassUID = RawDataStorage
    (header,) = Archive([*stack(12), raw]).headers()
    assert header.dataset.SOPClassUID != RawDataStorage
    assert (header.part, header.slices, header.instance_count) == (None, 12, 13)


def test_a_multi_frame_capture_among_images_never_does() -> None:
    capture = instance(90, (0, 0, 0), ImagePositionPatient=None, ImageOrientationPatient=None, NumberOfFrames=3)
    capture.SOPClassUID = SecondaryCaptureImageStorage
    (header,) = Archive([*stack(12), capture]).headers()
    assert header.dataset.SOPClassUID != SecondaryCaptureImageStorage


def test_a_localizer_and_a_projection_make_no_part() -> None:
    projection = instance(90, (-10, -20, 11), ImageType=["DERIVED", "SECONDARY", "MIP"])
    scout = instance(91, (-10, -20, 11), ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    (header,) = Archive([*stack(12), projection, scout]).headers()
    assert (header.part, header.slices) == (None, 12)


def test_b_values_are_one_series_of_the_highest() -> None:
    (header,) = Archive(two("DiffusionBValue", (0.0, 1000.0))).headers()
    assert (header.dataset.DiffusionBValue, header.volumes) == (1000.0, 2)


@pytest.mark.parametrize("moments", [5, 40])
def test_a_dynamic_series_is_one_of_many_volumes(moments: int) -> None:
    datasets = [
        instance(1, (0, 0, 6.0 * k), TemporalPositionIdentifier=m, SOPInstanceUID=f"1.2.{m}.{k}")
        for k in range(20)
        for m in range(moments)
    ]
    archive = Archive(datasets)
    (header,) = archive.headers()
    assert (header.part, header.volumes) == (None, moments)
    assert archive.read <= 80


def tags_of(dataset: Dataset) -> dict[str, Any]:
    """As Orthanc answers ``GET /instances/{id}/tags``."""
    tags: dict[str, Any] = {}
    for element in dataset:
        name = f"{element.tag.group:04x},{element.tag.element:04x}"
        if element.VR == "SQ":
            tags[name] = {"Type": "Sequence", "Value": [tags_of(item) for item in element.value]}
        elif element.keyword != "PixelData":
            value = element.value
            text = "\\".join(map(str, value)) if isinstance(value, (list, tuple)) or element.VM > 1 else str(value)
            tags[name] = {"Type": "String", "Value": text}
    return tags


@pytest.mark.parametrize("through_json", [False, True])
def test_enhanced_frames_of_two_echoes(through_json: bool) -> None:
    dataset = enhanced(40, echoes=(14.0, 95.06999969))
    for keyword, value in T2.items():
        setattr(dataset, keyword, value)
    archive = Archive([dataset])
    if through_json:
        seen = dataset_from_orthanc_tags(tags_of(dataset), every_frame=True)
        archive.datasets = {str(dataset.SOPInstanceUID): seen}
    headers = archive.headers()
    assert parts_of(headers) == ["echo time 14", "echo time 95.07"]
    assert {header.slices for header in headers} == {40}
    assert str(identify(headers).parts[MRSequence.T2]) == "echo time 95.07"


def test_enhanced_images_of_a_dixon_method() -> None:
    dataset = enhanced(40, echoes=(95.0, 95.0))
    for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        kind = Dataset()
        kind.FrameType = ["DERIVED", "PRIMARY", "DIXON", ("FAT", "WATER")[number % 2]]
        item.MRImageFrameTypeSequence = Items([kind])
    for keyword, value in T2.items():
        setattr(dataset, keyword, value)
    headers = Archive([dataset]).headers()
    assert str(identify(headers).parts[MRSequence.T2]) == "image type DERIVED/PRIMARY/DIXON/WATER"


@pytest.mark.parametrize(("field", "in_phase"), [(1.5, 4.6), (3.0, 2.3)])
def test_of_two_gradient_echoes_the_one_in_phase(field: float, in_phase: float) -> None:
    common = T2 | {
        "SeriesDescription": "T1 GRE",
        "ScanningSequence": "GR",
        "RepetitionTime": 200.0,
        "MagneticFieldStrength": field,
    }
    decision = identify(Archive(two("EchoTime", (in_phase / 2, in_phase), **common)).headers())
    assert str(decision.parts[MRSequence.T1]) == f"echo time {in_phase:g}"


def test_a_native_t1_of_water_and_in_phase_is_one_t1_beside_the_enhanced() -> None:
    kinds = tuple(["ORIGINAL", "PRIMARY", kind] for kind in ("WATER", "IN_PHASE", "OPP_PHASE", "FAT"))
    common = T2 | {"SeriesDescription": "T1 DIXON", "RepetitionTime": 500.0, "EchoTime": 10.0}
    native = [
        instance(20 * e + k, (0, 0, 6.0 * k), ImageType=kind, **common)
        for k in range(20)
        for e, kind in enumerate(kinds)
    ]
    enhanced_one = [
        instance(k + 1, (0, 0, 6.0 * k), **common | {"SeriesDescription": "T1 DIXON POST GD"}) for k in range(20)
    ]
    headers = [
        *Archive(native).headers(),
        *headers_of_series(
            "9", map(Archive.listed, enhanced_one), {str(one.SOPInstanceUID): one for one in enhanced_one}.get
        ),
    ]
    decision = identify(headers)
    assert decision.chosen == {MRSequence.T1: "1.2.3", MRSequence.T1C: "9"}
    assert str(decision.parts[MRSequence.T1]) == "image type ORIGINAL/PRIMARY/WATER"


def test_parts_keep_apart_in_any_order() -> None:
    headers = Archive(two("EchoTime", (14.0, 95.0), **T2)).headers()
    other = [replace(header, series_instance_uid="1.2.4") for header in headers]
    decisions = [identify(order) for order in ([*headers, *other], [*other[::-1], *headers[::-1]])]
    assert decisions[0] == decisions[1]
    assert len(decisions[0].verdicts) == 4
