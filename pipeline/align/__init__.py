"""Rigid alignment of the sequences of a study."""

from pipeline.align.aligning import align
from pipeline.align.check import AlignmentLimits
from pipeline.align.records import Alignment

__all__ = ["Alignment", "AlignmentLimits", "align"]
