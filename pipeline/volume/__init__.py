"""DICOM series to volumes."""

from pipeline.volume.limits import VolumeLimits
from pipeline.volume.read import ReadSeries, read_chosen, read_series, read_volume
from pipeline.volume.records import SliceSource, SourceVolume

__all__ = ["ReadSeries", "SliceSource", "SourceVolume", "VolumeLimits", "read_chosen", "read_series", "read_volume"]
