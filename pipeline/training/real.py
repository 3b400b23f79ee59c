"""Samples drawn from real cases: posed anew, mixed, cut out, varied, some sequences left out."""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.inference.normalise import normalise_brain
from pipeline.training.carve import paste
from pipeline.training.cases import HEALTHY_MEAN, NEAR_MM, STORED_MM, Patch, RealCase, load_cases
from pipeline.training.distort import Pose, Size, cut, draw_pose
from pipeline.training.intensity import vary_image
from pipeline.training.samples import Sample
from pipeline.training.synthesis.noise import smooth_noise

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Arrays = tuple[Array, Array]

#: Sizes of a sample on the network's grid, (z, y, x), and how often each: two parts, and most of a brain.
SIZES: Final[tuple[Size, ...]] = ((64, 80, 64), (80, 96, 80), (96, 112, 96))
SIZE_SHARES: Final = (0.6, 0.36, 0.04)
#: Any brain and air around it.
WHOLE: Final[Size] = (112, 128, 112)
#: How often each sequence is left out (T1, T1c, T2, FLAIR).
ABSENT: Final = (0.12, 0.06, 0.12, 0.2)
MIXED_SHARE: Final = 0.35
HOSTED_SHARE: Final = 0.35
CENTRED_SHARE: Final = 0.6
BRIGHT_BORDER_SHARE: Final = 0.35


class RealCases:
    """Endless samples of the cases of a folder.

    Parameters
    ----------
    folder
        Skull-stripped, co-registered cases in the BraTS layout, each with a segmentation.
    cache
        Folder for what was made of them.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.cases = load_cases(folder, cache)

    def draw(self, rng: np.random.Generator) -> Arrays:
        """A sample as the network sees it.

        Returns
        -------
        (images, regions), float32, shapes (4, z, y, x) and (5, z, y, x): brain, WT, TC, ET, cavity in 0..1.
        """
        size = SIZES[int(rng.choice(len(SIZES), p=SIZE_SHARES))]
        case = self._any(rng)
        offset = _offset(rng, case, rng.random() < CENTRED_SHARE and size != SIZES[-1])
        patch = cut(case, draw_pose(rng, offset, size), size)
        if rng.random() < MIXED_SHARE:
            host = cut(self._any(rng), draw_pose(rng, offset + rng.normal(0, 4, 3), size), size)
            patch = paste(rng, patch, host)
        mask = _mask(rng, patch)
        if rng.random() < BRIGHT_BORDER_SHARE:
            _brighten_border(rng, patch, mask)
        return _finish(rng, patch, mask)

    def draw_into(self, rng: np.random.Generator, rendered: Sample) -> Arrays:
        """A rendered sample, a real tumour pasted into it for a share of them."""
        host = _as_patch(rendered)
        mask = np.asarray((host.images > 0).any(axis=0))
        size = (mask.shape[0], mask.shape[1], mask.shape[2])
        if rng.random() < HOSTED_SHARE:
            donor = cut(self._any(rng), draw_pose(rng, rng.normal(0, 4, 3), size), size)
            host = paste(rng, donor, host)
        images, regions = _finish(rng, host, mask)
        if rng.random() < 0.5:
            images, regions = images[..., ::-1], regions[..., ::-1]
        box = tuple(slice(*_part(rng, n, kept)) for n, kept in zip(size, SIZES[int(rng.random() < 0.6)], strict=True))
        return np.ascontiguousarray(images[:, *box]), np.ascontiguousarray(regions[:, *box])

    def straight(self) -> list[Sample]:
        """Every case once, as it is."""
        return [_straight(case) for case in self.cases]

    def _any(self, rng: np.random.Generator) -> RealCase:
        return self.cases[int(rng.integers(len(self.cases)))]


def _offset(rng: np.random.Generator, case: RealCase, centred: bool) -> npt.NDArray[np.float64]:
    """Middle of a sample from the brain's in mm: near a random voxel of the tumour, or anywhere within."""
    if centred and len(case.tumour_voxels):
        middle = case.tumour_voxels[int(rng.integers(len(case.tumour_voxels)))] * STORED_MM
        # half way back, so that the box holds little of what is outside the brain
        return np.asarray(middle * rng.uniform(0.4, 1.0) + rng.normal(0, 6, 3))
    return rng.normal(0, 10, 3)


