"""A series as the stages after loading see it."""

from dataclasses import dataclass

from pydicom import Dataset

from pipeline.errors import Flag
from pipeline.volume import ReadSeries, SourceVolume
from pipeline.volume.coarse import coarse


@dataclass(frozen=True)
class LoadedSeries:
    """A series that was read, no finer than what is computed on it.

    Attributes
    ----------
    volume
        Its volume, or a coarser copy.
    coarser
        Whether it is one.
    size, spacing_mm
        Of the series itself: columns, rows, slices.
    left_out, header
        As of :class:`ReadSeries`.
    flags
        What its images are to be looked at for; the details do not name the sequence.
    """

    volume: SourceVolume
    coarser: bool
    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    left_out: tuple[str, ...]
    header: Dataset
    flags: tuple[Flag, ...] = ()

    @classmethod
    def of(cls, series: ReadSeries, flags: tuple[Flag, ...] = (), fine: bool = False) -> "LoadedSeries":
        """Return a series as it is where it is to be ``fine``."""
        own = series.volume
        volume = own if fine else coarse(own)
        columns, rows, slices = own.image.GetSize()
        x, y, z = (round(one, 3) for one in own.image.GetSpacing())
        size = columns, rows, slices
        return cls(volume, volume is not own, size, (x, y, z), series.left_out, series.header, flags)
