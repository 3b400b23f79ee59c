"""A volume and where every slice of it came from."""

from dataclasses import dataclass

import SimpleITK as sitk


@dataclass(frozen=True)
class SliceSource:
    """One slice of a volume.

    Attributes
    ----------
    sop_class_uid, sop_instance_uid
        The instance that holds the slice.
    frame_number
        1-based frame in a multi-frame instance, None in a classic one.
    position
        ImagePositionPatient, LPS, mm, as written in the file (not recomputed).
    """

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None
    position: tuple[float, float, float]


@dataclass(frozen=True)
class SourceVolume:
    """A series as one volume.

    Attributes
    ----------
    image
        float32, 3D, LPS, mm; index order (column i, row j, slice k) as SimpleITK has it. Slice k of the
        image is ``slices[k]``; k grows along the cross product of the row and column direction cosines.
    slices
        One record a slice, in the order of k.
    study_instance_uid, series_instance_uid, frame_of_reference_uid
        As in the files.
    slice_thickness_mm
        SliceThickness as written, where absent SpacingBetweenSlices, else None (``image.GetSpacing()[2]`` is the
        distance of slices).
    valid
        uint8 on the grid of ``image``: 1 where really imaged, 0 for padding and for a constant background. None
        where all of it was.
    """

    image: sitk.Image
    slices: tuple[SliceSource, ...]
    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    slice_thickness_mm: float | None = None
    valid: sitk.Image | None = None
