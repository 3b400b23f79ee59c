"""The contours as a Grayscale Softcopy Presentation State (PS3.3, A.33.1) of the reference series."""

from collections.abc import Iterable, Mapping, Sequence

from highdicom.content import PresentationLUTTransformation, ReferencedImageSequence
from highdicom.pr import GrayscaleSoftcopyPresentationState
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DT, format_number_as_ds

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import place_of
from pipeline.names import MANUFACTURER, Region
from pipeline.objects.arguments import equipment, on_clock_of, series_of_one, set_clock
from pipeline.objects.gsps.content import annotations, layers
from pipeline.objects.gsps.greys import greys_of, modality_lut, windows
from pipeline.objects.preview.drawing import DrawnRegion
from pipeline.objects.provenance import Provenance, UidSource, contributing_equipment
from pipeline.objects.seg.frames import named_source, stand_ins
from pipeline.objects.source import ReferenceSeries, reference_series
from pipeline.volume.records import SourceVolume


class ContourPresentation(GrayscaleSoftcopyPresentationState):
    """Contours as graphics over the images themselves, a layer for each region, shown with the images' own windows."""

    def __init__(
        self,
        source: Sequence[Dataset],
        volume: SourceVolume,
        regions: Mapping[Region, DrawnRegion],
        legend: Mapping[Region, str],
        remarks: Sequence[str],
        provenance: Provenance,
        *,
        series_number: int = 9011,
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
            What is drawn.
        legend
            A line for each region, shown on every slice.
        remarks
            Lines shown on every slice.
        provenance
            Network, software, installation and time.
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
        images = stand_ins(series, slice(None))
        for image in images:
            image.SamplesPerPixel = 1
        headers = {str(header.SOPInstanceUID): header for header in source}
        greys, made = greys_of(series, headers), layers(regions)
        shown = windows(greys)
        if len(shown) > 1:
            for window, slices in shown:
                window.ReferencedImageSequence = ReferencedImageSequence([images[index] for index in slices])
        inverse = headers[volume.slices[0].sop_instance_uid].get("PhotometricInterpretation") == "MONOCHROME1"
        try:
            super().__init__(
                referenced_images=images,
                content_label="GLIOLOOP",
                content_description=f"Automatic by {provenance.model}, research use only"[:64],
                graphic_layers=list(made.values()),
                graphic_annotations=list(annotations(regions, legend, remarks, images, made)),
                modality_lut_transformation=modality_lut(greys),
                voi_lut_transformations=[window for window, _ in shown],
                presentation_lut_transformation=PresentationLUTTransformation("INVERSE" if inverse else "IDENTITY"),
                transfer_syntax_uid=ExplicitVRLittleEndian,
                **series_of_one("gsps", series_number, provenance, UidSource(uid_seed), f"{MANUFACTURER} contours"),
                **equipment(provenance),
                contributing_equipment=[contributing_equipment(provenance)],
            )
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise GlioLoopError("OBJECT_INVALID", f"presentation state: {place_of(error)}") from error
        self.ContentCreatorName = ""  # nobody, as ROIInterpreter is
        self.BodyPartExamined = "BRAIN"  # unpaired: no Laterality is needed
        self._name_sources(series)
        area = self.DisplayedAreaSelectionSequence[0]
        del area.PresentationPixelAspectRatio  # pixels need not be square
        across, down = series.planes[0].spacing
        area.PresentationPixelSpacing = [format_number_as_ds(down), format_number_as_ds(across)]
        set_clock(self, provenance)
        for item in self.ContributingEquipmentSequence:
            # Without its offset, which TimezoneOffsetFromUTC tells: DCMTK's checker of presentation states takes none.
            item.ContributionDateTime = DT(provenance.created.strftime("%Y%m%d%H%M%S"))
        self.PresentationCreationDate, self.PresentationCreationTime = self.SeriesDate, self.SeriesTime

    def _name_sources(self, series: ReferenceSeries) -> None:
        """Put each slice's own instance and frame in the place of what stood for it."""
        self.ReferencedSeriesSequence[0].ReferencedImageSequence = _named(
            series, self.ReferencedSeriesSequence[0].ReferencedImageSequence, frames=False
        )
        for place in (*self.GraphicAnnotationSequence, *self.SoftcopyVOILUTSequence):
            if "ReferencedImageSequence" in place:
                place.ReferencedImageSequence = _named(series, place.ReferencedImageSequence)


def _named(series: ReferenceSeries, items: Iterable[Dataset], frames: bool = True) -> list[Dataset]:
    """An item for each instance, with the frames of a multi-frame one."""
    found: dict[str, Dataset] = {}
    for one in (named_source(item, series) for item in items):
        item = found.setdefault(one.sop_instance_uid, Dataset())
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.sop_class_uid, one.sop_instance_uid
        if frames and one.frame_number is not None:
            before = item.get("ReferencedFrameNumber", [])
            item.ReferencedFrameNumber = [*([before] if isinstance(before, int) else before), one.frame_number]
    return list(found.values())
