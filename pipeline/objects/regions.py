"""What each region is called, coded and coloured in every object."""

from dataclasses import dataclass
from typing import Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from pipeline.names import MANUFACTURER, Region
from pipeline.objects.rtstruct.enum import RTROIInterpretedTypes

#: PS3.16 and SNOMED CT as DICOM may use it have no term for a resection cavity: a private one (docs/dicom.md).
RESECTION_CAVITY: Final = Code("CAVITY", "99GLIOLOOP", "Resection cavity")
_SCHEME: Final = CodingSchemeIdentificationItem(
    RESECTION_CAVITY.scheme_designator, name=f"{MANUFACTURER} private codes", responsible_organization=MANUFACTURER
)


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
    interpreted_type
        RTROIInterpretedType.
    """

    number: int
    colour: tuple[int, int, int]
    property_type: Code
    interpreted_type: RTROIInterpretedTypes = RTROIInterpretedTypes.GTV


REGION_STYLES: dict[Region, RegionStyle] = {
    Region.WT: RegionStyle(1, (255, 214, 0), codes.cid7159.Neoplasm),
    Region.TC: RegionStyle(2, (255, 64, 64), codes.cid7159.NeoplasmPrimary),
    Region.ET: RegionStyle(3, (0, 200, 255), codes.cid7159.EnhancingLesion),
    Region.CAVITY: RegionStyle(4, (190, 130, 255), RESECTION_CAVITY, RTROIInterpretedTypes.CAVITY),
}


def declare_private_codes(dataset: Dataset) -> None:
    """Tell in an object whose codes the private ones are (PS3.3, C.12.1.1 SOP Common)."""
    dataset.CodingSchemeIdentificationSequence = [_SCHEME]
