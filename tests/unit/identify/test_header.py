"""Headers from files and from Orthanc's JSON."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from pipeline.errors import GlioLoopError
from pipeline.identify import SeriesHeader, dataset_from_orthanc_tags, headers_from_files, identify
from pipeline.identify.facts import facts_of, normalise


def entry(value: Any, kind: str = "String") -> dict[str, Any]:
    return {"Name": "", "Type": kind, "Value": value}


# as Orthanc 1.10.1 answers GET /instances/{id}/tags
TAGS = {
    "0008,0005": entry("ISO_IR 13"),
    "0008,0008": entry("ORIGINAL¥PRIMARY¥M¥ND"),
    "0008,0060": entry("MR"),
    "0008,103e": entry("T2 \\ ax"),
    "0008,1140": entry([{"0008,1150": entry("1.2.840.10008.5.1.4.1.1.4")}], "Sequence"),
    "0018,0050": entry("5"),
    "0018,0080": entry(None, "Null"),
    "0018,0081": entry("not a number"),
    "0018,9087": entry("0"),
    "0020,0013": entry("7"),
    "0020,0037": entry("1\\0\\0\\0\\1\\0"),
    "0028,0010": entry("256"),
    "0028,0030": entry("0.9\\0.9"),
    "0043,0010": entry("GEMS_PARM_01"),
    "0043,1039": entry("1000000800\\8\\0\\0"),
    "0029,1010": entry(None, "TooLong"),
    "0029,1011": entry("AAAA", "Binary"),
    "5200,9230": entry(
        [{"0018,9114": entry([{"0018,9082": entry(str(i))}], "Sequence")} for i in range(9)], "Sequence"
    ),
    "7fe0,0010": entry(None, "Null"),
    "nonsense": entry("x"),
}


def test_orthanc_tags_become_a_dataset() -> None:
    dataset = dataset_from_orthanc_tags(TAGS)
    assert list(dataset.ImageType) == ["ORIGINAL", "PRIMARY", "M", "ND"]
    assert (dataset.Modality, dataset.Rows, dataset.SliceThickness) == ("MR", 256, 5.0)
    assert list(dataset.PixelSpacing) == [0.9, 0.9]
    assert dataset.ReferencedImageSequence[0].ReferencedSOPClassUID == MRImageStorage
    assert dataset.DiffusionBValue == 0.0
    assert list(dataset[0x0043, 0x1039].value) == ["1000000800", "8", "0", "0"]
    for absent in ("RepetitionTime", "PixelData"):
        assert absent not in dataset


def test_only_two_frames_are_kept() -> None:
    groups = dataset_from_orthanc_tags(TAGS).PerFrameFunctionalGroupsSequence
    assert [item.MREchoSequence[0].EffectiveEchoTime for item in groups] == [0.0, 4.0]


def test_facts_from_orthanc_tags() -> None:
    tags = {**TAGS, "0008,0070": entry("GE MEDICAL SYSTEMS")}
    facts = facts_of(SeriesHeader("1", 26, dataset_from_orthanc_tags(tags)))
    assert (facts.b_value, facts.plane, facts.coverage) == (800.0, "axial", 130.0)
    assert (facts.tr, facts.te) == (None, 4.0)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("t2_tirm_tra_dark-fluid", "t2 tirm tra dark fluid"),
        ("AxT1Flair", "ax t1 flair"),
        ("eT1W_3D_TFE", "e t1w 3d tfe"),
        ("Après injection", "apres injection"),
        ("BRAIN W/O C", "brain without c"),
        ("T1 w/Gd", "t1 with gd"),
        ("T1 -C", "t1 minus c"),
        ("T1-Gd", "t1 gd"),
        ("T2* größer", "t2* grosser"),
        ("t1+C", "t1+c"),
    ],
)
def test_normalise(written: str, normal: str) -> None:
    assert normalise(written) == normal


def write(path: Path, **values: Any) -> Path:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = MRImageStorage, generate_uid(), "MR"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_files_are_grouped_and_the_middle_instance_stands_for_the_series(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{i}.dcm", SeriesInstanceUID="1.2", InstanceNumber=i) for i in (3, 1, 2)]
    files.append(write(tmp_path / "b.dcm", SeriesInstanceUID="1.3", InstanceNumber=1))
    (tmp_path / "notes.txt").write_text("no DICOM")
    headers, paths = headers_from_files([*files, tmp_path / "notes.txt"])
    assert [(h.series_instance_uid, h.instance_count) for h in headers] == [("1.2", 3), ("1.3", 1)]
    assert headers[0].dataset.InstanceNumber == 2
    assert paths == {"1.2": sorted(files[:3]), "1.3": [files[3]]}


def test_an_instance_with_a_b_value_stands_for_the_series(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{i}.dcm", SeriesInstanceUID="1.2", InstanceNumber=i, DiffusionBValue=b)
        for i, b in enumerate([0.0, 0.0, 0.0, 1000.0])
    ]
    assert headers_from_files(files)[0][0].dataset.DiffusionBValue == 1000.0


def test_a_damaged_header_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.dcm", SeriesInstanceUID="1.2").read_bytes()
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(whole[:140] + b"\xff" * 64)
    with pytest.raises(GlioLoopError) as caught:
        headers_from_files([damaged])
    assert caught.value.code == "FILE_UNREADABLE"


def test_copies_of_a_series_count_once(tmp_path: Path, shared_data: Path) -> None:
    source = sorted((shared_data / "tcga-fg-6692" / "dicom" / "t2").glob("*.dcm"))
    for file in source:
        shutil.copy(file, tmp_path)
    headers, _ = headers_from_files(source)
    assert len(identify([*headers, *headers]).verdicts) == 1
