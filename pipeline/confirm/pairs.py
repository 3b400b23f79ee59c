"""Series that no header tells apart, told apart by their images: T1 before and after contrast, T2 and FLAIR.

Both checks align the two series and look at the same places in both. They answer only where one reading is much
likelier than the other; a guess would put contours on the wrong sequence, so in doubt the study is refused.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt

from pipeline.align import align
from pipeline.errors import GlioLoopError
from pipeline.identify import Decision
from pipeline.names import MRSequence
from pipeline.volume import SourceVolume

Values = NDArray[np.float64]

DEEP_MM = 18.0  # below the head's surface: brain and its vessels, and hardly skin, fat and bone marrow
FEWEST_DEEP = 5000  # voxels; where the head was cropped to less, all of it counts
LEVELS = 40  # of brightness in one image, for what is expected in the other
OUTLIER = 6.0  # times the usual deviation from expectation: a vessel, mucosa, enhancing tumour
GAIN = 0.2  # of the usual brightness: less is none of these
LEAST_ENHANCING = 0.002  # of the voxels
MOST_ALIKE = 0.01  # of the voxels: noise and interpolation of one image taken twice
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


def settle(decision: Decision, volumes: Mapping[MRSequence, SourceVolume]) -> Decision:
    """Decide every open pair by the images; one that a header states stays as stated where they say nothing.

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
        reading = compare(pair.sequences, first, second)
        if reading.swapped is None and not pair.stated:
            raise GlioLoopError("SEQUENCE_UNDECIDED", f"{pair.reason}; {reading.reason}.", decision.as_json())
        decision = decision.settled(pair, bool(reading.swapped), reading.reason)
    return decision


def compare(sequences: tuple[MRSequence, MRSequence], first: SourceVolume, second: SourceVolume) -> Reading:
    """Whether the first image is the first of two sequences, and the second the second.

    Parameters
    ----------
    sequences
        T1 and T1C, or T2 and FLAIR.
    first, second
        Any grids; they are aligned here.
    """
    moved = align({MRSequence.T1: first, MRSequence.T2: second}, MRSequence.T1)[MRSequence.T2].transform
    return _compare(sequences, _grid(first.image), (first.image, sitk.Transform()), (second.image, moved))


def contradiction(
    reference: SourceVolume, volumes: Mapping[MRSequence, SourceVolume], transforms: Mapping[MRSequence, sitk.Transform]
) -> str | None:
    """What speaks against the sequences as taken, where the images clearly show the opposite; None where they do not.

    Parameters
    ----------
    reference
        What all are aligned with.
    volumes
        By sequence; of a pair that is not whole nothing is said.
    transforms
        From the reference's space to each sequence's own.
    """
    grid = _grid(reference.image)

    def read(pair: tuple[MRSequence, MRSequence]) -> Reading:
        first, second = ((volumes[sequence].image, transforms[sequence]) for sequence in pair)
        return _compare(pair, grid, first, second)

    both = ((MRSequence.T1, MRSequence.T1C), (MRSequence.T2, MRSequence.FLAIR))
    pairs = [pair for pair in both if all(sequence in volumes for sequence in pair)]
    with ThreadPoolExecutor(len(both)) as pool:
        for pair, reading in zip(pairs, pool.map(read, pairs), strict=True):
            if reading.swapped:
                return f"{pair[0].value} and {pair[1].value} by their headers; {reading.reason}"
    return None


def _compare(
    sequences: tuple[MRSequence, MRSequence],
    grid: sitk.Image,
    first: tuple[sitk.Image, sitk.Transform],
    second: tuple[sitk.Image, sitk.Transform],
) -> Reading:
    """What two images, each with the transform from the grid's space to its own, say of the pair."""
    a, b, head = _side_by_side(grid, first, second)
    if MRSequence.T1C in sequences:
        deep = _deep(head, grid)
        return enhanced(a[deep], b[deep])
    central = _central(head, grid)
    return nulled(a[central], b[central])


