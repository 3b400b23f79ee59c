"""Every reason for which the node refuses, flags or fails, and what lacks on the machine."""

from pipeline.errors.error import Flag, GlioLoopError
from pipeline.errors.reasons import REASONS, Kind, Reason, reasons_table

__all__ = ["REASONS", "Flag", "GlioLoopError", "Kind", "Reason", "reasons_table"]
