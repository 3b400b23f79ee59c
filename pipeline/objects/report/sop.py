"""The measurements as a structured report: TID 1500 in a Comprehensive SR (PS3.3, A.35.3)."""

from collections.abc import Mapping, Sequence

from highdicom.sr import ComprehensiveSR, MeasurementReport
from pydicom import Dataset

from pipeline.errors import REASONS, Flag, GlioLoopError
from pipeline.errors.resources import place_of
from pipeline.names import MANUFACTURER, REGION_MEANING, RESEARCH_USE, TUMOUR_REGIONS, Region
from pipeline.objects.arguments import content_time, equipment, on_clock_of, series_of_one, set_clock
from pipeline.objects.measure import RegionSize
from pipeline.objects.provenance import Provenance, UidSource, contributing_equipment
from pipeline.objects.report.content import evidence, measurement_group, observation_context, statements
from pipeline.objects.report.enum import REPORTED_PROCEDURE
from pipeline.objects.source import ReferenceSeries, reference_series
from pipeline.volume.records import SourceVolume

#: As many images are all listed in the image library.
_MOST_IMAGES = 100


class TumourReport(ComprehensiveSR):
    """Volumes and diameters of the regions, the flags in words, and what the result may be used for."""

    def __init__(
        self,
        source: Sequence[Dataset],
        volume: SourceVolume,
        sizes: Mapping[Region, RegionSize],
        provenance: Provenance,
        *,
        names: Mapping[Region, str],
        flags: Sequence[Flag] = (),
        segmentation: Dataset | None = None,
        series_number: int = 9003,
        uid_seed: str | None = None,
    ) -> None:
        """
        Parameters
        ----------
        source
            Headers of the reference series' instances, in any order.
        volume
            The same series as a volume.
        sizes
            Volume and diameters of each region.
        provenance
            Network, software, installation and time.
        names
            ROI name of each region; the segments of ``segmentation`` are labelled with them.
        flags
            Quality flags; their messages are stated.
        segmentation
            The segmentation of the same result, if one is written: the measurements refer to its segments.
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
        groups = [
            measurement_group(region, names[region], size, series, provenance, segmentation, uids)
            for region, size in sizes.items()
        ]
        try:
            content = MeasurementReport(
                observation_context=observation_context(provenance),
                procedure_reported=REPORTED_PROCEDURE,
                imaging_measurements=groups,
                referenced_images=_library(series, sizes),
            )
            content[0].ContentSequence.append(statements(_texts(sizes, names, flags, provenance)))
            super().__init__(
                evidence=evidence(series, segmentation),
                content=content[0],
                is_complete=True,
                is_final=False,
                is_verified=False,
                **series_of_one("sr", series_number, provenance, uids, f"{MANUFACTURER} report"),
                **equipment(provenance),
                contributing_equipment=[contributing_equipment(provenance)],
                **content_time(provenance),
            )
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise GlioLoopError("OBJECT_INVALID", f"report: {place_of(error)}") from error
        set_clock(self, provenance)


def _library(series: ReferenceSeries, sizes: Mapping[Region, RegionSize]) -> list[Dataset] | None:
    """Return the images for the optional image library, which describes single-frame images only.

    Of a series of many images only those that something was measured on: each takes longer than its contours.
    """
    if any(item.frame_number is not None for item in series.volume.slices):
        return None
    images = series.slice_images()
    if len(images) <= _MOST_IMAGES:
        return images
    measured = {size.slice_index for size in sizes.values()} - {None}
    return [image for number, image in enumerate(images) if number in measured] or images[:1]


def _texts(
    sizes: Mapping[Region, RegionSize], names: Mapping[Region, str], flags: Sequence[Flag], provenance: Provenance
) -> list[str]:
    """Return the statements of the report, the most important first."""
    texts = []
    tumour_found = any(size.volume_ml > 0 for region, size in sizes.items() if region in TUMOUR_REGIONS)
    if not tumour_found and all(f.code != "NO_TUMOUR_FOUND" for f in flags):
        texts.append(REASONS["NO_TUMOUR_FOUND"].message)
    for flag in flags:
        texts.append(" ".join(part for part in (REASONS[flag.code].message, flag.detail) if part))
    for region, size in sizes.items():
        found = f"{size.volume_ml:.2f} ml" if size.volume_ml > 0 else "nothing found"
        texts.append(f"{names[region]}: {REGION_MEANING[region]}: {found}")
    texts.append(f"Automatic by {provenance.model}. {RESEARCH_USE}")
    return texts
