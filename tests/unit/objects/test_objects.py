"""All objects of one result: valid, consistent with each other, and the same again when a job is repeated."""

import datetime
import io
import logging
import re
import shutil
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_validator.validator.iod_validator import IODValidator
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom import Dataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    SpatialRegistrationStorage,
)

from pipeline.errors import Flag, GlioLoopError
from pipeline.names import ROI_NAMES, TUMOUR_REGIONS, Region
from pipeline.objects import ObjectSet, Provenance, build_objects, read_structure_set
from pipeline.objects.measure import region_size
from pipeline.objects.rtstruct.approval import approved
from pipeline.objects.rtstruct.isocontour import Contours
from pipeline.objects.source import reference_series
from pipeline.settings import ROOT
from pipeline.volume.records import SourceVolume
from tests.unit.objects.phantom import (
    image_like,
    phantom_series,
    random_orientation,
    series_from_folder,
    signed_distance,
    soft,
    tumour,
)
from tests.unit.objects.standard_tables import dicom_info

PROVENANCE = Provenance("unet@1.2.3", "cd" * 32, created=datetime.datetime(2026, 3, 4, 5, 6, 7), options={"tta": "no"})
SOP_CLASSES = (
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    SegmentationStorage,
    ComprehensiveSRStorage,
    SecondaryCaptureImageStorage,
    RTStructureSetStorage,
    SpatialRegistrationStorage,
)
OBLIQUE = random_orientation(np.random.default_rng(2))
Regions = dict[Region, sitk.Image]


def regions_of(volume: SourceVolume, empty: tuple[Region, ...] = ()) -> tuple[Regions, Regions]:
    """Return probabilities and masks of three nested balls; the innermost a shell."""
    distance = signed_distance(volume)
    fields = {
        Region.WT: soft(14 - distance),
        Region.TC: soft(10 - distance),
        Region.ET: soft(np.minimum(10 - distance, distance - 5)),
    }
    fields = {region: np.zeros_like(field) if region in empty else field for region, field in fields.items()}
    probabilities = {region: image_like(field, volume) for region, field in fields.items()}
    masks = {region: image_like((field >= 0.5).astype(np.uint8), volume) for region, field in fields.items()}
    return probabilities, masks


def built(headers: list[Dataset], volume: SourceVolume, **options: object) -> ObjectSet:
    empty = options.pop("empty", ())
    probabilities, masks = regions_of(volume, empty)  # type: ignore[arg-type]
    return build_objects(headers, volume, probabilities, masks, {}, PROVENANCE, **options)  # type: ignore[arg-type]


def reread(dataset: Dataset) -> Dataset:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    file.seek(0)
    return pydicom.dcmread(file)


@pytest.fixture(scope="module")
def oblique() -> tuple[list[Dataset], SourceVolume]:
    return phantom_series((12, 40, 48), orientation=OBLIQUE)


@pytest.fixture(scope="module")
def result(oblique: tuple[list[Dataset], SourceVolume]) -> ObjectSet:
    return built(*oblique, flags=[Flag("TUMOUR_AT_EDGE", "in 3 slices")], uid_seed="job-1")


def test_a_box_around_the_tumour_is_enough(oblique: tuple[list[Dataset], SourceVolume], result: ObjectSet) -> None:
    """Objects made from the part of the grid that holds the tumour are those made from all of it."""
    headers, volume = oblique
    probabilities, masks = regions_of(volume)
    inside = np.argwhere(sitk.GetArrayViewFromImage(masks[Region.WT]) > 0)[:, ::-1]
    low = np.maximum(inside.min(axis=0) - 1, 0).tolist()
    high = (inside.max(axis=0) + 2).tolist()
    box = tuple(slice(one, other) for one, other in zip(low, high, strict=True))
    cut = [{region: image[box] for region, image in images.items()} for images in (probabilities, masks)]
    assert cut[0][Region.WT].GetNumberOfPixels() < 0.8 * probabilities[Region.WT].GetNumberOfPixels()
    made = build_objects(
        headers, volume, *cut, {}, PROVENANCE, flags=[Flag("TUMOUR_AT_EDGE", "in 3 slices")], uid_seed="job-1"
    )
    for region, size in made.sizes.items():
        assert astuple(size) == pytest.approx(astuple(result.sizes[region]))
    for kind, dataset in made.datasets.items():
        one, other = reread(dataset), reread(result.datasets[kind])
        if kind == "seg":  # highdicom makes this one anew each time
            (uid, fresh) = (each.DimensionOrganizationSequence[0].DimensionOrganizationUID for each in (other, one))
            one = pydicom.Dataset.from_json(one.to_json().replace(fresh, uid))
            other = pydicom.Dataset.from_json(other.to_json())
        assert one == other, kind


