"""Several images at one position in the sample study: the volumes that are read are those of the plain study."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from pipeline.case import stages
from pipeline.case.outcomes import told
from pipeline.case.workspace import Workspace
from pipeline.errors import GlioLoopError
from pipeline.identify import Decision, identify, study_from_files
from pipeline.names import MRSequence
from tests.unit.identify import part_studies as studies
from tests.unit.identify.part_studies import add, changed, images, repainted, setting

Rebuild = Callable[[Path], None]
Volumes = dict[MRSequence, np.ndarray]


@dataclass
class Loaded:
    """What identification and reading made of a study."""

    volumes: Volumes
    decision: Decision
    flags: dict[str, list[str]]


def loaded(study: Path, folder: Path, named: dict[MRSequence, str] | None = None) -> Loaded:
    case = Workspace(folder)
    files = study_from_files(path for path in sorted(study.rglob("*")) if path.is_file())
    decision = identify(files.headers, override=named)
    flagged = told(decision.require())

    def fetch(sequence: MRSequence, uid: str) -> None:
        shutil.rmtree(case.source(sequence), ignore_errors=True)
        case.source(sequence).mkdir(parents=True)
        for number, path in enumerate(files.paths[uid]):
            shutil.copyfile(path, case.source(sequence) / f"{number:05d}.dcm")

    outcome = stages.load_stage(case, decision, 1 << 30, lambda _: None, MRSequence.T1C, fetch)
    flags: dict[str, list[str]] = {}
    for flag in (*flagged, *outcome.flags):
        flags.setdefault(flag.code, []).append(flag.detail)
    return Loaded(volumes_in(case), outcome.identification or decision, flags)


def volumes_in(case: Workspace) -> Volumes:
    return {sequence: sitk.GetArrayFromImage(one.image) for sequence, one in case.read_volumes().items()}


@pytest.fixture(scope="module")
def small_study(sample_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample study with every second pixel: the same heads and slices, read in a fraction of the time."""
    folder = studies.copied(sample_study, tmp_path_factory.mktemp("small"))
    for path in folder.rglob("*.dcm"):
        studies.halved(pydicom.dcmread(path)).save_as(path)
    return folder


