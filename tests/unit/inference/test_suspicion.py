"""Bright on one side of the brain: told with its place; a symmetric brain and what was drawn are not."""

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.inference.suspicion import largest, suspicious_parts

SHAPE = (70, 84, 72)
SPACING_MM = 2.0


def grid() -> sitk.Image:
    image = sitk.Image(SHAPE[::-1], sitk.sitkUInt8)
    image.SetSpacing((SPACING_MM,) * 3)
    image.SetOrigin([-(n - 1) / 2 * SPACING_MM for n in SHAPE[::-1]])
    return image


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    """Voxels about a place given in mm (x, y, z) from the middle; radius in mm."""
    z, y, x = (
        (np.arange(n) - (n - 1) / 2).reshape([-1 if axis == a else 1 for a in range(3)]) * SPACING_MM
        for axis, n in enumerate(SHAPE)
    )
    return np.asarray((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < radius**2)


BRAIN = ball((0, 0, 0), 62)


def head(*bright: np.ndarray) -> np.ndarray:
    """A brain with dark ventricles and a little asymmetry."""
    rng = np.random.default_rng(0)
    z, y, x = np.indices(SHAPE) - (np.array(SHAPE)[:, None, None, None] - 1) / 2
    folds = 15 * np.cos(x / 4) * np.cos(y / 5) * np.cos(z / 6)  # grey and white, the same on both sides
    image = np.where(BRAIN, 100 + folds, 0) + rng.normal(0, 6, SHAPE)
    for side in (-10, 12):
        image[ball((side, 0, 5), 9)] = 30
    for mask in bright:
        image[mask] += 60
    return np.asarray(image, dtype=np.float32)


NOTHING = np.zeros(SHAPE, dtype=bool)


def drawn(mask: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.CopyInformation(grid())
    return image


def test_a_symmetric_brain_is_not_suspicious() -> None:
    pair = (ball((-30, 10, 10), 12), ball((30, 10, 10), 12))
    for image in (head(), head(*pair)):
        assert largest(suspicious_parts(image, BRAIN, BRAIN, grid()), drawn(NOTHING)) is None


@pytest.mark.parametrize(("x", "side"), [(28, "left"), (-28, "right")])
def test_a_bright_side_is_told_with_its_place(x: int, side: str) -> None:
    lesion = ball((x, -12, 14), 17)
    found = largest(suspicious_parts(head(lesion), BRAIN, BRAIN, grid()), drawn(NOTHING))
    assert found is not None and found.side == side
    assert np.linalg.norm(np.subtract(found.centre, (x, -12, 14))) < 6
    assert 0.6 < found.volume_ml / (lesion.sum() * 0.008) < 2
    assert str(found).startswith(f"{side} side, ")


def test_what_was_delineated_or_not_imaged_is_not_suspicious() -> None:
    lesion = ball((28, -12, 14), 17)
    assert largest(suspicious_parts(head(lesion), BRAIN, BRAIN, grid()), drawn(lesion)) is None
    assert largest(suspicious_parts(head(lesion), BRAIN, BRAIN & ~lesion, grid()), drawn(NOTHING)) is None
