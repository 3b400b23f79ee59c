"""Coded terms of the Segmentation (PS3.3, C.8.20.2)."""

from enum import StrEnum


class SegmentationKinds(StrEnum):
    """SegmentationType (0062,0001)."""

    BINARY = "BINARY"
    FRACTIONAL = "FRACTIONAL"
