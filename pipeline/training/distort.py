"""Where a sample is cut out of a case: turned, scaled, mirrored and bent, in one interpolation."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial.transform import Rotation
from torch.nn import functional

from pipeline.training.cases import NETWORK_MM, STORED_MM, Patch, RealCase

Size = tuple[int, int, int]

_TURN_DEGREES: Final = (6.0, 6.0, 6.0)
_TURN_FAR_DEGREES: Final = 30.0
#: Share of samples turned and scaled far; the others as little as heads lie differently in a scanner.
_FAR_SHARE: Final = 0.35
_BEND_MM: Final = 2.5
_BEND_EVERY_MM: Final = 40.0


@dataclass(frozen=True)
class Pose:
    """How the network's grid lies in a case.

    Attributes
    ----------
    matrix
        From millimetres on the grid (z, y, x) to millimetres in the case, shape (3, 3).
    offset_mm
        Of the grid's middle from the brain's, in the case, (z, y, x).
    bend
        Displacement in mm at coarse nodes, shape (3, z, y, x); None for none.
    """

    matrix: npt.NDArray[np.float64]
    offset_mm: npt.NDArray[np.float64]
    bend: npt.NDArray[np.float32] | None = None

    @staticmethod
    def straight() -> "Pose":
        """Return the pose that changes nothing."""
        return Pose(np.eye(3), np.zeros(3))


def draw_pose(rng: np.random.Generator, offset_mm: npt.NDArray[np.float64], size: Size) -> Pose:
    """A random pose about a point of the case, mirrored left to right half of the time."""
    far = rng.random() < _FAR_SHARE
    degrees = rng.uniform(-_TURN_FAR_DEGREES, _TURN_FAR_DEGREES, 3) if far else rng.normal(0, _TURN_DEGREES)
    scale = np.exp(rng.uniform(np.log(0.75), np.log(1.35)) if far else rng.normal(0, 0.06)) * np.exp(
        rng.normal(0, 0.04, 3)
    )
    mirror = np.diag([1.0, 1.0, rng.choice([-1.0, 1.0])])
    matrix = Rotation.from_euler("zyx", degrees, degrees=True).as_matrix() @ np.diag(scale) @ mirror
    bend = None
    if rng.random() < 0.4:
        nodes = [max(3, int(n * NETWORK_MM / _BEND_EVERY_MM) + 2) for n in size]
        bend = rng.normal(0, _BEND_MM, (3, *nodes)).astype(np.float32)
    return Pose(matrix, offset_mm, bend)


def cut(case: RealCase, pose: Pose, size: Size) -> Patch:
    """Bring a case onto a grid of :data:`NETWORK_MM`.

    Parameters
    ----------
    case
        In memory.
    pose
        How the grid lies in it.
    size
        Of the grid, (z, y, x).
    """
    stored = np.array(case.fields.shape[1:], dtype=np.float64)
    # affine_grid: coordinates from -1 to 1 at the middle of the outermost voxels, axes x, y, z
    millimetres = np.diag((np.array(size) - 1) / 2 * NETWORK_MM)
    voxels = pose.matrix @ millimetres / STORED_MM
    centre = case.centre + pose.offset_mm / STORED_MM
    half = (stored - 1) / 2
    theta = np.concatenate([voxels / half[:, None], ((centre - half) / half)[:, None]], axis=1)
    swapped = np.concatenate([theta[::-1, 2::-1], theta[::-1, 3:]], axis=1).astype(np.float32)
    grid = functional.affine_grid(torch.from_numpy(swapped.copy())[None], [1, 1, *size], align_corners=True)
    if pose.bend is not None:
        share = pose.bend / STORED_MM / half.astype(np.float32)[:, None, None, None]
        fine = functional.interpolate(
            torch.from_numpy(share[::-1].copy())[None], size=size, mode="trilinear", align_corners=True
        )
        grid = grid + fine.permute(0, 2, 3, 4, 1)
    fields = torch.from_numpy(case.fields.astype(np.float32))
    found = functional.grid_sample(fields[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return Patch(np.concatenate([found[0].numpy(), np.zeros((1, *size), np.float32)]))
