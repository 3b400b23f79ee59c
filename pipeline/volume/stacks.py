"""From the frames of a series to one regular stack, or the reason why there is none."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import GlioLoopError
from pipeline.identify.parts import SAME_PLACE_MM, SeriesPart, in_order, part_of, split
from pipeline.volume.frames import Frame, Vector, normal_of
from pipeline.volume.limits import VolumeLimits
from pipeline.volume.members import main_geometry, members


@dataclass(frozen=True)
class Stack:
    """Frames of one regular volume.

    Attributes
    ----------
    frames
        In the order of growing distance along the normal.
    origin
        Position of the centre of the first voxel, LPS mm.
    direction
        3x3, columns are the directions of i, j, k; orthonormal and right-handed.
    spacing
        Of i, j, k, mm.
    left_out
        What of the series does not belong to it, in words; other parts of the series are not told here.
    """

    frames: tuple[Frame, ...]
    origin: Vector
    direction: NDArray[np.float64]
    spacing: tuple[float, float, float]
    left_out: tuple[str, ...] = ()


def regular_stack(frames: Sequence[Frame], limits: VolumeLimits, part: SeriesPart | None = None) -> Stack:
    """The one stack that a series, or a part of it, stands for.

    Frames that are no members of it are left out where a whole regular volume remains and is by far the most of what
    is there: a localizer's slice, a projection, a copy at an odd position. A slice that lacks is not made up for.

    Parameters
    ----------
    frames
        Every frame of the series, in any order.
    limits
        Tolerances.
    part
        Which of several images at each position; where None and there are several, the most complete, then the first.

    Raises
    ------
    GlioLoopError
        ``PART_MISSING`` where the series holds no such part, ``GEOMETRY_MIXED``, ``GEOMETRY_TILTED``,
        ``GEOMETRY_INCOMPLETE``, ``NOT_A_VOLUME``.
    """
    main = main_geometry(frames, limits)
    foreign = len(frames) - len(main)
    if foreign and not main:
        raise _mixed(frames, limits)
    try:
        stack = _stack_of_part(main, limits, part)
    except GlioLoopError as error:
        raise (_mixed(frames, limits) if foreign and error.code != "PART_MISSING" else error) from error
    told = (f"{foreign} of another orientation, matrix or pixel spacing",) if foreign else ()
    return Stack(stack.frames, stack.origin, stack.direction, stack.spacing, (*told, *stack.left_out))


def _stack_of_part(frames: Sequence[Frame], limits: VolumeLimits, part: SeriesPart | None) -> Stack:
    if part is None:
        parts = split(frames)
        chosen = parts[0][1]
        # a part of a few slices is none: a projection or a single slice taken again
        few = sum(len(one) for _, one in parts[1:] if len(one) < limits.minimum_slices)
    else:
        chosen, few = part_of(frames, part), 0
        if not chosen:
            raise GlioLoopError("PART_MISSING", f"No image with {part}.")
    error: GlioLoopError | None = None
    for kept, told in members(chosen, limits):
        try:
            ordered = tuple(ranked[0] for ranked in in_order(kept))
            spacing = _require_regular(ordered, limits, len(frames))
        except GlioLoopError as found:
            error = error or found
            continue
        again = sum(len({frame.order[:3] for frame in ranked}) - 1 for ranked in in_order(kept))
        copies = (f"{few + again} at a position that has its image",) if few + again else ()
        return _made(ordered, spacing, (*told, *copies))
    raise error or GlioLoopError("NOT_A_VOLUME", "No images.")


def _made(ordered: tuple[Frame, ...], spacing: float, left_out: tuple[str, ...]) -> Stack:
    first = ordered[0]
    return Stack(
        frames=ordered,
        origin=np.array(first.position),
        direction=_direction(first),
        spacing=(first.spacing[0], first.spacing[1], spacing),
        left_out=left_out,
    )


def _require_regular(ordered: Sequence[Frame], limits: VolumeLimits, count: int) -> float:
    """Distance of slices, or the reason why the frames are no regular volume."""
    if len(ordered) < 2:
        raise GlioLoopError("NOT_A_VOLUME", f"All {count} images lie at one position.")
    _require_no_tilt(ordered, limits)
    spacing = _uniform_spacing(_distances(ordered), limits)
    if len(ordered) < limits.minimum_slices:
        raise GlioLoopError("NOT_A_VOLUME", f"{len(ordered)} slices, at least {limits.minimum_slices} are needed.")
    return spacing


def _distances(ordered: Sequence[Frame]) -> NDArray[np.float64]:
    """Along row times column, mm.

    SliceLocation and InstanceNumber play no part: neither has a defined sign or origin (PS3.3 C.7.6.2.1.2).
    """
    normal = ordered[0].normal
    return np.array([normal @ np.array(frame.position) for frame in ordered])


def _mixed(frames: Sequence[Frame], limits: VolumeLimits) -> GlioLoopError:
    """Why the frames are not of one plane."""
    sizes = Counter(frame.size for frame in frames)
    if len(sizes) > 1:
        return GlioLoopError("GEOMETRY_MIXED", f"Matrix sizes (columns, rows): {_list(sizes)}.")
    cosines = np.array([frame.row_cosine + frame.column_cosine for frame in frames])
    if np.abs(cosines - cosines[0]).max() > limits.orientation_cosine:
        count = len(np.unique(cosines.round(2), axis=0))
        return GlioLoopError("GEOMETRY_MIXED", f"Slices of {count} orientations.")
    return GlioLoopError("GEOMETRY_MIXED", f"Pixel spacings (mm): {_list(Counter(f.spacing for f in frames))}.")


def _list(counts: Counter[tuple[int, int]] | Counter[tuple[float, float]]) -> str:
    return ", ".join(f"{value} in {count}" for value, count in sorted(counts.items()))


def _require_no_tilt(ordered: Sequence[Frame], limits: VolumeLimits) -> None:
    normal = ordered[0].normal
    offsets = np.array([frame.position for frame in ordered]) - np.array(ordered[0].position)
    lateral = np.linalg.norm(offsets - np.outer(offsets @ normal, normal), axis=1)
    # rounded cosines turn the normal a little, which adds up along a long stack
    allowed = limits.lateral_mm + 1e-3 * np.abs(offsets @ normal)
    if (lateral > allowed).any():
        worst = int(np.argmax(lateral - allowed))
        raise GlioLoopError(
            "GEOMETRY_TILTED", f"Slice {worst + 1} is shifted by {lateral[worst]:.1f} mm within its plane."
        )


def _uniform_spacing(distances: NDArray[np.float64], limits: VolumeLimits) -> float:
    gaps = np.diff(distances)
    median = float(np.median(gaps))
    deviating = np.abs(gaps - median) > limits.spacing_jitter * median + SAME_PLACE_MM
    if deviating.any():
        worst = int(np.argmax(np.abs(gaps - median)))
        raise GlioLoopError(
            "GEOMETRY_INCOMPLETE",
            f"{int(deviating.sum())} of {len(gaps)} distances differ from the usual {median:.2f} mm; "
            f"between slices {worst + 1} and {worst + 2} it is {gaps[worst]:.2f} mm.",
        )
    return float((distances[-1] - distances[0]) / (len(distances) - 1))


def _direction(frame: Frame) -> NDArray[np.float64]:
    """Orthonormal directions from the rounded cosines in the file: row kept, column made perpendicular."""
    row = np.array(frame.row_cosine)
    row = row / np.linalg.norm(row)
    normal = normal_of(row, frame.column_cosine)
    return np.column_stack([row, np.cross(normal, row), normal])