def _side_by_side(
    grid: sitk.Image, *images: tuple[sitk.Image, sitk.Transform]
) -> tuple[Values, Values, NDArray[np.bool_]]:
    """Grey values of both at the same places of the head, and where on the grid these are."""
    a, b = (
        sitk.GetArrayFromImage(sitk.Resample(image, grid, transform, sitk.sitkLinear, np.nan, sitk.sitkFloat64))
        for image, transform in images
    )
    known = np.isfinite(a) & np.isfinite(b)
    # Bright in one is enough: what is dark in the other, as fluid in FLAIR, tells most.
    head = known & ((a > _threshold(a[known])) | (b > _threshold(b[known])))
    return a[head], b[head], head


def _central(head: NDArray[np.bool_], grid: sitk.Image) -> NDArray[np.bool_]:
    """Which places of the head are around its middle."""
    places = np.argwhere(head)
    away = (places - places.mean(axis=0)) * np.array(grid.GetSpacing()[::-1])
    return np.asarray(np.linalg.norm(away, axis=1) < CENTRAL_MM)


def _deep(head: NDArray[np.bool_], grid: sitk.Image) -> NDArray[np.bool_]:
    """Which places of the head lie deep below its surface; all where these are few."""
    deep = distance_transform_edt(binary_fill_holes(head), sampling=grid.GetSpacing()[::-1])[head] > DEEP_MM
    return deep if deep.sum() >= FEWEST_DEEP else np.ones_like(deep)


def _grid(image: sitk.Image) -> sitk.Image:
    """Voxels of about 2 mm where the image has its own: small enough for vessels, large enough against noise."""
    factors = [max(1, round(2.0 / spacing)) for spacing in image.GetSpacing()]
    grid: sitk.Image = sitk.BinShrink(image, factors)
    return grid


def _threshold(values: Values) -> float:
    """Half the usual brightness of what is not air."""
    return float(np.median(values[values > values.mean()]) / 2)


def enhanced(a: Values, b: Values) -> Reading:
    """Which of two T1 was taken after contrast: vessels, mucosa and enhancing tumour are brighter than to be expected.

    What is expected at a place of one image is the usual brightness of those places that are equally bright in the
    other, so that two acquisitions of different kinds compare, too.

    Parameters
    ----------
    a, b
        Grey values at the same places of the head; ``a`` is the one taken for native.
    """
    over_b, under_b = _outliers(a, b)
    over_a, under_a = _outliers(b, a)
    gained, lost = over_b + under_a, under_b + over_a
    found = f"{100 * gained:.1f} % of the head brighter in the second, {100 * lost:.1f} % brighter in the first"
    if gained > LEAST_ENHANCING and gained > TIMES_MORE * lost:
        return Reading(False, f"by the images: {found}, so the second was taken after contrast")
    if lost > LEAST_ENHANCING and lost > TIMES_MORE * gained:
        return Reading(True, f"by the images: {found}, so the first was taken after contrast")
    alike = max(gained, lost) <= MOST_ALIKE
    return Reading(None, f"the images do not tell which was taken after contrast: {found}", alike)


def _outliers(known: Values, other: Values) -> tuple[float, float]:
    """Fractions of places much brighter, and much darker, in the other image than the known one lets expect."""
    ranks = np.argsort(np.argsort(known, kind="stable"), kind="stable")
    levels = ranks * LEVELS // len(known)
    expected = np.array([np.median(other[levels == level]) for level in range(LEVELS)])
    deviation = other - np.interp(ranks / len(known) * LEVELS - 0.5, np.arange(LEVELS), expected)
    usual = 1.4826 * float(np.median(np.abs(deviation - np.median(deviation))))
    limit = max(OUTLIER * usual, GAIN * float(np.median(other)))
    return float((deviation > limit).mean()), float((deviation < -limit).mean())


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
