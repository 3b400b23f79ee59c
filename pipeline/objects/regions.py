"""What each tumour region is called, coded and coloured in every object."""

from dataclasses import dataclass

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from pipeline.names import Region


@dataclass(frozen=True)
class RegionStyle:
    """One row of the table of regions.

    Attributes
    ----------
    number
        ROI number and segment number.
    colour
        Red, green, blue, 0 to 255.
    property_type
        Segmented property type and finding type (PS3.16, CID 7159).
    """

    number: int
    colour: tuple[int, int, int]
    property_type: Code


REGION_STYLES: dict[Region, RegionStyle] = {
    Region.WT: RegionStyle(1, (255, 214, 0), codes.cid7159.Neoplasm),
    Region.TC: RegionStyle(2, (255, 64, 64), codes.cid7159.NeoplasmPrimary),
    Region.ET: RegionStyle(3, (0, 200, 255), codes.cid7159.EnhancingLesion),
}
