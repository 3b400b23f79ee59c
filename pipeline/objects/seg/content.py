"""Segment descriptions of the regions (PS3.3, C.8.20.4)."""

from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
from pydicom.sr.codedict import codes

from pipeline.names import Region
from pipeline.objects.provenance import Provenance, UidSource, algorithm_identification
from pipeline.objects.regions import REGION_STYLES


def segment_description(
    region: Region, number: int, provenance: Provenance, label: str, uids: UidSource
) -> SegmentDescription:
    """Describe a region as a segment: coded category, type and site, algorithm, colour, tracking.

    Parameters
    ----------
    region
        One of the tumour regions, or the resection cavity.
    number
        SegmentNumber, from 1.
    provenance
        The network that delineated it.
    label
        SegmentLabel, cut to 64 characters.
    uids
        Source of the tracking UID, which the report names too.
    """
    style = REGION_STYLES[region]
    return SegmentDescription(
        segment_number=number,
        segment_label=label[:64],
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=style.property_type,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm_identification(provenance),
        tracking_uid=uids.uid(f"tracking/{region.value}"),
        tracking_id=label[:64],
        anatomic_regions=[codes.SCT.Brain],
        display_color=CIELabColor.from_rgb(*style.colour),
    )
