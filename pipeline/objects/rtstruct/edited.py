"""An automatic structure set whose regions were changed voxel by voxel, by a person or to the consensus of several:
an instance of its own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from pipeline.errors import GlioLoopError
from pipeline.names import MANUFACTURER
from pipeline.objects.provenance import UidSource
from pipeline.objects.rtstruct.approval import approve, person_name, successor
from pipeline.objects.rtstruct.content import LONGEST_EXPLICIT, Contour, longest_contour
from pipeline.objects.rtstruct.enum import ApprovalStatuses, HoleEncodings, ROIGenerationAlgorithms
from pipeline.objects.rtstruct.region import RegionOfInterest, region_contours
from pipeline.objects.source import ReferenceSeries

_USE: Final = "Research use only. Not a medical device."
_RESEARCH_USE: Final = f"{_USE} Automatic contours, edited by a person."
#: What begins the description of a consensus, before the words that it is given.
_CONSENSUS: Final = f"{_USE} Consensus of "

_Mask = NDArray[np.bool_]


def edited(
    automatic: Dataset,
    series: ReferenceSeries,
    before: Mapping[int, _Mask],
    after: Mapping[int, _Mask],
    editor: str,
    when: datetime,
    uid_seed: str,
    accept: bool = False,
) -> Dataset:
    """Draw edited regions into a copy of a structure set.

    Parameters
    ----------
    automatic
        As the node wrote it, with its file meta information; left as it is.
    series
        The reference series, on whose slices it is drawn.
    before, after
        By ROI Number: the voxels inside as the structure set is read, and as they are to be; bool, shape (slices, rows,
        columns) of the series.
    editor
        Orthanc's user, for OperatorsName, and where it is accepted for ReviewerName.
    when
        Time of the edit; written on the clock that the structure set names.
    uid_seed
        See :class:`pipeline.objects.provenance.UidSource`.
    accept
        Whether it is approved as well.

    Returns
    -------
    Dataset
        A new instance in a series of its own, its predecessor referenced. Only contours on slices where voxels changed
        are drawn anew, so that all others stay what they were to the last digit.

    Raises
    ------
    GlioLoopError
        OBJECT_INVALID where the masks have another shape, or contours name no slice of the series.
    """
    words = _Words("edited", _RESEARCH_USE, "edited by a person")
    return _redrawn(automatic, series, before, after, editor, when, uid_seed, accept, words)


def agreed(
    automatic: Dataset,
    series: ReferenceSeries,
    before: Mapping[int, _Mask],
    after: Mapping[int, _Mask],
    asked_by: str,
    when: datetime,
    uid_seed: str,
    accept: bool,
    of_whom: str,
) -> Dataset:
    """Draw the consensus of several readers into a copy of a structure set.

    Parameters
    ----------
    automatic, series, before, after, when, uid_seed, accept
        As for :func:`edited`.
    asked_by
        Orthanc's user who asked for it, for OperatorsName, and where it is accepted for ReviewerName.
    of_whom
        For StructureSetDescription, behind "Consensus of": whose contours, and how they were put together.

    Returns
    -------
    Dataset
        As :func:`edited` makes it.

    Raises
    ------
    GlioLoopError
        OBJECT_INVALID as for :func:`edited`.
    """
    words = _Words(_agreed_word(accept), f"{_CONSENSUS}{of_whom}", "put together from those of several readers")
    return _redrawn(automatic, series, before, after, asked_by, when, uid_seed, accept, words)


def consensus_words(dataset: Dataset, uid_seed: Callable[[str], str]) -> str:
    """Return what a structure set says behind "Consensus of", where it is one that this node made; else nothing.

    Parameters
    ----------
    uid_seed
        Gives from those words the seed that its UIDs were made with.
    """
    if not _says(dataset, _CONSENSUS):
        return ""
    words = str(dataset.StructureSetDescription).removeprefix(_CONSENSUS)
    uids = UidSource(uid_seed(words))
    known = {uids.uid(f"{_agreed_word(accept)} instance") for accept in (False, True)}
    return words if str(dataset.SOPInstanceUID) in known else ""


def _agreed_word(accept: bool) -> str:
    return "approved consensus" if accept else "consensus"


@dataclass(frozen=True)
class _Words:
    """What became of a structure set, for its series' description, its own, and those of its ROIs."""

    series: str
    structure_set: str
    roi: str


