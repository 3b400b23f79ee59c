"""What a series may be: bounds on memory and tolerances of geometry."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VolumeLimits:
    """Bounds that keep one series from exhausting the machine, and tolerances of the geometry.

    Attributes
    ----------
    pixels_per_frame
        Most pixels (rows times columns) of one slice.
    frames
        Most frames in the series, before stacks are split apart.
    total_bytes
        Most bytes that all frames of the series take once decoded to float32.
    minimum_slices
        Least slices at different positions that count as a volume.
    spacing_jitter
        Largest deviation of a slice distance from the median distance, as a fraction of it.
    lateral_mm
        Largest shift of a slice within its plane against the first slice, mm. Positions in the wild are
        rounded to a tenth of a millimetre at worst; a tilted stack shifts by millimetres a slice.
    orientation_cosine
        Largest difference of a direction cosine between two slices of one stack (0.002 is about 0.1 degrees).
    clear_majority
        More than this fraction of the images must be of one kind for the others to be left out.
    most_off_position
        Of images that differ in nothing but their place, the largest fraction that may be left out; one at least.
    """

    pixels_per_frame: int = 2048 * 2048
    frames: int = 8192
    total_bytes: int = 1 << 30
    minimum_slices: int = 5
    spacing_jitter: float = 0.01
    lateral_mm: float = 0.2
    orientation_cosine: float = 0.002
    clear_majority: float = 2 / 3
    most_off_position: float = 0.1
