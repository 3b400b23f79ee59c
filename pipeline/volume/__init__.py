"""DICOM series to volumes."""

from pipeline.volume.limits import VolumeLimits
from pipeline.volume.read import read_volume
from pipeline.volume.records import SliceSource, SourceVolume

__all__ = ["SliceSource", "SourceVolume", "VolumeLimits", "read_volume"]
