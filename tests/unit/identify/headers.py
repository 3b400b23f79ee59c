"""The table of headers as scanners write them, made into headers."""

import tomllib
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from pipeline.identify import SeriesHeader

TABLE = tomllib.loads((Path(__file__).parent / "identify_table.toml").read_text(encoding="utf-8"))["study"]
PLANES = {
    "axial": [1, 0, 0, 0, 1, 0],
    "sagittal": [0, 1, 0, 0, 0, -1],
    "coronal": [1, 0, 0, 0, 0, -1],
}
NOT_DICOM = {"name", "series", "slices", "clock", "plane", "expect"}
ENHANCED = {
    "AcquisitionContrast": "MRImageFrameTypeSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "RepetitionTime": "MRTimingAndRelatedParametersSequence",
    "InversionTimes": "MRModifierSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "SliceThickness": "PixelMeasuresSequence",
}


def header_of(study: dict[str, Any], row: dict[str, Any], number: int) -> SeriesHeader:
    """One row of the table as a header."""
    values = {**{k: v for k, v in study.items() if k not in {"name", "series"}}, **row}
    dataset = Dataset()
    dataset.Modality = "MR"
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    dataset.Rows = dataset.Columns = 256
    dataset.PixelSpacing = [0.9, 0.9]
    dataset.ImageOrientationPatient = PLANES[values.get("plane", "axial")]
    dataset.SeriesNumber = number
    if "clock" in values:
        dataset.AcquisitionDate, dataset.AcquisitionTime = "20240301", values["clock"]
    for keyword, value in values.items():
        if keyword not in NOT_DICOM:
            setattr(dataset, keyword, value)
    if str(dataset.SOPClassUID).endswith("4.1") and "NumberOfFrames" in dataset:
        move_into_functional_groups(dataset)
    return SeriesHeader(f"1.2.{number}", int(values.get("slices", 1)), dataset, f"orthanc-{number}")


def move_into_functional_groups(dataset: Dataset) -> None:
    """What Enhanced MR keeps in functional groups belongs there in the test, too."""
    shared = Dataset()
    for keyword, group in ENHANCED.items():
        if keyword in dataset:
            item = shared.get(group)[0] if group in shared else Dataset()
            setattr(item, keyword, dataset[keyword].value)
            setattr(shared, group, Items([item]))
            delattr(dataset, keyword)
    dataset.SharedFunctionalGroupsSequence = Items([shared])


def headers_of(study: dict[str, Any]) -> list[SeriesHeader]:
    return [header_of(study, row, number) for number, row in enumerate(study["series"], start=1)]