def validate(datasets: dict[str, Dataset], folder: Path) -> None:
    """Run dicom-validator and dciodvfy over objects and fail with their errors."""
    info = dicom_info(*SOP_CLASSES)
    for kind, dataset in datasets.items():
        found = IODValidator(reread(dataset), info, log_level=logging.CRITICAL).validate()
        assert not found.errors, f"{kind}: {found.module_errors}"
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    for kind, dataset in datasets.items():
        path = folder / f"{kind}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert not lines, f"{kind}: {lines}"


def test_dicom_validator_finds_what_is_missing_or_does_not_belong(result: ObjectSet) -> None:
    info = dicom_info(*SOP_CLASSES)
    spoilt = reread(result.datasets["rtstruct"])
    del spoilt.StructureSetROISequence[0].ROIGenerationAlgorithm
    spoilt.RTROIObservationsSequence[0].Rows = 7
    found = IODValidator(spoilt, info, log_level=logging.CRITICAL).validate()
    assert found.errors == 2, found.module_errors


def test_objects_pass_the_validators(result: ObjectSet, tmp_path: Path) -> None:
    assert set(result.datasets) == {"rtstruct", "seg", "sr", "preview"}
    accepted = approved(
        reread(result.datasets["rtstruct"]), "j.doe", datetime.datetime.now(datetime.UTC), "approved job"
    )
    validate(result.datasets | {"approved": accepted}, tmp_path)


def test_objects_of_an_empty_result_pass_the_validators(oblique: tuple, tmp_path: Path) -> None:
    validate(built(*oblique, empty=TUMOUR_REGIONS, flags=[Flag("NO_TUMOUR_FOUND")]).datasets, tmp_path)


def test_objects_of_a_real_study(real_study: Path, tmp_path: Path) -> None:
    headers, volume = series_from_folder(real_study / "t1c")
    fields = {Region(name): field for name, field in tumour(volume).items()}
    made = build_objects(
        headers,
        volume,
        {region: image_like(field, volume) for region, field in fields.items()},
        {region: image_like((field >= 0.5).astype(np.uint8), volume) for region, field in fields.items()},
        {},
        PROVENANCE,
    )
    validate(made.datasets, tmp_path)
    for roi in read_structure_set(reread(made.datasets["rtstruct"]), volume):
        expected = fields[Region(roi.name.removeprefix("GTV_"))] >= 0.5
        assert np.array_equal(sitk.GetArrayFromImage(roi.mask) > 0, expected)


@pytest.mark.parametrize("kind", ["rtstruct", "seg", "sr", "preview"])
def test_every_mandatory_attribute_of_the_standard_is_there(result: ObjectSet, kind: str) -> None:
    """By highdicom's tables of PS3.3: attributes of type 1 and 2 in the mandatory modules, at the root."""
    dataset = reread(result.datasets[kind])
    for module in get_iod_module_map()[get_sop_class_iod_map()[dataset.SOPClassUID]]:
        # The table of the content tree lists what single kinds of content items need.
        if module["usage"] != "M" or module["key"] == "sr-document-content":
            continue
        for attribute in get_module_attribute_map()[module["key"]]:
            if attribute["path"] or attribute["type"] not in ("1", "2"):
                continue
            assert attribute["keyword"] in dataset, f"{module['key']}: {attribute['keyword']}"
            if attribute["type"] == "1":
                assert dataset[attribute["keyword"]].value not in (None, ""), attribute["keyword"]


def test_objects_belong_to_the_study_and_say_what_made_them(oblique: tuple, result: ObjectSet) -> None:
    _, volume = oblique
    series = set()
    for dataset in result.datasets.values():
        assert (dataset.PatientID, str(dataset.PatientName)) == ("P1", "Doe^Jo")
        assert dataset.StudyInstanceUID == volume.study_instance_uid
        assert dataset.Manufacturer == "GlioLoop"
        assert list(dataset.SoftwareVersions)[1] == "unet@1.2.3"
        assert "unet@1.2.3" in dataset.SeriesDescription
        assert "GlioLoop" in [item.Manufacturer for item in dataset.ContributingEquipmentSequence]
        series.add(str(dataset.SeriesInstanceUID))
    assert len(series) == 4
    assert volume.series_instance_uid not in series


