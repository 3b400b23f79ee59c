"""The regions as a DICOM Segmentation (PS3.3, A.51) on the slices of the reference series."""

from collections.abc import Mapping, Sequence

import numpy as np
import SimpleITK as sitk
from highdicom.seg import Segmentation, SegmentationTypeValues
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import place_of
from pipeline.names import MANUFACTURER, Region
from pipeline.objects.arguments import content_time, equipment, on_clock_of, series_of_one, set_clock
from pipeline.objects.provenance import Provenance, UidSource, contributing_equipment
from pipeline.objects.seg.content import segment_description
from pipeline.objects.seg.frames import name_sources, stand_ins
from pipeline.objects.source import ReferenceSeries, reference_series
from pipeline.volume.boxes import Box, box_of
from pipeline.volume.records import SourceVolume


class TumourSegmentation(Segmentation):
    """Segmentation of the regions, one segment each, also where a region is empty."""

    def __init__(
        self,
        source: Sequence[Dataset],
        volume: SourceVolume,
        regions: Mapping[Region, sitk.Image],
        provenance: Provenance,
        *,
        names: Mapping[Region, str] | None = None,
        series_number: int = 9002,
        uid_seed: str | None = None,
    ) -> None:
        """
        Parameters
        ----------
        source
            Headers of the reference series' instances, in any order.
        volume
            The same series as a volume.
        regions
            Masks (integer) on the volume's grid or a box of it.
        provenance
            Network, software, installation and time.
        names
            SegmentLabel of each region; the region's own name where absent.
        series_number
            SeriesNumber of the new series.
        uid_seed
            Identity of the job, for UIDs that are the same when the job is repeated.

        Raises
        ------
        GlioLoopError
            OBJECT_INVALID, FRAME_OF_REFERENCE_MISSING.
        """
        series = reference_series(source, volume)
        provenance = on_clock_of(series, provenance)
        uids = UidSource(uid_seed)
        boxes = _boxes(series, regions)
        # Slices without any region would only be left out again.
        span = slice(min(box[0].start for box in boxes.values()), max(box[0].stop for box in boxes.values()))
        try:
            super().__init__(
                source_images=stand_ins(series, span),
                pixel_array=_pixels(series, regions, boxes, span),
                segmentation_type=SegmentationTypeValues.BINARY,
                segment_descriptions=[
                    segment_description(region, number, provenance, (names or {}).get(region, region.value), uids)
                    for number, region in enumerate(regions, start=1)
                ],
                content_description=f"Automatic by {provenance.model}, research use only"[:64],
                content_label="GLIOLOOP",
                transfer_syntax_uid=ExplicitVRLittleEndian,
                omit_empty_frames=True,
                **series_of_one("seg", series_number, provenance, uids, f"{MANUFACTURER} SEG"),
                **equipment(provenance),
                contributing_equipment=[contributing_equipment(provenance)],
                **content_time(provenance),
            )
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise GlioLoopError("OBJECT_INVALID", f"segmentation: {place_of(error)}") from error
        self.ContentCreatorName = ""  # of type 2 in earlier editions; nobody, as ROIInterpreter is
        name_sources(self, series)
        set_clock(self, provenance)


def _boxes(series: ReferenceSeries, regions: Mapping[Region, sitk.Image]) -> dict[Region, Box]:
    """Return which box of the reference grid each region's image covers."""
    if not regions:
        raise GlioLoopError("OBJECT_INVALID", "a segmentation needs at least one region")
    boxes = {region: box_of(image, series.volume.image) for region, image in regions.items()}
    lost = [region for region, box in boxes.items() if box is None]
    if lost:
        raise GlioLoopError("OBJECT_INVALID", f"region {lost[0]} is not on the grid of the reference series")
    return {region: box for region, box in boxes.items() if box is not None}


def _pixels(
    series: ReferenceSeries, regions: Mapping[Region, sitk.Image], boxes: Mapping[Region, Box], span: slice
) -> NDArray[np.uint8]:
    """Return (slices, rows, columns, segments) of a span of slices."""
    shape = (span.stop - span.start, *series.shape[1:], len(regions))
    pixels = np.zeros(shape, dtype=np.uint8)
    for number, (region, image) in enumerate(regions.items()):
        slices, rows, columns = boxes[region]
        values = sitk.GetArrayViewFromImage(image)
        within = slice(slices.start - span.start, slices.stop - span.start)
        pixels[within, rows, columns, number] = values > 0
    return pixels
