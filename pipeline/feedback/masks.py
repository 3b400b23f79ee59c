"""Corrected regions on the reference series' grid, completed by the automatic ones, nested."""

from collections.abc import Mapping
from dataclasses import dataclass

import highdicom
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset

from pipeline.align import Alignment
from pipeline.errors import GlioLoopError
from pipeline.exhaustion import raise_if_exhausted
from pipeline.feedback.recognise import drawn_on, kind_of, referenced_images
from pipeline.feedback.regions import NamedRoi, RegionNames
from pipeline.names import TUMOUR_REGIONS, Region, Sequence
from pipeline.objects.rtstruct.read import read_structure_set
from pipeline.volume.records import SourceVolume

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Study:
    """A processed study as corrections need it.

    Attributes
    ----------
    volumes
        The series, one of which may lack.
    alignments
        How each lies against the reference; kept from the job that drew the automatic contours.
    reference
        Sequence whose grid regions are compared on.
    """

    volumes: Mapping[Sequence, SourceVolume]
    alignments: Mapping[Sequence, Alignment]
    reference: Sequence

    @property
    def grid(self) -> sitk.Image:
        """Image whose grid regions are compared on."""
        return self.volumes[self.reference].image

    def images(self) -> dict[Sequence, frozenset[str]]:
        """SOP Instance UIDs of the slices of each sequence."""
        return {
            sequence: frozenset(one.sop_instance_uid for one in volume.slices)
            for sequence, volume in self.volumes.items()
        }


@dataclass(frozen=True)
class Drawn:
    """The regions that an object holds.

    Attributes
    ----------
    masks
        Per region, bool, shape (slices, rows, columns) of the reference series; an empty one was drawn empty.
    sequences
        On whose slices they were drawn.
    unknown
        Names of ROIs that mean no region.
    """

    masks: dict[Region, Mask]
    sequences: tuple[Sequence, ...]
    unknown: tuple[str, ...]


def read_drawn(dataset: Dataset, study: Study, names: RegionNames) -> Drawn:
    """Read the tumour regions of a structure set or segmentation.

    Parameters
    ----------
    dataset
        The object, with all its content.
    study
        The processed study.
    names
        Meaning of ROI names.

    Returns
    -------
    Drawn
        On the reference grid; what was drawn on another sequence's slices is carried over by the study's
        alignment.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_FOREIGN, STRUCTURE_SET_UNREADABLE.
    """
    frames = {sequence: volume.frame_of_reference_uid for sequence, volume in study.volumes.items()}
    sequences = drawn_on(dataset, study.images(), frames, study.reference)
    if kind_of(dataset) == "seg":
        return _read_segmentation(dataset, study, names, sequences)
    return _read_structure_set(dataset, study, names, sequences)


def _read_structure_set(dataset: Dataset, study: Study, names: RegionNames, sequences: tuple[Sequence, ...]) -> Drawn:
    chosen, unknown = names.assign(named_rois(dataset))
    places = _sequence_of_roi(dataset, study, sequences)
    masks = {}
    for sequence in sequences:
        wanted = {
            roi.number: region for region, roi in chosen.items() if places.get(roi.number, sequences[0]) is sequence
        }
        # Only these: an ROI that is drawn on another sequence may lie in another frame of reference.
        for roi in read_structure_set(dataset, study.volumes[sequence], wanted) if wanted else ():
            masks[wanted[roi.number]] = _onto_reference(roi.mask, study, sequence)
    used = tuple(dict.fromkeys(places.get(roi.number, sequences[0]) for roi in chosen.values()))
    return Drawn(masks, used, unknown)


def named_rois(structure_set: Dataset) -> list[NamedRoi]:
    """Return the ROIs of a structure set as far as their names are concerned."""
    return [
        NamedRoi(int(item.ROINumber), str(item.get("ROIName", "") or ""), _is_automatic(item))
        for item in structure_set.get("StructureSetROISequence") or []
    ]


def _is_automatic(item: Dataset) -> bool:
    return str(item.get("ROIGenerationAlgorithm", "") or "").upper() == "AUTOMATIC"


def _sequence_of_roi(dataset: Dataset, study: Study, sequences: tuple[Sequence, ...]) -> dict[int, Sequence]:
    """On whose slices each ROI lies; ROIs without references to images are absent."""
    images = study.images()
    found = {}
    for item in dataset.get("ROIContourSequence") or []:
        referenced = referenced_images(item)
        hits = {sequence: len(referenced & images[sequence]) for sequence in sequences}
        best = max(sequences, key=lambda one: hits[one])
        if hits[best]:
            found[int(item.ReferencedROINumber)] = best
    return found


