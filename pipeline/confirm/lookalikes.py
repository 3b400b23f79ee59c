"""Series that no header tells apart, told apart by their images: T1 before and after contrast, T2 and FLAIR.

Both checks align the two series and look at the same places in both. They answer only where one reading is much
likelier than the other; a guess would put contours on the wrong sequence, so in doubt the study is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.align import align
from pipeline.errors import GlioLoopError
from pipeline.identify import Decision, OpenPair
from pipeline.names import Sequence
from pipeline.volume import SourceVolume

Values = NDArray[np.float64]

GAIN = 0.3  # a voxel this fraction of the head's usual brightness above expectation counts as enhancing
LEAST_ENHANCING = 0.002  # of the head's voxels
TIMES_MORE = 2.5  # as many voxels must gain as lose
CENTRAL_MM = 40.0  # around the head's middle: ventricles, and neither fat nor eyes
BRIGHTEST = 0.05  # of the central voxels
LEAST_LEAD = 0.25  # between the two ranks


@dataclass(frozen=True)
class Reading:
    """What two images say.

    Attributes
    ----------
    swapped
        Whether the first is the second sequence of the pair; None where the images do not tell.
    reason
        What was seen.
    alike
        Whether nothing differs between them that contrast medium would change.
    """

    swapped: bool | None
    reason: str
    alike: bool = False


def settle(decision: Decision, volumes: Mapping[Sequence, SourceVolume]) -> Decision:
    """Decide every open pair by the images.

    Parameters
    ----------
    decision
        With or without open pairs.
    volumes
        By sequence, as the decision has chosen so far.

    Returns
    -------
    Decision
        Without open pairs; reasons are in the verdicts.

    Raises
    ------
    GlioLoopError
        ``SEQUENCE_UNDECIDED`` where the images do not tell, either; ``ALIGNMENT_FAILED``.
    """
    for pair in decision.open:
        first, second = (volumes[sequence] for sequence in pair.sequences)
        reading = _read(pair, first, second)
        if reading.swapped is None:
            raise GlioLoopError("SEQUENCE_UNDECIDED", f"{pair.reason}; {reading.reason}.", decision.as_json())
        decision = decision.settled(pair, reading.swapped, reading.reason)
    return decision


def _read(pair: OpenPair, first: SourceVolume, second: SourceVolume) -> Reading:
    a, b, middle = side_by_side(first, second)
    return enhanced(a, b) if Sequence.T1C in pair.sequences else nulled(a[middle], b[middle])


def side_by_side(first: SourceVolume, second: SourceVolume) -> tuple[Values, Values, NDArray[np.bool_]]:
    """Grey values of both at the same places of the head; which places are central."""
    moved = align({Sequence.T1: first, Sequence.T2: second}, Sequence.T1)[Sequence.T2].transform
    grid = _grid(first.image)
    a, b = (
        sitk.GetArrayFromImage(sitk.Resample(image, grid, transform, sitk.sitkLinear, np.nan, sitk.sitkFloat64))
        for image, transform in ((first.image, sitk.Transform()), (second.image, moved))
    )
    known = np.isfinite(a) & np.isfinite(b)
    # Bright in one is enough: what is dark in the other, as fluid in FLAIR, tells most.
    head = known & ((a > _threshold(a[known])) | (b > _threshold(b[known])))
    places = np.argwhere(head)
    distances = np.linalg.norm((places - places.mean(axis=0)) * np.array(grid.GetSpacing()[::-1]), axis=1)
    return a[head], b[head], distances < CENTRAL_MM


def _grid(image: sitk.Image) -> sitk.Image:
    """Voxels of about 2 mm where the image has its own: small enough for vessels, large enough against noise."""
    factors = [max(1, round(2.0 / spacing)) for spacing in image.GetSpacing()]
    grid: sitk.Image = sitk.BinShrink(image, factors)
    return grid


def _threshold(values: Values) -> float:
    """Half the usual brightness of what is not air."""
    return float(np.median(values[values > values.mean()]) / 2)


def enhanced(a: Values, b: Values) -> Reading:
    """Which of two T1 was taken after contrast: vessels, mucosa and enhancing tumour gained, hardly anything lost.

    Parameters
    ----------
    a, b
        Grey values at the same places of the head; ``a`` is the one taken for native.
    """
    gain = b * (np.median(a) / np.median(b)) - a
    gain = (gain - np.median(gain)) / np.median(a)
    gained, lost = float((gain > GAIN).mean()), float((gain < -GAIN).mean())
    found = f"{100 * gained:.1f} % of the head brighter in the second, {100 * lost:.1f} % brighter in the first"
    if gained > LEAST_ENHANCING and gained > TIMES_MORE * lost:
        return Reading(False, f"by the images: {found}, so the second was taken after contrast")
    if lost > LEAST_ENHANCING and lost > TIMES_MORE * gained:
        return Reading(True, f"by the images: {found}, so the first was taken after contrast")
    alike = max(gained, lost) <= LEAST_ENHANCING
    return Reading(None, f"the images do not tell which was taken after contrast: {found}", alike)


def nulled(a: Values, b: Values) -> Reading:
    """Which of two images has dark fluid: what is brightest in T2, the ventricles, is dark in FLAIR.

    Parameters
    ----------
    a, b
        Grey values at the same places around the middle of the brain; ``a`` is the one taken for T2.
    """
    in_b, in_a = _rank_of_brightest(a, b), _rank_of_brightest(b, a)
    found = (
        f"the brightest of the first have rank {in_b:.2f} in the second, those of the second {in_a:.2f} in the first"
    )
    if in_a - in_b > LEAST_LEAD:
        return Reading(False, f"by the images: {found}, so fluid is dark in the second, the FLAIR")
    if in_b - in_a > LEAST_LEAD:
        return Reading(True, f"by the images: {found}, so fluid is dark in the first, the FLAIR")
    return Reading(None, f"the images do not tell in which fluid is dark: {found}")


def _rank_of_brightest(one: Values, other: Values) -> float:
    """Mean rank (0 darkest, 1 brightest) in ``other`` of what is brightest in ``one``."""
    brightest = one >= np.quantile(one, 1 - BRIGHTEST)
    ranks = np.argsort(np.argsort(other)) / max(len(other) - 1, 1)
    return float(ranks[brightest].mean())
