"""Coded terms of the RT Structure Set (PS3.3, C.8.8.5 to C.8.8.8)."""

from enum import StrEnum


class ContourGeometricTypes(StrEnum):
    """ContourGeometricType (3006,0042)."""

    POINT = "POINT"
    OPEN_PLANAR = "OPEN_PLANAR"
    OPEN_NONPLANAR = "OPEN_NONPLANAR"
    CLOSED_PLANAR = "CLOSED_PLANAR"
    CLOSEDPLANAR_XOR = "CLOSEDPLANAR_XOR"


class ROIGenerationAlgorithms(StrEnum):
    """ROIGenerationAlgorithm (3006,0036)."""

    AUTOMATIC = "AUTOMATIC"
    SEMIAUTOMATIC = "SEMIAUTOMATIC"
    MANUAL = "MANUAL"


class RTROIInterpretedTypes(StrEnum):
    """RTROIInterpretedType (3006,00A4): those that a delineated region can take."""

    GTV = "GTV"
    CTV = "CTV"
    ORGAN = "ORGAN"
    CAVITY = "CAVITY"
    CONTROL = "CONTROL"


class ApprovalStatuses(StrEnum):
    """ApprovalStatus (300E,0002)."""

    APPROVED = "APPROVED"
    UNAPPROVED = "UNAPPROVED"
    REJECTED = "REJECTED"


class HoleEncodings(StrEnum):
    """How a hole in a region is written (PS3.3, C.8.8.6.3)."""

    KEYHOLE = "keyhole"
    """One contour that runs into the hole and back along the same channel of no width."""

    SEPARATE = "separate"
    """The hole as a CLOSED_PLANAR contour of its own; read with the even-odd rule."""

    XOR = "xor"
    """As SEPARATE, every contour of the ROI labelled CLOSEDPLANAR_XOR, as the standard asks since 2020."""
