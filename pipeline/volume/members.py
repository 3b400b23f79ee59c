"""Which frames of a series belong to its main stack, and which do not."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.identify.parts import SAME_PLACE_MM
from pipeline.identify.traits import Trait
from pipeline.volume.frames import Frame
from pipeline.volume.limits import VolumeLimits

#: Traits that make an image another kind of image than its neighbours.
_KIND = frozenset(
    {
        "component",
        "image type",
        "vendor image type",
        "description",
        "echo time",
        "echo number",
        "inversion time",
        "inversion times",
        "repetition time",
        "flip angle",
        "b-value",
    }
)
#: Image types of single images made from a stack, or before it.
_MADE_FROM = frozenset(
    {"DERIVED", "SECONDARY", "PROJECTION IMAGE", "MIP", "MPR", "MIN_IP", "MAX_IP", "MNIP", "SUB", "SUBTRACTION"}
    | {"SUBTRACT", "LOCALIZER", "SCOUT", "SURVEY", "REFORMATTED", "ADD"}
)


def main_geometry(frames: Sequence[Frame], limits: VolumeLimits) -> list[Frame]:
    """The frames of the one matrix, orientation and pixel spacing that by far the most have; none without one."""
    groups: list[list[Frame]] = []
    for frame in frames:
        group = next((one for one in groups if _same_geometry(one[0], frame, limits)), None)
        if group is None:
            groups.append([frame])
        else:
            group.append(frame)
    main = max(groups, key=len, default=[])
    if len(groups) > 1 and len(main) <= limits.clear_majority * len(frames):
        return []
    systems = Counter(frame.frame_of_reference_uid for frame in main).most_common(1)
    # some anonymisers give every instance its own coordinate system: then it tells nothing
    if systems and systems[0][1] > limits.clear_majority * len(main):
        return [frame for frame in main if frame.frame_of_reference_uid == systems[0][0]]
    return main


def _same_geometry(a: Frame, b: Frame, limits: VolumeLimits) -> bool:
    if a.size != b.size:
        return False
    cosines = zip(a.row_cosine + a.column_cosine, b.row_cosine + b.column_cosine, strict=True)
    turned = any(abs(x - y) > limits.orientation_cosine for x, y in cosines)
    return not turned and all(
        abs(y / x - 1) <= limits.spacing_jitter for x, y in zip(a.spacing, b.spacing, strict=True)
    )


def members(frames: Sequence[Frame], limits: VolumeLimits) -> Iterator[tuple[list[Frame], tuple[str, ...]]]:
    """What may be the stack that these frames stand for, the likeliest first, with what it leaves out in words.

    Parameters
    ----------
    frames
        Of one geometry and one part.
    limits
        Tolerances, and how much may be left out.
    """
    kind = _majority(frames, limits)
    made = [frame for frame in frames if _kind(frame) != kind and _made_from(frame)] if kind else []
    if made and len(made) < len(frames):
        yield _without(frames, made), (_told(len(made), "derived from the others, or a localizer's"),)
    yield list(frames), ()
    yield from _in_step(frames, limits, ())
    others = [frame for frame in frames if _kind(frame) != kind] if kind else []
    if others:
        rest, told = _without(frames, others), (_told(len(others), "of another kind"),)
        yield rest, told
        yield from _in_step(rest, limits, told)


def _in_step(
    frames: Sequence[Frame], limits: VolumeLimits, told: tuple[str, ...]
) -> Iterator[tuple[list[Frame], tuple[str, ...]]]:
    chain = _chain(frames, limits)
    off = len(frames) - len(chain)
    if 0 < off <= _most_off(frames, limits):
        yield chain, (*told, _told(off, "off the regular positions"))


def _most_off(frames: Sequence[Frame], limits: VolumeLimits) -> int:
    return max(1, int(limits.most_off_position * len(frames)))


def _told(count: int, what: str) -> str:
    return f"{count} {what}"


def _without(frames: Sequence[Frame], left: Sequence[Frame]) -> list[Frame]:
    gone = set(map(id, left))
    return [frame for frame in frames if id(frame) not in gone]


def _kind(frame: Frame) -> tuple[tuple[str, Trait], ...]:
    return tuple(trait for trait in frame.traits if trait[0] in _KIND)


def _majority(frames: Sequence[Frame], limits: VolumeLimits) -> tuple[tuple[str, Trait], ...] | None:
    """The kind of image that by far the most frames are; None without one."""
    kind, count = Counter(map(_kind, frames)).most_common(1)[0]
    return kind if count > limits.clear_majority * len(frames) else None


def _made_from(frame: Frame) -> bool:
    return bool(_MADE_FROM & set(str(dict(frame.traits)["image type"]).upper().split("\\")))


def _chain(frames: Sequence[Frame], limits: VolumeLimits) -> list[Frame]:
    """The longest run of frames one usual distance apart and in line; empty where what is left is in step with it.

    A frame that is in step, but beyond a gap, is a member of the stack: then slices between lack.
    """
    normal = frames[0].normal
    positions = np.array([frame.position for frame in frames])
    along = positions @ normal
    aside = positions - np.outer(along, normal)
    lateral = np.linalg.norm(aside - np.median(aside, axis=0), axis=1)
    allowed = limits.lateral_mm + 1e-3 * np.abs(along - np.median(along))
    straight = [int(i) for i in np.argsort(along, kind="stable") if lateral[i] <= allowed[i]]
    gaps = np.diff(along[straight])
    gaps = gaps[gaps > SAME_PLACE_MM]
    if not len(gaps):
        return []
    step = float(np.median(gaps))
    near = limits.spacing_jitter * step + SAME_PLACE_MM
    best: list[int] = []
    for start in range(min(_most_off(frames, limits) + 1, len(straight))):
        run = [straight[start]]
        for i in straight[start + 1 :]:
            distance = along[i] - along[run[-1]]
            if distance <= SAME_PLACE_MM or abs(distance - step) <= near:
                run.append(i)
        best = max(best, run, key=len)
    steps = (along - along[best[0]]) / step
    in_step = np.abs(steps - steps.round()) * step <= near * max(1.0, float(np.abs(steps).max()) / 10)
    left = set(straight) - set(best)
    return [] if any(in_step[i] for i in left) else [frames[i] for i in best]