def _read_segmentation(dataset: Dataset, study: Study, names: RegionNames, sequences: tuple[Sequence, ...]) -> Drawn:
    sequence = sequences[0]
    try:
        segmentation = highdicom.seg.Segmentation.from_dataset(dataset)
        segments = {number: segmentation.get_segment_description(number) for number in segmentation.segment_numbers}
        rois = [
            NamedRoi(number, str(one.segment_label), one.algorithm_type.value == "AUTOMATIC")
            for number, one in segments.items()
        ]
        chosen, unknown = names.assign(rois)
        masks = {
            region: _onto_reference(_segment(segmentation, roi.number), study, sequence)
            for region, roi in chosen.items()
        }
    except (ValueError, RuntimeError, TypeError, AttributeError, KeyError, IndexError, NotImplementedError) as error:
        raise_if_exhausted(error, "segmentation")
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", f"{type(error).__name__}: {error}"[:200]) from error
    return Drawn(masks, (sequence,) if chosen else (), unknown)


def _segment(segmentation: highdicom.seg.Segmentation, number: int) -> sitk.Image:
    """One segment as an image, float32, 0 to 1."""
    fractional = segmentation.segmentation_type.value == "FRACTIONAL"
    volume = segmentation.get_volume(
        segment_numbers=[number], rescale_fractional=fractional, allow_missing_positions=True
    )
    # highdicom's affine maps indices (slice, row, column, [segment]) to LPS mm.
    array = np.asarray(volume.array)[..., 0].astype(np.float32)
    columns = [volume.affine[:3, axis] for axis in (2, 1, 0)]
    spacing = [float(np.linalg.norm(one)) for one in columns]
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin([float(value) for value in volume.affine[:3, 3]])
    direction = np.stack([one / size for one, size in zip(columns, spacing, strict=True)], axis=1)
    if np.linalg.det(direction) < 0:  # slices stored against the direction of their normal
        image = _reversed_slices(array, columns, spacing, volume.affine[:3, 3])
    else:
        image.SetDirection(direction.ravel().tolist())
    return image


def _reversed_slices(
    array: NDArray[np.float32], columns: list[NDArray[np.float64]], spacing: list[float], origin: NDArray[np.float64]
) -> sitk.Image:
    image = sitk.GetImageFromArray(array[::-1].copy())
    image.SetSpacing(spacing)
    image.SetOrigin([float(value) for value in origin + columns[2] * (array.shape[0] - 1)])
    axes = [columns[0] / spacing[0], columns[1] / spacing[1], -columns[2] / spacing[2]]
    image.SetDirection(np.stack(axes, axis=1).ravel().tolist())
    return image


def _onto_reference(mask: sitk.Image, study: Study, sequence: Sequence) -> Mask:
    """Bring a mask that lies on a sequence's images onto the reference grid, (slices, rows, columns)."""
    grid = study.grid
    same = sequence is study.reference and mask.GetSize() == grid.GetSize()
    if same and np.allclose(mask.GetOrigin(), grid.GetOrigin()) and np.allclose(mask.GetSpacing(), grid.GetSpacing()):
        return np.asarray(sitk.GetArrayViewFromImage(mask) >= 0.5)
    transform = study.alignments[sequence].transform
    resampled = sitk.Resample(sitk.Cast(mask, sitk.sitkFloat32), grid, transform, sitk.sitkLinear, 0.0)
    return np.asarray(sitk.GetArrayViewFromImage(resampled) >= 0.5)


def complete(drawn: Mapping[Region, Mask], automatic: Mapping[Region, Mask]) -> dict[Region, Mask]:
    """Fill what was not drawn with the automatic regions, and restore ET ⊂ TC ⊂ WT.

    What a person drew is kept: a drawn inner region widens those around it, and only automatic regions
    are cut to the ones around them.

    Parameters
    ----------
    drawn
        Regions that the object holds, bool arrays of one shape.
    automatic
        All three, of the same shape.

    Returns
    -------
    dict
        All three.
    """
    regions = {region: np.array(drawn.get(region, automatic[region])) for region in TUMOUR_REGIONS}
    pairs = [(outer, inner) for index, outer in enumerate(TUMOUR_REGIONS) for inner in TUMOUR_REGIONS[index + 1 :]]
    for outer, inner in pairs:
        if inner in drawn:
            regions[outer] |= regions[inner]
    for outer, inner in pairs:
        if inner not in drawn:
            regions[inner] &= regions[outer]
    return regions
