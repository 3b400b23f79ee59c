"""From the frames of a series to one regular stack, or the reason why there is none."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import GlioLoopError
from pipeline.volume.frames import Frame, Vector, normal_of
from pipeline.volume.limits import VolumeLimits

SAME_PLACE_MM = (
    0.02  # positions closer than this along the normal are one place: below any slice distance, above rounding
)


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
    """

    frames: tuple[Frame, ...]
    origin: Vector
    direction: NDArray[np.float64]
    spacing: tuple[float, float, float]


def regular_stack(frames: Sequence[Frame], limits: VolumeLimits, echo_time_ms: float | None = None) -> Stack:
    """The one stack that a series stands for.

    Parameters
    ----------
    frames
        Every frame of the series, in any order.
    limits
        Tolerances.
    echo_time_ms
        Of several echoes the one nearest to it is taken, the first where None.

    Raises
    ------
    GlioLoopError
        ``GEOMETRY_MIXED``, ``GEOMETRY_TILTED``, ``GEOMETRY_INCOMPLETE``, ``NOT_A_VOLUME``.
    """
    _require_one_plane(frames, limits)
    chosen = _nearest_echo(split_stacks(frames), echo_time_ms)
    ordered, distances = sort_along_normal(chosen)
    if len(ordered) < 2:
        raise GlioLoopError("NOT_A_VOLUME", f"All {len(frames)} images lie at one position.")
    _require_no_tilt(ordered, limits)
    spacing = _uniform_spacing(distances, limits)
    if len(ordered) < limits.minimum_slices:
        raise GlioLoopError("NOT_A_VOLUME", f"{len(ordered)} slices, at least {limits.minimum_slices} are needed.")
    first = ordered[0]
    return Stack(
        frames=ordered,
        origin=np.array(first.position),
        direction=_direction(first),
        spacing=(first.spacing[0], first.spacing[1], spacing),
    )


def split_stacks(frames: Sequence[Frame]) -> list[tuple[Frame, ...]]:
    """Several images at one position: split them into stacks with one image a position each.

    Splitters (echo time, temporal position, acquisition...) are tried in their order. One is used where it
    tells images at the same place apart and the stacks it makes reach as far as the whole. What no
    splitter tells apart was sent twice: of such duplicates the first by acquisition time, instance
    number, frame number and SOP Instance UID stays.

    Returns
    -------
    list
        The stacks: those with most positions first, then in the order of splitter values (first echo, first
        temporal position, first acquisition).
    """
    groups = [list(frames)]
    for index in range(len(frames[0].splitters)):
        groups = [part for group in groups for part in _split_by(group, index)]
    stacks = [_without_duplicates(group) for group in groups]
    stacks.sort(key=lambda stack: (-len(stack), tuple(map(_sortable, stack[0].splitters)), stack[0].order))
    return stacks


def _nearest_echo(stacks: Sequence[tuple[Frame, ...]], echo_time_ms: float | None) -> tuple[Frame, ...]:
    if echo_time_ms is None:
        return stacks[0]

    def distance(stack: tuple[Frame, ...]) -> float:
        return abs(float(dict(stack[0].splitters)["echo time"]) - echo_time_ms)

    complete = [stack for stack in stacks if len(stack) == len(stacks[0])]
    return min(complete, key=distance)


def _sortable(splitter: tuple[str, str | float]) -> tuple[float, str]:
    value = splitter[1]
    return (0.0, value) if isinstance(value, str) else (value, "")


def _split_by(frames: list[Frame], index: int) -> list[list[Frame]]:
    """Split by one splitter where it separates frames at equal places without tearing the stack up."""
    places = _places(frames)
    if len(set(places)) == len(places):
        return [frames]
    parts: dict[str | float, list[Frame]] = defaultdict(list)
    for frame in frames:
        parts[frame.splitters[index][1]].append(frame)
    if len(parts) == 1:
        return [frames]
    place_of = dict(zip(map(id, frames), places, strict=True))
    covered = {value: {place_of[id(frame)] for frame in part} for value, part in parts.items()}
    separates = len(set(places)) < sum(len(cover) for cover in covered.values())
    whole = max(len(cover) for cover in covered.values()) == len(set(places))
    return list(parts.values()) if separates and whole else [frames]


def _places(frames: Sequence[Frame]) -> list[int]:
    """For every frame the number of its place along the normal; equal places share a number."""
    # one normal for all, or the rounding of cosines would part frames of one place
    distances = np.array([frames[0].normal @ np.array(frame.position) for frame in frames])
    order = np.argsort(distances, kind="stable")
    steps = np.diff(distances[order]) > SAME_PLACE_MM
    numbers = np.empty(len(frames), dtype=int)
    numbers[order] = np.concatenate([[0], np.cumsum(steps)])
    return [int(number) for number in numbers]


def _without_duplicates(frames: list[Frame]) -> tuple[Frame, ...]:
    kept: dict[int, Frame] = {}
    for frame, place in zip(frames, _places(frames), strict=True):
        if place not in kept or frame.order < kept[place].order:
            kept[place] = frame
    return tuple(kept[place] for place in sorted(kept))


def sort_along_normal(frames: Sequence[Frame]) -> tuple[tuple[Frame, ...], NDArray[np.float64]]:
    """Frames in the order of growing distance along row times column, and these distances (mm).

    SliceLocation and InstanceNumber play no part: neither has a defined sign or origin (PS3.3 C.7.6.2.1.2).
    """
    normal = frames[0].normal
    distances = np.array([normal @ np.array(frame.position) for frame in frames])
    order = np.argsort(distances, kind="stable")
    return tuple(frames[i] for i in order), distances[order]


def _require_one_plane(frames: Sequence[Frame], limits: VolumeLimits) -> None:
    sizes = Counter(frame.size for frame in frames)
    if len(sizes) > 1:
        raise GlioLoopError("GEOMETRY_MIXED", f"Matrix sizes (columns, rows): {_list(sizes)}.")
    cosines = np.array([frame.row_cosine + frame.column_cosine for frame in frames])
    if np.abs(cosines - cosines[0]).max() > limits.orientation_cosine:
        count = len(np.unique(cosines.round(2), axis=0))
        raise GlioLoopError("GEOMETRY_MIXED", f"Slices of {count} orientations.")
    spacings = np.array([frame.spacing for frame in frames])
    if (np.abs(spacings / spacings[0] - 1) > limits.spacing_jitter).any():
        raise GlioLoopError("GEOMETRY_MIXED", f"Pixel spacings (mm): {_list(Counter(f.spacing for f in frames))}.")


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