def _part(rng: np.random.Generator, length: int, kept: int) -> tuple[int, int]:
    kept = min(length, kept)
    start = int(rng.integers(0, length - kept + 1))
    return start, start + kept


def _as_patch(sample: Sample) -> Patch:
    """A rendered sample in the units of the real ones; brain or not is all that is known of its distances."""
    images = sample.images.astype(np.float32)
    seen = (images != 0).any(axis=0)
    lifted = np.where(images != 0, np.maximum(images + HEALTHY_MEAN, 0.05), 0) * seen
    brain, *regions, cavity = sample.regions.astype(np.float32)
    fields = [*lifted, *regions, brain * 2 * NEAR_MM, regions[0] * 2 * NEAR_MM, cavity]
    return Patch(np.stack(fields).astype(np.float32))


def _mask(rng: np.random.Generator, patch: Patch) -> Mask:
    """What is taken for the brain: exact, or as a coarse network takes it, with what lies around a brain in it."""
    seen = np.asarray((patch.images > 0).any(axis=0))
    kind = rng.random()
    if kind < 0.55:
        return seen
    uneven = rng.uniform(0, 2) * smooth_noise(rng, seen.shape, 8)[0]
    if kind < 0.65:
        return np.asarray(seen & (patch.brain_mm < uneven - rng.uniform(0, 2)))
    mask = np.asarray(patch.brain_mm < rng.uniform(1, 9) + uneven)
    if kind < 0.9:
        _surround(rng, patch.images, mask & ~seen)
    return mask


def _surround(rng: np.random.Generator, images: Array, rim: Mask) -> None:
    """Fill the rim around a stripped brain with something like fluid, bone, fat, vessels and sinuses."""
    texture = smooth_noise(rng, rim.shape, rng.uniform(1.5, 5), 4)
    for image, noise in zip(images, texture, strict=True):
        mean, spread = rng.uniform(0, 6), rng.uniform(0.2, 2.5)
        image[rim] = np.maximum(mean + spread * noise[rim], 0.05)


def _brighten_border(rng: np.random.Generator, patch: Patch, mask: Mask) -> None:
    """Let contrast agent light up parts of the brain's surface, as sinuses and meninges do; seldom FLAIR does."""
    depth, width = rng.uniform(0, 4), rng.uniform(2, 6)
    shell = (patch.brain_mm > -depth) & (patch.brain_mm < width) & (patch.tumour_mm > 4)
    parts = smooth_noise(rng, mask.shape, rng.uniform(3, 10))[0] > rng.uniform(0.4, 1.6)
    place = shell & parts & mask
    image = patch.images[3 if rng.random() < 0.2 else 1]
    image[place] = np.maximum(image[place], np.float32(HEALTHY_MEAN + rng.uniform(1.5, 7)))


def _finish(rng: np.random.Generator, patch: Patch, mask: Mask) -> Arrays:
    """Vary, standardise and leave out sequences."""
    images = np.stack([vary_image(rng, image, mask) for image in patch.images])
    images = normalise_brain(images, mask)
    gain = np.exp(rng.normal(0, 0.08, (4, 1, 1, 1))).astype(np.float32)
    shift = rng.normal(0, 0.08, (4, 1, 1, 1)).astype(np.float32)
    images = np.where(images != 0, images * gain + shift, 0).astype(np.float32)
    absent = rng.random(4) < ABSENT
    if not absent.all():
        images[absent] = 0
    brain = np.clip(0.5 - patch.brain_mm / 2, 0, 1)
    regions = np.concatenate([brain[None], patch.regions, patch.cavity]) * mask
    return images, regions.astype(np.float32)


def _straight(case: RealCase) -> Sample:
    patch = cut(case, Pose.straight(), WHOLE)
    mask = np.asarray((patch.images > 0).any(axis=0))
    regions = np.concatenate([(patch.brain_mm < 0)[None], patch.regions > 0.5, patch.cavity > 0.5]) & mask
    return Sample(normalise_brain(patch.images, mask).astype(np.float16), regions.astype(np.uint8))
