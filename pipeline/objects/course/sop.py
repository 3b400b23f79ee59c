"""A study's place in the course of its patient as a structured report: TID 1500 with time points (TID 1502)."""

from collections.abc import Sequence
from dataclasses import dataclass

from highdicom.sr import ComprehensiveSR, LongitudinalTemporalOffsetFromEvent, MeasurementReport, TimePointContext
from pydicom import Dataset
from pydicom.sr.codedict import codes

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import place_of
from pipeline.names import MANUFACTURER, RESEARCH_USE
from pipeline.objects.arguments import content_time, equipment, on_clock_of, series_of_one, set_clock
from pipeline.objects.course.content import ReportedLesion, ReportedRegion, lesion_groups, region_group
from pipeline.objects.provenance import Provenance, UidSource, contributing_equipment
from pipeline.objects.regions import declare_private_codes
from pipeline.objects.report.content import evidence, observation_context, statements
from pipeline.objects.report.enum import REPORTED_PROCEDURE
from pipeline.objects.source import reference_series
from pipeline.volume.records import SourceVolume


@dataclass(frozen=True)
class Reported:
    """What a study's report says of the course.

    Attributes
    ----------
    time_point
        Date of the study, as people read it.
    order
        Its place among the studies that are compared, from 1.
    days
        Since the first of them.
    regions, lesions
        What was measured, and what has changed.
    texts
        The same in words, and what is to be looked at, the most important first.
    """

    time_point: str
    order: int
    days: float
    regions: Sequence[ReportedRegion]
    lesions: Sequence[ReportedLesion]
    texts: Sequence[str]


class CourseReport(ComprehensiveSR):
    """Regions, lesions under the tracking UIDs that they have in every study, and what has changed; no category."""

    def __init__(
        self,
        source: Sequence[Dataset],
        volume: SourceVolume,
        reported: Reported,
        provenance: Provenance,
        *,
        segmentation: Dataset | None = None,
        priors: Sequence[Dataset] = (),
        series_number: int = 9005,
        uid_seed: str | None = None,
    ) -> None:
        """
        Parameters
        ----------
        source
            Headers of the reference series' instances, in any order.
        volume
            The same series as a volume.
        reported
            What it says.
        provenance
            Network, software, installation and time.
        segmentation
            The study's segmentation, where that is what was measured.
        priors
            Images and segmentations of earlier studies that changes were derived from: evidence.
        series_number
            SeriesNumber of the new series.
        uid_seed
            What it is made from, for UIDs that are the same when it is made again.

        Raises
        ------
        GlioLoopError
            OBJECT_INVALID, FRAME_OF_REFERENCE_MISSING.
        """
        series = reference_series(source, volume)
        provenance = on_clock_of(series, provenance)
        uids = UidSource(uid_seed)
        try:
            time_point = TimePointContext(
                time_point=reported.time_point,
                time_point_order=reported.order,
                temporal_offset_from_event=LongitudinalTemporalOffsetFromEvent(
                    value=reported.days, unit=codes.UCUM.Day, event_type=codes.DCM.Baseline
                ),
            )
            groups = [region_group(one, series, provenance, segmentation, time_point) for one in reported.regions]
            groups += [group for one in reported.lesions for group in lesion_groups(one, series, time_point)]
            content = MeasurementReport(
                observation_context=observation_context(provenance),
                procedure_reported=REPORTED_PROCEDURE,
                imaging_measurements=groups,
            )
            last = f"Changes by {MANUFACTURER}; volumes and diameters only, no category of response. {RESEARCH_USE}"
            content[0].ContentSequence.append(statements([*reported.texts, last]))
            super().__init__(
                evidence=[*evidence(series, segmentation), *priors],
                content=content[0],
                is_complete=True,
                is_final=False,
                is_verified=False,
                **series_of_one("course", series_number, provenance, uids, f"{MANUFACTURER} course"),
                **equipment(provenance),
                contributing_equipment=[contributing_equipment(provenance)],
                **content_time(provenance),
            )
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise GlioLoopError("OBJECT_INVALID", f"course: {place_of(error)}") from error
        declare_private_codes(self)
        set_clock(self, provenance)