@pytest.fixture(scope="module")
def plain(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Volumes:
    """The volumes of the study as it is."""
    return loaded(small_study, tmp_path_factory.mktemp("plain")).volumes


def dixon(folder: str, types: dict[str, list[str]], **common: object) -> Rebuild:
    """The series as the water image among four."""

    def rebuild(study: Path) -> None:
        originals = images(study / folder)
        changed(study / folder, setting(ImageType=types["water"], **common))
        paints = {"fat": lambda p: 400 - p, "in": lambda p: p * 1.2 + 20, "opposed": lambda p: np.abs(p - 150)}
        for name, paint in paints.items():
            if name in types:
                copies = [repainted(one, paint) for one in images(study / folder)[: len(originals)]]
                add(study / folder, copies, setting(ImageType=types[name], **common))

    return rebuild


def component(**values: dict[str, object]) -> Rebuild:
    """T2 with its phase, real or imaginary images."""

    def rebuild(study: Path) -> None:
        originals = images(study / "t2")
        for change in values.values():
            copies = [repainted(one, lambda p: 2000 + p * np.cos(p)) for one in images(study / "t2")[: len(originals)]]
            add(study / "t2", copies, setting(**change))

    return rebuild


def acquisitions(**values: Any) -> Rebuild:
    return lambda study: studies.two_acquisitions(study, **values)


def reversed_numbers(study: Path) -> None:
    """The native images have the higher number and were sent last, but were taken first."""
    studies.two_acquisitions(study, AcquisitionNumber=2, AcquisitionTime="090200")


def no_times(study: Path) -> None:
    """Nothing but InstanceNumber and the images tells."""
    studies.two_acquisitions(study, AcquisitionNumber=1)
    for name in ("t1c",):
        changed(study / name, setting(AcquisitionTime="", ContentTime=""))


def agent_in_one(study: Path) -> None:
    changed(study / "t1c", setting(ContrastBolusAgent="Gadovist", SeriesDescription="T1 SE AX", ProtocolName="T1"))
    studies.two_acquisitions(study, ContrastBolusAgent="", AcquisitionTime="090200")


def times_per_slice(study: Path) -> None:
    studies.two_acquisitions(study)
    for path in (study / "t1c").iterdir():
        dataset = pydicom.dcmread(path)
        start = 92000 if dataset.AcquisitionNumber == 1 else 95000
        dataset.AcquisitionTime = f"{start + int(dataset.InstanceNumber) % 40:06d}"
        dataset.AcquisitionNumber = int(dataset.InstanceNumber)
        dataset.save_as(path)


WATER_FAT = {
    "siemens": {
        "water": ["DERIVED", "PRIMARY", "DIXON", "WATER"],
        "fat": ["DERIVED", "PRIMARY", "DIXON", "FAT"],
        "in": ["ORIGINAL", "PRIMARY", "DIXON", "IN_PHASE"],
        "opposed": ["ORIGINAL", "PRIMARY", "DIXON", "OPP_PHASE"],
    },
    "philips": {
        "water": ["DERIVED", "PRIMARY", "W", "W", "DERIVED"],
        "fat": ["DERIVED", "PRIMARY", "F", "F", "DERIVED"],
        "in": ["ORIGINAL", "PRIMARY", "IP", "M", "FFE"],
        "opposed": ["ORIGINAL", "PRIMARY", "OP", "M", "FFE"],
    },
    "ge": {
        "water": ["DERIVED", "PRIMARY", "OTHER", "WATER"],
        "fat": ["DERIVED", "PRIMARY", "OTHER", "FAT"],
        "opposed": ["ORIGINAL", "PRIMARY", "OTHER", "OUT_PHASE"],
    },
    "in phase stands for water": {
        "water": ["ORIGINAL", "PRIMARY", "IN_PHASE"],
        "fat": ["DERIVED", "PRIMARY", "FAT"],
        "opposed": ["ORIGINAL", "PRIMARY", "OUT_OF_PHASE"],
    },
}

SPLITS: dict[str, tuple[MRSequence, Rebuild]] = {
    "PD then T2": (MRSequence.T2, studies.dual_echo),
    "T2 then PD": (MRSequence.T2, lambda study: studies.dual_echo(study, proton_first=False)),
    "native then enhanced": (MRSequence.T1C, acquisitions()),
    "temporal positions": (MRSequence.T1C, acquisitions(TemporalPositionIdentifier=1, AcquisitionTime="090200")),
    "native has the higher number": (MRSequence.T1C, reversed_numbers),
    "no times": (MRSequence.T1C, no_times),
    "agent in one": (MRSequence.T1C, agent_in_one),
    "times per slice": (MRSequence.T1C, times_per_slice),
    "phase": (MRSequence.T2, component(phase={"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]})),
    "real and imaginary": (
        MRSequence.T2,
        component(real={"ImageType": ["ORIGINAL", "PRIMARY", "R"]}, other={"ImageType": ["ORIGINAL", "PRIMARY", "I"]}),
    ),
    "component": (MRSequence.T2, component(phase={"ComplexImageComponent": "PHASE"})),
    **{f"dixon {name}": (MRSequence.T2, dixon("t2", types)) for name, types in WATER_FAT.items()},
}


@pytest.mark.parametrize("name", SPLITS)
def test_the_part_that_belongs_there_is_read(name: str, small_study: Path, plain: Volumes, tmp_path: Path) -> None:
    sequence, rebuild = SPLITS[name]
    study = studies.copied(small_study, tmp_path / "study")
    rebuild(study)
    found = loaded(study, tmp_path / "case")
    for each, volume in plain.items():
        assert np.array_equal(found.volumes[each], volume), (each, found.decision.parts, found.flags)
    assert [detail.split(":")[0] for detail in found.flags["SERIES_SPLIT"]] == [sequence.value]
    assert Decision.from_json(found.decision.as_json()) == found.decision


def test_the_native_part_stands_for_a_t1_that_lacks(small_study: Path, plain: Volumes, tmp_path: Path) -> None:
    study = studies.copied(small_study, tmp_path / "study")
    studies.two_acquisitions(study)
    for path in (study / "t1").iterdir():
        path.unlink()
    found = loaded(study, tmp_path / "case")
    assert all(np.array_equal(found.volumes[each], volume) for each, volume in plain.items())
    assert [detail.split(":")[0] for detail in found.flags["SERIES_SPLIT"]] == ["t1", "t1c"]


def test_one_series_that_is_named_for_both(small_study: Path, plain: Volumes, tmp_path: Path) -> None:
    """Nothing tells its native images from its enhanced ones but the images: no time, no number, one description."""
    study = studies.copied(small_study, tmp_path / "study")
    studies.two_acquisitions(study, AcquisitionTime="")
    changed(study / "t1c", setting(AcquisitionTime="", ContrastBolusAgent="", SeriesDescription="T1", ProtocolName=""))
    series = str(images(study / "t1c")[0].SeriesInstanceUID)
    found = loaded(study, tmp_path / "case", {MRSequence.T1: series, MRSequence.T1C: series})
    assert all(np.array_equal(found.volumes[each], volume) for each, volume in plain.items())
    assert [detail.split(":")[0] for detail in found.flags["SERIES_SPLIT"]] == ["t1", "t1c"]


def test_the_later_of_two_that_are_alike(small_study: Path, plain: Volumes, tmp_path: Path) -> None:
    study = studies.copied(small_study, tmp_path / "study")
    changed(study / "t1c", setting(AcquisitionNumber=2))
    before = [repainted(one, lambda p: np.roll(p, 1, axis=1)) for one in images(study / "t1c")]
    add(study / "t1c", before, setting(AcquisitionNumber=1, AcquisitionTime="090430"))
    found = loaded(study, tmp_path / "case")
    assert all(np.array_equal(found.volumes[each], volume) for each, volume in plain.items())
    assert "repetition" in found.flags["SERIES_SPLIT"][0]


def test_what_the_images_cannot_settle_is_refused_with_the_parts_named(small_study: Path, tmp_path: Path) -> None:
    study = studies.copied(small_study, tmp_path / "study")
    changed(study / "t1c", setting(AcquisitionNumber=2))
    rows, columns = np.indices((110, 90)) // 10
    chequered = np.where((rows + columns) % 2, 1.5, 0.7)
    other = [repainted(one, lambda p: p * chequered) for one in images(study / "t1c")]
    add(study / "t1c", other, setting(AcquisitionNumber=1, AcquisitionTime="090430"))
    with pytest.raises(GlioLoopError) as caught:
        loaded(study, tmp_path / "case")
    assert caught.value.code == "SEQUENCE_UNDECIDED"
    assert "acquisition 1 or acquisition 2" in caught.value.detail


def test_many_moments_are_dynamic(small_study: Path, tmp_path: Path) -> None:
    study = studies.copied(small_study, tmp_path / "study")
    originals = images(study / "t2")
    for moment in range(2, 6):
        add(study / "t2", images(study / "t2")[: len(originals)], setting(TemporalPositionIdentifier=moment))
    with pytest.raises(GlioLoopError) as caught:
        loaded(study, tmp_path / "case")
    assert caught.value.code == "SEQUENCE_MISSING"
    (verdict,) = [one for one in caught.value.data["series"] if one["series_number"] == int(originals[0].SeriesNumber)]
    assert "MANY_VOLUMES" in [one["code"] for one in verdict["exclusions"]]


@pytest.mark.parametrize("sequence", list(MRSequence))
def test_a_raw_data_object_in_a_series(sequence: MRSequence, small_study: Path, plain: Volumes, tmp_path: Path) -> None:
    study = studies.copied(small_study, tmp_path / "study")
    studies.raw_data(study / sequence.value)
    found = loaded(study, tmp_path / "case")
    assert all(np.array_equal(found.volumes[each], volume) for each, volume in plain.items())
    assert found.flags["FOREIGN_IMAGES_LEFT_OUT"] == [f"{sequence.value}: 1 no MR image (Raw Data Storage)."]


def test_a_cut_off_file_of_no_chosen_series_does_not_matter(small_study: Path, plain: Volumes, tmp_path: Path) -> None:
    study = studies.copied(small_study, tmp_path / "study")
    other = studies.copied(small_study, tmp_path / "other") / "t2"
    changed(other, setting(SeriesInstanceUID="1.2.3.4", SeriesDescription="T2* GRE", EchoTime=20.0))
    content = sorted(other.iterdir())[20].read_bytes()
    for length in (200, 500, 1000, 2000, len(content) - 100):
        (study / f"cut-{length}.dcm").write_bytes(content[:length])
    found = loaded(study, tmp_path / "case")
    assert all(np.array_equal(found.volumes[each], volume) for each, volume in plain.items())


@pytest.mark.parametrize("pixels_only", [True, False])
def test_a_cut_off_file_of_a_chosen_series_does(pixels_only: bool, small_study: Path, tmp_path: Path) -> None:
    study = studies.copied(small_study, tmp_path / "study")
    path = sorted((study / "t2").iterdir())[-1]
    content = path.read_bytes()
    series = pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID.encode()
    path.write_bytes(content[: -100 if pixels_only else content.index(series) + 90])
    with pytest.raises(GlioLoopError) as caught:
        loaded(study, tmp_path / "case")
    assert caught.value.code in ("FILE_UNREADABLE", "GEOMETRY_MISSING", "PIXELS_INVALID")


def test_a_file_that_does_not_tell_its_series_is_told(small_study: Path, tmp_path: Path) -> None:
    """It may be a slice at the end of a series: the rest is whole."""
    study = studies.copied(small_study, tmp_path / "study")
    path = sorted((study / "t2").iterdir())[-1]
    path.write_bytes(path.read_bytes()[:500])
    files = study_from_files(study.rglob("*.dcm"))
    assert files.damaged == [path]


@pytest.mark.parametrize("clipped", [False, True])
def test_a_subtraction_that_no_word_names(clipped: bool, small_study: Path, plain: Volumes, tmp_path: Path) -> None:
    """By its header the later of two equal T1C; by its images no head."""
    study = studies.copied(small_study, tmp_path / "study")
    (study / "subtracted").mkdir()
    series = generate_uid()
    for native, enhanced in zip(images(study / "t1"), images(study / "t1c"), strict=False):
        difference = enhanced.pixel_array.astype(int) - native.pixel_array * 1.1
        image = repainted(enhanced, lambda p, d=difference: np.clip(d, 0, None) if clipped else d + 2000)
        image.SeriesInstanceUID, image.SeriesNumber, image.AcquisitionTime = series, 66, "094500"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.save_as(study / "subtracted" / f"{image.InstanceNumber}.dcm")
    found = loaded(study, tmp_path / "case")
    assert all(np.array_equal(found.volumes[each], volume) for each, volume in plain.items())
    assert "series 66" in found.flags["SECOND_CHOICE"][0]
