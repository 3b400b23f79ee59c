"""Structure sets of any vendor to masks on a volume; how a radiologist's corrections come back."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import RTStructureSetStorage

from pipeline.errors import GlioLoopError
from pipeline.exhaustion import raise_if_exhausted
from pipeline.objects.rtstruct.enum import ContourGeometricTypes
from pipeline.objects.rtstruct.planes import place
from pipeline.objects.rtstruct.rasterise import rasterise
from pipeline.volume.records import SourceVolume

#: Larger files are refused before they are read; the largest real ones have some tens of MiB.
LARGEST_FILE_BYTES = 512 * 1024 * 1024

_CONTOUR_DATA = Tag("ContourData")
#: Geometric types that bound no area.
_WITHOUT_AREA = frozenset({ContourGeometricTypes.POINT.value, ContourGeometricTypes.OPEN_NONPLANAR.value})


@dataclass(frozen=True)
class StructureSetOrigin:
    """Who made a structure set and what became of it.

    Attributes
    ----------
    sop_instance_uid, label, manufacturer, software_versions
        As written; empty where absent.
    approval_status, reviewer, review_date
        Approval module; the reviewer's name as written.
    operators
        OperatorsName, joined by "; ".
    predecessors
        SOP Instance UIDs of the structure sets that this one derives from.
    """

    sop_instance_uid: str = ""
    label: str = ""
    manufacturer: str = ""
    software_versions: tuple[str, ...] = ()
    approval_status: str = ""
    reviewer: str = ""
    review_date: str = ""
    operators: str = ""
    predecessors: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadRoi:
    """One ROI of a structure set, on a volume.

    Attributes
    ----------
    number, name, description
        As written; the name is "ROI n" where absent.
    mask
        3D uint8, 1 inside, on the volume's grid.
    contour_count
        Contours with an area that the ROI has; 0 for an ROI without contours.
    used_count
        Those of them that lie on slices of the volume.
    colour
        Red, green, blue; None where absent.
    generation_algorithm, interpreted_type, observation_label, observation_description, interpreter
        As written; empty where absent.
    referenced_instances
        SOP Instance UIDs of the images that the contours name.
    warnings
        What was unusual, in words; empty for a plain ROI.
    origin
        The structure set it comes from.
    """

    number: int
    name: str
    mask: sitk.Image
    contour_count: int
    used_count: int
    description: str = ""
    colour: tuple[int, int, int] | None = None
    generation_algorithm: str = ""
    interpreted_type: str = ""
    observation_label: str = ""
    observation_description: str = ""
    interpreter: str = ""
    referenced_instances: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    origin: StructureSetOrigin = field(default_factory=StructureSetOrigin)


def read_structure_set(
    source: Path | str | Dataset, volume: SourceVolume, numbers: Iterable[int] | None = None
) -> list[ReadRoi]:
    """Read the ROIs of a structure set as masks on a volume.

    Parameters
    ----------
    source
        File or dataset.
    volume
        The volume on whose grid the masks are wanted, of any orientation.
    numbers
        ROI numbers to read; all where None.

    Returns
    -------
    list[ReadRoi]
        In the order of the structure set, those without contours included. Tolerant: contours may lie between
        slices, run either way, be open or duplicate, and name images wrongly or not at all; each such thing is
        told in ``warnings``. Points inside are found by the even-odd rule at pixel centres.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_UNREADABLE where it is no structure set or cannot be decoded; STRUCTURE_SET_FOREIGN where
        it belongs to another frame of reference, or has contours but none on the volume.
    """
    try:
        dataset = _dataset(source)
        rois = _read(dataset, volume, None if numbers is None else set(numbers))
    except GlioLoopError:
        raise
    # A damaged file can make the decoder raise nearly anything; whatever it is, the file is what is wrong.
    except Exception as error:
        raise_if_exhausted(error, "structure set")
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", f"{type(error).__name__}: {error}"[:200]) from error
    counted = [roi for roi in rois if roi.contour_count]
    if counted and not any(roi.used_count for roi in counted):
        raise GlioLoopError("STRUCTURE_SET_FOREIGN", "no contour lies on a slice of the reference series")
    return rois


def _dataset(source: Path | str | Dataset) -> Dataset:
    if isinstance(source, Dataset):
        dataset = source
    else:
        path = Path(source)
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise GlioLoopError("STRUCTURE_SET_UNREADABLE", "the file is too large")
        # Some systems send files without the preamble.
        dataset = pydicom.dcmread(path, force=True)
    if dataset.get("SOPClassUID") != RTStructureSetStorage and dataset.get("Modality") != "RTSTRUCT":
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", "not an RT Structure Set")
    return dataset


def _read(dataset: Dataset, volume: SourceVolume, numbers: set[int] | None) -> list[ReadRoi]:
    origin = _origin(dataset)
    contours = {_number(item, "ReferencedROINumber"): item for item in dataset.get("ROIContourSequence") or []}
    described = {_number(item, "ROINumber"): item for item in dataset.get("StructureSetROISequence") or []}
    observed = {_number(item, "ReferencedROINumber"): item for item in dataset.get("RTROIObservationsSequence") or []}
    frames = _frames_of_reference(dataset)
    rois = []
    for number in dict.fromkeys([*described, *contours]):
        if numbers is not None and number not in numbers:
            continue
        item = described.get(number, Dataset())
        own_frame = str(item.get("ReferencedFrameOfReferenceUID") or "")
        known = {own_frame} if own_frame else frames
        roi = _roi(number, item, contours.get(number, Dataset()), observed.get(number, Dataset()), volume, origin)
        if (
            roi.contour_count
            and known
            and volume.frame_of_reference_uid not in known
            and not _names_images(roi, volume)
        ):
            raise GlioLoopError("STRUCTURE_SET_FOREIGN", f"ROI {number} is in another frame of reference")
        rois.append(roi)
    return rois


def _names_images(roi: ReadRoi, volume: SourceVolume) -> bool:
    """Tell whether contours name images of the volume: then a wrong frame of reference is a slip of the writer."""
    return any(item.sop_instance_uid in roi.referenced_instances for item in volume.slices)


def _roi(
    number: int,
    item: Dataset,
    contours: Dataset,
    observation: Dataset,
    volume: SourceVolume,
    origin: StructureSetOrigin,
) -> ReadRoi:
    polygons, referenced, warnings = _polygons(contours)
    placed = place(polygons, volume)
    columns, rows, slices = volume.image.GetSize()
    mask = sitk.GetImageFromArray(rasterise(placed.contours, (slices, rows, columns)))
    mask.CopyInformation(volume.image)
    if not item:
        warnings.append("the ROI has contours but no name")
    colour = [int(part) for part in contours.get("ROIDisplayColor") or []]
    return ReadRoi(
        number=number,
        name=_text(item, "ROIName") or f"ROI {number}",
        mask=mask,
        contour_count=len(polygons),
        used_count=placed.used,
        description=_text(item, "ROIDescription"),
        colour=(colour[0], colour[1], colour[2]) if len(colour) == 3 else None,
        generation_algorithm=_text(item, "ROIGenerationAlgorithm"),
        interpreted_type=_text(observation, "RTROIInterpretedType"),
        observation_label=_text(observation, "ROIObservationLabel"),
        observation_description=_text(observation, "ROIObservationDescription"),
        interpreter=_text(observation, "ROIInterpreter"),
        referenced_instances=frozenset(referenced),
        warnings=(*warnings, *placed.warnings),
        origin=origin,
    )


def _polygons(contours: Dataset) -> tuple[list[NDArray[np.float64]], set[str], list[str]]:
    """Return the contours of an ROI with an area as points (n, 3), the images they name, and warnings."""
    polygons: list[NDArray[np.float64]] = []
    referenced: set[str] = set()
    opened, skipped = 0, 0
    for item in contours.get("ContourSequence") or []:
        kind = _text(item, "ContourGeometricType")
        points = np.empty((0, 3)) if kind in _WITHOUT_AREA else _points(item)
        if len(points) < 3:
            skipped += 1
            continue
        opened += kind == ContourGeometricTypes.OPEN_PLANAR
        polygons.append(points)
        referenced.update(_text(image, "ReferencedSOPInstanceUID") for image in item.get("ContourImageSequence") or [])
    warnings = []
    if opened:
        warnings.append(f"{opened} open contours were closed")
    if skipped:
        warnings.append(f"{skipped} contours bound no area and were left out")
    return polygons, referenced - {""}, warnings


def _points(contour: Dataset) -> NDArray[np.float64]:
    """Return ContourData as (n, 3), LPS, mm; without a closing point that repeats the first.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_UNREADABLE where the numbers are not finite or not triplets.
    """
    if _CONTOUR_DATA not in contour:
        return np.empty((0, 3))
    value = contour.get_item(_CONTOUR_DATA).value
    if isinstance(value, bytes):
        # Straight from the file's bytes: a DS object for each number would take twenty times as long.
        value = [part for part in value.decode("ascii").rstrip("\0 ").split("\\") if part] if value.strip() else []
    numbers = np.array([float(part) for part in value or []], dtype=np.float64)
    if len(numbers) % 3 or not np.isfinite(numbers).all():
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", "ContourData does not hold finite triplets")
    points = numbers.reshape(-1, 3)
    return points[:-1] if len(points) > 1 and np.array_equal(points[0], points[-1]) else points


def _frames_of_reference(dataset: Dataset) -> set[str]:
    items = dataset.get("ReferencedFrameOfReferenceSequence") or []
    named = {_text(item, "FrameOfReferenceUID") for item in items} | {_text(dataset, "FrameOfReferenceUID")}
    return named - {""}


def _origin(dataset: Dataset) -> StructureSetOrigin:
    versions = dataset.get("SoftwareVersions") or MultiValue(str, [])
    return StructureSetOrigin(
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        label=_text(dataset, "StructureSetLabel"),
        manufacturer=_text(dataset, "Manufacturer"),
        software_versions=tuple(map(str, versions)) if isinstance(versions, MultiValue) else (str(versions),),
        approval_status=_text(dataset, "ApprovalStatus"),
        reviewer=_text(dataset, "ReviewerName"),
        review_date=_text(dataset, "ReviewDate"),
        operators=_text(dataset, "OperatorsName"),
        predecessors=tuple(
            _text(item, "ReferencedSOPInstanceUID") for item in dataset.get("PredecessorStructureSetSequence") or []
        ),
    )


def _number(item: Dataset, keyword: str) -> int:
    value = item.get(keyword)
    if value is None:
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", f"an ROI has no {keyword}")
    return int(value)


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    if value is None:
        return ""
    return "; ".join(map(str, value)) if isinstance(value, MultiValue) else str(value)
