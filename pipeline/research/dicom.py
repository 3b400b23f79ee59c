"""A case as DICOM, made anew: nothing of the headers of its study is in it, for the store has none of them.

Four series of MR images on the case's grid, a structure set and a segmentation of what was drawn, all of one frame of
reference. UIDs are hashes of the case's pseudonym: two exports of a case have the same, and nothing leads back.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from pipeline.corrections.record import CaseRecord
from pipeline.evaluation.labels import OWN
from pipeline.names import MANUFACTURER, MANUFACTURER_MODEL_NAME, ROI_NAMES, TUMOUR_REGIONS, MRSequence
from pipeline.objects.build import build_objects
from pipeline.objects.provenance import Provenance, UidSource
from pipeline.objects.rtstruct.enum import ROIGenerationAlgorithms
from pipeline.volume import read_volume

_DESCRIPTIONS: Final = {
    MRSequence.T1: "T1",
    MRSequence.T1C: "T1 with contrast",
    MRSequence.T2: "T2",
    MRSequence.FLAIR: "FLAIR",
}
#: PS3.16, CID 7050.
_METHODS: Final = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113102", "Clean Recognizable Visual Features Option"),
    ("113105", "Clean Descriptors Option"),
)
_CORRECTED: Final = "Corrected by a person, research use only"


def write_study(folder: Path, record: CaseRecord, images: Mapping[MRSequence, sitk.Image], labels: sitk.Image) -> None:
    """Write a case's images and what was drawn on them.

    Parameters
    ----------
    folder
        Made; gets a folder for each sequence, ``rtstruct.dcm`` and ``seg.dcm``.
    record
        Of the case.
    images
        int16, without faces, on one grid.
    labels
        The tumour on that grid, as BraTS has it.

    Raises
    ------
    GlioLoopError
        OBJECT_INVALID.
    """
    uids = UidSource(f"release {record.id}")
    for number, (sequence, image) in enumerate(images.items(), start=1):
        _write_series(folder / sequence.value, record, sequence, number, image, uids)
    reference = MRSequence.T1C if MRSequence.T1C in images else next(iter(images))
    files = sorted((folder / reference.value).iterdir())
    headers = [dcmread(path, stop_before_pixels=True) for path in files]
    masks = dict(zip(TUMOUR_REGIONS, OWN.regions(sitk.GetArrayViewFromImage(labels)), strict=True))
    found = build_objects(
        headers,
        read_volume(files),
        {},
        {region: _mask(mask, labels) for region, mask in masks.items()},
        {},
        Provenance(record.model),
        want=("rtstruct", "seg"),
        uid_seed=f"release {record.id}",
    )
    for kind, dataset in found.datasets.items():
        _say_who_drew(dataset, record)
        _say_deidentified(dataset)
        dataset.save_as(folder / f"{kind}.dcm", enforce_file_format=True)


def _mask(mask: NDArray[np.bool_], grid: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.CopyInformation(grid)
    return image


def _write_series(
    folder: Path, record: CaseRecord, sequence: MRSequence, number: int, image: sitk.Image, uids: UidSource
) -> None:
    folder.mkdir(parents=True)
    series = uids.uid(f"series {sequence.value}")
    array = sitk.GetArrayFromImage(image).astype(np.int16)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    across, down, between = image.GetSpacing()
    bright = float(np.percentile(array[array > 0], 99.5)) if (array > 0).any() else 1.0
    for index, plane in enumerate(array):
        dataset = _patient_and_study(record, uids)
        dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, uids.uid(f"image {sequence.value} {index}")
        dataset.Modality, dataset.SeriesInstanceUID, dataset.SeriesNumber = "MR", series, number
        dataset.SeriesDescription, dataset.InstanceNumber = _DESCRIPTIONS[sequence], index + 1
        dataset.BodyPartExamined, dataset.PatientPosition = "HEAD", ""
        dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
        dataset.DerivationDescription = "Resampled onto one grid, rescaled, skull-stripped"
        # Of type 1 or 2; the case does not know how its images were taken.
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "RM", "NONE", ""
        dataset.MRAcquisitionType, dataset.EchoTime, dataset.EchoTrainLength = "", None, None
        dataset.RepetitionTime = None
        dataset.SliceThickness = dataset.SpacingBetweenSlices = format_number_as_ds(between)
        dataset.PixelSpacing = [format_number_as_ds(down), format_number_as_ds(across)]
        dataset.ImageOrientationPatient = [
            format_number_as_ds(float(one)) for one in (*direction[:, 0], *direction[:, 1])
        ]
        position = image.TransformIndexToPhysicalPoint((0, 0, index))
        dataset.ImagePositionPatient = [format_number_as_ds(one) for one in position]
        (dataset.Rows, dataset.Columns), dataset.SamplesPerPixel = plane.shape, 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 1
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.WindowCenter, dataset.WindowWidth = format_number_as_ds(bright / 2), format_number_as_ds(bright)
        dataset.BurnedInAnnotation, dataset.RecognizableVisualFeatures = "NO", "NO"
        dataset.PixelData = plane.astype("<i2").tobytes()
        _say_deidentified(dataset)
        dataset.save_as(folder / f"{index:04d}.dcm", enforce_file_format=True)


def _patient_and_study(record: CaseRecord, uids: UidSource) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientID, dataset.PatientName = record.patient, f"{record.patient}^"
    dataset.PatientBirthDate, dataset.PatientSex = "", ""
    # All versions of a study's corrections are of one study.
    dataset.StudyInstanceUID = UidSource(f"release {record.study}").uid("study")
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "", "", ""
    dataset.StudyDate, dataset.StudyTime = "", ""
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = uids.uid("frame of reference"), ""
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, MANUFACTURER_MODEL_NAME
    return dataset


def _say_deidentified(dataset: Dataset) -> None:
    # Where and when the export was made is nobody's business; its date is all that is left.
    for place in (dataset, *dataset.get("ContributingEquipmentSequence", ())):
        for keyword in ("TimezoneOffsetFromUTC", "ContributionDateTime"):
            place.pop(keyword, None)
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Made anew from pseudonymous, skull-stripped volumes"
    dataset.DeidentificationMethodCodeSequence = Sequence(
        CodedConcept(value, "DCM", meaning) for value, meaning in _METHODS
    )
    dataset.LongitudinalTemporalInformationModified = "REMOVED"


def _say_who_drew(dataset: Dataset, record: CaseRecord) -> None:
    """What a person drew is no longer automatic; what was accepted as it was is."""
    drawn = {ROI_NAMES[region] for region in TUMOUR_REGIONS if _drawn(record, region.value)}
    semiautomatic = ROIGenerationAlgorithms.SEMIAUTOMATIC.value
    readers = len(record.consensus_of)
    how = f"Consensus of {readers} readers, research use only" if readers else _CORRECTED
    for roi in dataset.get("StructureSetROISequence", ()):
        if roi.ROIName in drawn:
            roi.ROIGenerationAlgorithm, roi.ROIGenerationDescription = semiautomatic, how
    for segment in dataset.get("SegmentSequence", ()):
        if segment.SegmentLabel in drawn:
            segment.SegmentAlgorithmType = semiautomatic
    if drawn and "ContentDescription" in dataset:
        dataset.ContentDescription = how


def _drawn(record: CaseRecord, region: str) -> bool:
    return record.kind == "corrected" and region in record.regions and record.regions[region].drawn
