"""Coded terms of the report of a course that PS3.16 does not have (docs/dicom.md)."""

from typing import Final

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

_SCHEME: Final = "99GLIOLOOP"
#: How a measurement was derived: the value of this study less that of an earlier one.
CHANGE: Final = {
    "previous": Code("CHANGE-PREVIOUS", _SCHEME, "Change since the previous study"),
    "nadir": Code("CHANGE-NADIR", _SCHEME, "Change since the smallest value before"),
    "first": Code("CHANGE-FIRST", _SCHEME, "Change since the first study"),
}
SUM_OF_PRODUCTS: Final = Code("SUM-OF-PRODUCTS", _SCHEME, "Sum of products of perpendicular diameters")
SQUARE_MILLIMETRE: Final = codes.UCUM.SquareMillimeter
LATERALITY: Final = {"left": codes.SCT.Left, "right": codes.SCT.Right, "both": codes.SCT.RightAndLeft}