def _redrawn(
    automatic: Dataset,
    series: ReferenceSeries,
    before: Mapping[int, _Mask],
    after: Mapping[int, _Mask],
    operator: str,
    when: datetime,
    uid_seed: str,
    accept: bool,
    words: _Words,
) -> Dataset:
    made = successor(automatic, words.series, when, words.structure_set, uid_seed)
    made.ApprovalStatus = ApprovalStatuses.UNAPPROVED.value
    made.OperatorsName = person_name(operator)
    rois = {int(one.ROINumber): one for one in made.StructureSetROISequence}
    items = {int(one.ReferencedROINumber): one for one in made.ROIContourSequence}
    for number in after.keys() & rois.keys():
        if after[number].shape != series.shape or before[number].shape != series.shape:
            raise GlioLoopError("OBJECT_INVALID", f"ROI {number}: the mask is not on the reference series")
        changed = (after[number] != before[number]).any(axis=(1, 2))
        if changed.any():
            _redraw(items[number], str(rois[number].ROIName), after[number], changed, series)
            _describe(rois[number], float(after[number].sum()) * _voxel_ml(series), words.roi)
    if accept:
        approve(made, operator)
    if any(longest_contour(item) > LONGEST_EXPLICIT for item in made.ROIContourSequence):
        made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return made


def is_edited_here(dataset: Dataset) -> bool:
    """Whether a structure set says that it is such an instance: what it holds was meant voxel by voxel."""
    return _says(dataset, _RESEARCH_USE)


def _says(dataset: Dataset, words: str) -> bool:
    """Whether a structure set is this product's and its description begins so."""
    ours = str(dataset.get("Manufacturer", "")) == MANUFACTURER
    return ours and str(dataset.get("StructureSetDescription", "")).startswith(words)


def _redraw(item: Dataset, name: str, mask: _Mask, changed: NDArray[np.bool_], series: ReferenceSeries) -> None:
    """Replace the contours of an item of ROIContourSequence on slices that changed; the others keep their points."""
    contours = [*_kept(item, changed, series), *_drawn(name, mask & changed[:, None, None], series)]
    contours.sort(key=lambda one: one[0])
    for number, (_, contour) in enumerate(contours, 1):
        contour.ContourNumber = number
    item.pop("ContourSequence", None)
    if contours:
        item.ContourSequence = [contour for _, contour in contours]


def _kept(item: Dataset, changed: NDArray[np.bool_], series: ReferenceSeries) -> Iterator[tuple[int, Dataset]]:
    places = {(one.sop_instance_uid, one.frame_number): k for k, one in enumerate(series.volume.slices)}
    for contour in item.get("ContourSequence") or ():
        image = contour.ContourImageSequence[0]
        frame = image.get("ReferencedFrameNumber")
        k = places.get((str(image.ReferencedSOPInstanceUID), None if frame is None else int(frame)))
        if k is None:
            raise GlioLoopError("OBJECT_INVALID", "a contour names no slice of the reference series")
        if not changed[k]:
            yield k, contour


def _drawn(name: str, mask: _Mask, series: ReferenceSeries) -> Iterator[tuple[int, Dataset]]:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.CopyInformation(series.volume.image)
    traced = region_contours(RegionOfInterest(1, name, image), series, HoleEncodings.KEYHOLE)
    for index, k in enumerate(traced.slices.tolist()):
        yield k, Contour(index + 1, traced.polygon(index), series.planes[k])


def _describe(roi: Dataset, volume_ml: float, how: str) -> None:
    meaning = str(roi.get("ROIDescription", "")).partition(". ")[0]
    found = f"{volume_ml:.2f} ml" if volume_ml else "nothing left"
    made = f"Automatic by {roi.get('ROIGenerationDescription', '')}, {how}"
    roi.ROIDescription = ". ".join(part for part in (meaning, found, made, "Research use only") if part)[:1024]
    roi.ROIVolume = f"{volume_ml:.4f}"
    roi.ROIGenerationAlgorithm = ROIGenerationAlgorithms.SEMIAUTOMATIC.value


def _voxel_ml(series: ReferenceSeries) -> float:
    return float(np.prod(series.volume.image.GetSpacing())) / 1000