def test_a_repeated_job_gives_the_same_uids_another_job_others(oblique: tuple, result: ObjectSet) -> None:
    again, other, fresh = built(*oblique, uid_seed="job-1"), built(*oblique, uid_seed="job-2"), built(*oblique)
    for kind, dataset in result.datasets.items():
        assert again.datasets[kind].SOPInstanceUID == dataset.SOPInstanceUID
        assert again.datasets[kind].SeriesInstanceUID == dataset.SeriesInstanceUID
        uids = {made.datasets[kind].SOPInstanceUID for made in (result, other, fresh)}
        assert len(uids) == 3
    again_seg, again_rt = again.datasets["seg"], again.datasets["rtstruct"]
    assert again_seg.PixelData == result.datasets["seg"].PixelData
    assert again_rt.ROIContourSequence == result.datasets["rtstruct"].ROIContourSequence


def test_no_private_attributes_and_the_transfer_syntaxes_that_are_promised(result: ObjectSet) -> None:
    for dataset in result.datasets.values():
        assert not [element.tag for element in reread(dataset).iterall() if element.tag.is_private]
        assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_every_test_that_the_page_on_dicom_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "dicom.md").read_text()))
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 30
    assert not [name for name in named if f"def {name}(" not in sources]


@pytest.mark.parametrize("want", [set(), {"rtstruct"}, {"seg", "preview"}, {"sr"}])
def test_each_object_can_be_switched_off(oblique: tuple, want: set[str]) -> None:
    made = built(*oblique, want=want)
    assert set(made.datasets) == want
    assert (made.picture is not None) == ("preview" in want)
    assert made.sizes[Region.WT].volume_ml > 0


def test_an_unknown_kind_of_object_is_refused(oblique: tuple) -> None:
    with pytest.raises(GlioLoopError) as caught:
        built(*oblique, want={"rtstrukt"})
    assert caught.value.code == "OBJECT_INVALID"


def test_roi_names_are_configurable(oblique: tuple) -> None:
    made = built(*oblique, roi_names={**ROI_NAMES, Region.WT: "GTV_Flair"}, want={"rtstruct", "seg"})
    assert made.datasets["rtstruct"].StructureSetROISequence[0].ROIName == "GTV_Flair"
    assert made.datasets["seg"].SegmentSequence[0].SegmentLabel == "GTV_Flair"


def test_headers_are_left_as_they_were(oblique: tuple) -> None:
    headers, volume = phantom_series((12, 40, 48))
    del headers[0].AccessionNumber
    before = [header.to_json() for header in headers]
    built(headers, volume)
    assert [header.to_json() for header in headers] == before


def test_sizes_of_a_known_box() -> None:
    headers, volume = phantom_series((10, 32, 40), spacing=(0.5, 2.0, 3.0))
    box = np.array([[4.5, 2.5], [24.5, 2.5], [24.5, 12.5], [4.5, 12.5]])  # 10 mm by 20 mm
    contours = Contours(np.concatenate([box] * 3), np.array([0, 4, 8]), np.array([2, 3, 4]))
    size = region_size(contours, reference_series(headers, volume))
    assert size.volume_ml == pytest.approx(10 * 20 * 9 / 1000)
    assert size.long_axis_mm == pytest.approx(np.hypot(10, 20))
    assert size.short_axis_mm == pytest.approx(2 * 10 * 20 / np.hypot(10, 20))
    assert size.diameter_mm == pytest.approx(np.sqrt(10**2 + 20**2 + 6**2))


def test_no_patient_name_reaches_the_logs(caplog: pytest.LogCaptureFixture) -> None:
    headers, volume = phantom_series((12, 40, 48))
    for header in headers:
        header.PatientName = "DOE JANE\\1"
    # A fresh interpreter: the test runner replaces the filters of warnings.
    warning = "The string X is unlikely to represent the intended person name"
    code = f"import warnings, pipeline.objects; warnings.warn({warning!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    built(headers, volume)
    assert "DOE" not in caplog.text
