"""Measurement groups and statements of the report."""

import highdicom as hd
from highdicom.sr import (
    AlgorithmIdentification,
    ContainerContentItem,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes

from pipeline.names import MANUFACTURER, MANUFACTURER_MODEL_NAME, Region
from pipeline.objects.measure import RegionSize
from pipeline.objects.provenance import Provenance, UidSource
from pipeline.objects.regions import REGION_STYLES
from pipeline.objects.report.enum import LONGEST_DIAMETER, MILLILITRE, QUALITATIVE_EVALUATIONS
from pipeline.objects.source import ReferenceSeries

_Group = MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations


def observation_context(provenance: Provenance) -> ObservationContext:
    """Return who observes: this node as a device (TID 1004)."""
    device = DeviceObserverIdentifyingAttributes(
        # The same installation is the same observer in every report.
        uid=UidSource(f"device/{provenance.instance}").uid("observer"),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=MANUFACTURER_MODEL_NAME,
        serial_number=provenance.instance[:64],
    )
    return ObservationContext(
        observer_device_context=ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    )


def measurement_group(
    region: Region,
    name: str,
    size: RegionSize,
    series: ReferenceSeries,
    provenance: Provenance,
    segmentation: Dataset | None,
    uids: UidSource,
) -> _Group:
    """Return the measurements of one region: TID 1411 with its segment, TID 1501 without one.

    Parameters
    ----------
    region
        The region.
    name
        Its ROI name, the tracking identifier.
    size
        Its volume and diameters.
    series
        The reference series.
    provenance
        The network.
    segmentation
        The segmentation that holds the region; None where none is written.
    uids
        Source of the tracking UID, which the segmentation names too.
    """
    tracking = TrackingIdentifier(uid=uids.uid(f"tracking/{region.value}"), identifier=name)
    common = {
        "tracking_identifier": tracking,
        "finding_type": REGION_STYLES[region].property_type,
        "finding_category": codes.SCT.MorphologicallyAbnormalStructure,
        "finding_sites": [FindingSite(codes.SCT.Brain)],
        "algorithm_id": algorithm(provenance),
        "measurements": _measurements(size),
    }
    segment = None if segmentation is None else referenced_segment(segmentation, name, series)
    if segment is not None:
        return VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **common)
    return MeasurementsAndQualitativeEvaluations(source_images=_measured_images(size, series), **common)


def referenced_segment(segmentation: Dataset, name: str, series: ReferenceSeries) -> ReferencedSegment | None:
    """Return a reference to the segment of this label; None where there is none."""
    for item in segmentation.SegmentSequence:
        if item.SegmentLabel == name[:64]:
            return ReferencedSegment(
                sop_class_uid=segmentation.SOPClassUID,
                sop_instance_uid=segmentation.SOPInstanceUID,
                segment_number=int(item.SegmentNumber),
                source_series=SourceSeriesForSegmentation(series.volume.series_instance_uid),
            )
    return None


def _measured_images(size: RegionSize, series: ReferenceSeries) -> list[SourceImageForMeasurementGroup]:
    """Return the slice of the two axes."""
    if size.slice_index is None:
        return []
    item = series.volume.slices[size.slice_index]
    frames = None if item.frame_number is None else [item.frame_number]
    return [SourceImageForMeasurementGroup(item.sop_class_uid, item.sop_instance_uid, frames)]


def algorithm(provenance: Provenance) -> AlgorithmIdentification:
    """Return the network (TID 4019)."""
    parameters = [f"{key}={value}" for key, value in provenance.options.items()]
    if provenance.model_sha256:
        parameters.append(f"sha256={provenance.model_sha256}")
    return AlgorithmIdentification(
        name=provenance.model_name,
        version=provenance.model_version,
        parameters=parameters or None,
        family=codes.cid7162.ArtificialIntelligence,
        manufacturer=MANUFACTURER,
    )


def _measurements(size: RegionSize) -> list[Measurement]:
    """Return the volume, and the diameters where there is anything to measure."""
    volume = Measurement(name=codes.SCT.Volume, value=round(size.volume_ml, 3), unit=MILLILITRE)
    if size.slice_index is None:
        return [volume]
    lengths = (
        (LONGEST_DIAMETER, size.diameter_mm),
        (codes.SCT.LongAxis, size.long_axis_mm),
        (codes.SCT.ShortAxis, size.short_axis_mm),
    )
    return [volume, *(Measurement(name=name, value=round(mm, 1), unit=codes.UCUM.Millimeter) for name, mm in lengths)]


def statements(texts: list[str]) -> ContainerContentItem:
    """Return a container of statements in words, under the heading *Qualitative Evaluations* of TID 1500."""
    container = ContainerContentItem(
        name=QUALITATIVE_EVALUATIONS, relationship_type=RelationshipTypeValues.CONTAINS, is_content_continuous=False
    )
    container.ContentSequence = hd.sr.ContentSequence(
        [
            TextContentItem(name=codes.DCM.Comment, value=text, relationship_type=RelationshipTypeValues.CONTAINS)
            for text in texts
        ]
    )
    return container


def evidence(series: ReferenceSeries, segmentation: Dataset | None) -> list[Dataset]:
    """What a report was made from: every instance of the reference series once, and the segmentation."""
    instances = {str(image.SOPInstanceUID): image for image in reversed(series.slice_images())}
    return [*reversed(instances.values()), *([] if segmentation is None else [segmentation])]
