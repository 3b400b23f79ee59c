"""Every sequence of a study aligned with the reference."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import TypeVar

from pipeline.align.check import (
    AlignmentLimits,
    displacement_mm,
    failures,
    motion_flags,
    overlap_and_dice,
    rotation_deg,
)
from pipeline.align.prepare import Prepared, prepare
from pipeline.align.records import Alignment
from pipeline.align.register import Registered, candidates, look_mirrored, settle
from pipeline.errors import Flag, GlioLoopError
from pipeline.volume.records import SourceVolume

#: What tells the volumes apart: the sequences of one study, or one sequence of several studies.
_Name = TypeVar("_Name", bound=StrEnum)


def align(
    volumes: Mapping[_Name, SourceVolume],
    reference: _Name,
    limits: AlignmentLimits | None = None,
) -> dict[_Name, Alignment]:
    """Align every sequence with the reference, rigidly.

    Each sequence is registered to the reference directly, so errors do not add up; what does not depend on each
    other side by side, each on one core. The result is the same to the last bit for the same volumes.

    Parameters
    ----------
    volumes
        By sequence, or by study; any grids and orientations, LPS mm.
    reference
        The sequence whose space the others are brought to.
    limits
        Beyond these an alignment has failed.

    Returns
    -------
    dict
        One :class:`Alignment` a sequence; of the reference itself the identity.

    Raises
    ------
    GlioLoopError
        ``ALIGNMENT_FAILED`` naming the sequence and the broken limits.
    """
    limits = limits or AlignmentLimits()
    others = [sequence for sequence in volumes if sequence is not reference]
    frame, frames = volumes[reference].frame_of_reference_uid, [volumes[one].frame_of_reference_uid for one in others]
    same = [one == frame or not (one and frame) for one in frames]

    def prepared(sequence: _Name) -> Prepared:
        return prepare(volumes[sequence].image, volumes[sequence].valid)

    # Smaller tasks than whole sequences: three of these on two cores would leave one idle for a quarter of the time.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        fixed, *moving = pool.map(prepared, (reference, *others))
        there = pool.map(lambda one, still: candidates(fixed, one, still), moving, same)
        back = pool.map(lambda one, still: candidates(one, fixed, still), moving, same)
        settled = pool.map(lambda one, *ways: settle(fixed, one, *ways), moving, there, back)
        judged = list(pool.map(lambda one, best: look_mirrored(fixed, one, best), moving, settled))
    found = {
        sequence: _checked(sequence, best, fixed, one, still, limits)
        for sequence, best, one, still in zip(others, judged, moving, same, strict=True)
    }
    return {reference: Alignment.of_itself(), **found}


def _checked(
    sequence: StrEnum,
    best: Registered,
    fixed: Prepared,
    moving: Prepared,
    same_frame: bool,
    limits: AlignmentLimits,
) -> Alignment:
    rotation, displacement = rotation_deg(best.transform), displacement_mm(best.transform, fixed)
    overlap, dice = overlap_and_dice(fixed, moving, best.transform)
    broken = failures(best, overlap, dice, displacement if same_frame else None, limits)
    if broken:
        raise GlioLoopError(
            "ALIGNMENT_FAILED",
            f"{sequence.value}: {'; '.join(broken)}.",
            {"sequence": sequence.value, "metric": best.metric, "overlap": overlap, "head_dice": dice},
        )
    flags: tuple[Flag, ...] = motion_flags(rotation, displacement, same_frame)
    return Alignment(best.transform, best.metric, overlap, rotation, displacement, flags)
