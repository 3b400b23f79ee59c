"""The segments of a segmentation of any vendor: binary, fractional and label map (PS3.3, A.51 and C.8.20)."""

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import highdicom
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import Tag

from pipeline.corrections.regions import NamedRoi
from pipeline.errors import GlioLoopError
from pipeline.errors.resources import raise_if_exhausted
from pipeline.objects.rtstruct.parse import InvalidAttributeError, items_of, number_of, text_of

_SEGMENTS: Final = "SegmentSequence"


class Segments:
    """The segments of a segmentation.

    Parameters
    ----------
    dataset
        The segmentation, with its pixels. How its segments are described matters only by number and label: codes,
        colours and tracking may be absent or damaged.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_UNREADABLE where its list of segments cannot be read.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        try:
            self.named = tuple(self._named())
        except InvalidAttributeError as error:
            raise GlioLoopError("STRUCTURE_SET_UNREADABLE", str(error)) from error

    def _named(self) -> Iterator[NamedRoi]:
        for item in items_of(self._dataset, _SEGMENTS):
            number = number_of(item, "SegmentNumber")
            if number is None:
                raise InvalidAttributeError("SegmentNumber", "is absent or no number")
            if number:  # 0 is the background of a label map
                automatic = text_of(item, "SegmentAlgorithmType").upper() == "AUTOMATIC"
                yield NamedRoi(number, text_of(item, "SegmentLabel"), automatic)

    @property
    def exclusive(self) -> bool:
        """Whether no voxel can be of two segments: an outer region then lacks what an inner one holds."""
        return self._is("SegmentationType", "LABELMAP") or self._is("SegmentsOverlap", "NO")

    @property
    def empty(self) -> bool:
        """Whether it has no frames at all: every segment was emptied."""
        return not number_of(self._dataset, "NumberOfFrames") and "PixelData" not in self._dataset

    def _is(self, keyword: str, value: str) -> bool:
        return text_of(self._dataset, keyword).upper() == value

    @cached_property
    def _readable(self) -> highdicom.seg.Segmentation:
        plain = Dataset()
        kept = set(self._dataset.keys()) - {Tag(_SEGMENTS)}
        plain.update({tag: self._dataset.get_item(tag) for tag in kept})
        plain.file_meta = self._dataset.file_meta
        plain.SegmentSequence = [_described(one.number) for one in self.named]
        return highdicom.seg.Segmentation.from_dataset(plain)

    def mask(self, number: int) -> sitk.Image:
        """One segment as an image, float32, 0 to 1.

        Raises
        ------
        GlioLoopError
            STRUCTURE_SET_UNREADABLE.
        """
        for keyword in ("NumberOfFrames", "PixelData"):
            if keyword not in self._dataset:
                raise GlioLoopError("STRUCTURE_SET_UNREADABLE", str(InvalidAttributeError(keyword, "is absent")))
        try:
            return _image(self._readable, number)
        # A damaged file can make the decoder raise nearly anything; whatever it is, the file is what is wrong.
        except Exception as error:
            raise_if_exhausted(error, "segmentation")
            raise GlioLoopError("STRUCTURE_SET_UNREADABLE", _told(error)) from error


def _told(error: Exception) -> str:
    """What to say of an exception: an attribute that is absent by its name, of all else the type."""
    keyword = getattr(error, "name", None) or ""
    return f"{keyword} is absent" if isinstance(error, AttributeError) and keyword else f"{type(error).__name__}"


def _described(number: int) -> Dataset:
    """A segment's description with all that the standard asks for, whatever the file has."""
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=f"Segment {number}",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
    )


def _image(segmentation: highdicom.seg.Segmentation, number: int) -> sitk.Image:
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
