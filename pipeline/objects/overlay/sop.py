"""The slices of the reference series with contours burnt in, as Secondary Captures (PS3.3, A.8.1) where they belong.

One instance a slice: every archive shows such a series as a stack, those too that take a multi-frame one for a film.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from highdicom.sr.coding import CodedConcept
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes
from pydicom.uid import RLELossless
from pydicom.valuerep import format_number_as_ds

from pipeline.names import MANUFACTURER
from pipeline.objects.arguments import on_clock_of, series_of_one
from pipeline.objects.capture import Capture
from pipeline.objects.directions import direction_letters
from pipeline.objects.overlay.rle import rle_frame
from pipeline.objects.provenance import Provenance, UidSource
from pipeline.objects.source import ReferenceSeries, SlicePlane, reference_series
from pipeline.volume.records import SourceVolume


class OverlaySlice(Capture):
    """One slice with contours burnt in, in the frame of reference and the plane of its source."""

    def __init__(
        self,
        series: ReferenceSeries,
        index: int,
        picture: Image.Image,
        zoom: int,
        provenance: Provenance,
        uids: UidSource,
        *,
        series_number: int,
    ) -> None:
        """
        Parameters
        ----------
        series
            The reference series.
        index
            Which of its slices.
        picture
            RGB; the slice from its upper left corner, whatever follows below or to the right of it.
        zoom
            Pixels of the picture for one of the slice.
        provenance
            Network, software, installation, and time by the clock of the images.
        uids
            Of the job.
        series_number
            SeriesNumber of the new series.

        Raises
        ------
        GlioLoopError
            OBJECT_INVALID.
        """
        pixels = np.asarray(picture.convert("RGB"))
        place = series_of_one("overlay", series_number, provenance, uids, f"{MANUFACTURER} overlay")
        place["sop_instance_uid"] = uids.uid(f"overlay/instance/{index}")
        place["instance_number"] = index + 1
        super().__init__(series, pixels, place, provenance, kind="overlay")
        self.DerivationDescription = "Contours and volumes burnt in"
        self._set_plane(series, series.planes[index], zoom)
        self.SourceImageSequence = [_source(series.planes[index])]
        self.file_meta.TransferSyntaxUID = RLELossless
        self.PixelData = encapsulate([rle_frame(pixels)])
        self["PixelData"].VR, self["PixelData"].is_undefined_length = "OB", True

    def _set_plane(self, series: ReferenceSeries, plane: SlicePlane, zoom: int) -> None:
        across, down = plane.spacing
        # The first pixel's centre lies half a pixel of its own from the corner that both share.
        shift = (1 / zoom - 1) / 2
        position = plane.position + shift * (plane.column_step + plane.row_step)
        cosines = [*(plane.column_step / across), *(plane.row_step / down)]
        self.PatientOrientation = [
            direction_letters(plane.column_step / across),
            direction_letters(plane.row_step / down),
        ]
        self.FrameOfReferenceUID = series.volume.frame_of_reference_uid
        self.PositionReferenceIndicator = ""
        self.ImageOrientationPatient = [format_number_as_ds(float(cosine)) for cosine in cosines]
        self.ImagePositionPatient = [format_number_as_ds(float(part)) for part in position]
        self.PixelSpacing = [format_number_as_ds(down / zoom), format_number_as_ds(across / zoom)]
        self.SliceThickness = format_number_as_ds(series.volume.slice_thickness_mm or series.slice_distance)


def overlay_series(
    source: Sequence[Dataset],
    volume: SourceVolume,
    pictures: Iterable[Image.Image],
    zoom: int,
    provenance: Provenance,
    *,
    series_number: int = 9009,
    uid_seed: str | None = None,
) -> Iterator[OverlaySlice]:
    """Make a series of all slices, each when it is asked for: together they take hundreds of MB.

    Parameters
    ----------
    source
        Headers of the reference series' instances, in any order.
    volume
        The same series as a volume.
    pictures
        One a slice, in their order; see :class:`OverlaySlice` for these and what follows.

    Yields
    ------
    OverlaySlice
        In the order of the slices.

    Raises
    ------
    GlioLoopError
        OBJECT_INVALID, FRAME_OF_REFERENCE_MISSING.
    """
    series = reference_series(source, volume)
    provenance, uids = on_clock_of(series, provenance), UidSource(uid_seed)
    lossy = _lossy(source)
    own = uids.uid("overlay/series")
    for index, picture in enumerate(pictures):
        one = OverlaySlice(series, index, picture, zoom, provenance, uids, series_number=series_number)
        one.SeriesInstanceUID = own  # without a seed each slice would name a series of its own
        one.update(lossy)
        yield one


def _lossy(source: Sequence[Dataset]) -> Dataset:
    """What is said of a lossy compression that an image has been through: it stays so in what is derived from it."""
    told = Dataset()
    for header in source:
        if header.get("LossyImageCompression") == "01":
            told.LossyImageCompression = "01"
            for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
                if header.get(keyword):
                    setattr(told, keyword, header[keyword].value)
            break
    return told


def _source(plane: SlicePlane) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = plane.slice_source.sop_class_uid
    item.ReferencedSOPInstanceUID = plane.slice_source.sop_instance_uid
    if plane.slice_source.frame_number is not None:
        item.ReferencedFrameNumber = plane.slice_source.frame_number
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)]
    return item
