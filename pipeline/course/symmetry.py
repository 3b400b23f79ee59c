"""The plane that parts a head into left and right: the one in which its outline is best mirrored."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.optimize import minimize

from pipeline.align.prepare import prepare
from pipeline.volume.boxes import to_mm
from pipeline.volume.records import SourceVolume

Points = NDArray[np.float64]
#: Points of the head that are mirrored.
_POINTS: Final = 6000
#: Of a search step: sine of the tilt, and mm.
_STEPS: Final = (0.05, 0.05, 4.0)


@dataclass(frozen=True)
class MidSagittalPlane:
    """Where left and right part.

    Attributes
    ----------
    normal
        Unit vector to the patient's left, LPS, shape (3,).
    offset
        Distance of the plane from the origin along it, mm.
    """

    normal: Points
    offset: float

    def to_the_left(self, points: Points) -> NDArray[np.float64]:
        """How far points (n, 3), LPS mm, lie to the left; negative: to the right."""
        return np.asarray(points @ self.normal - self.offset)


def mid_sagittal_plane(volume: SourceVolume) -> MidSagittalPlane:
    """Find the plane in which the head's outline is best mirrored, beginning with the head's middle."""
    head = prepare(volume.image, volume.valid).head
    inside = np.asarray(sitk.GetArrayViewFromImage(head)) > 0
    index = np.argwhere(inside)[:, ::-1].astype(np.float64)
    if not len(index):
        index = np.argwhere(np.ones_like(inside))[:, ::-1].astype(np.float64)
    index = index[:: max(1, len(index) // _POINTS)]
    steps_mm = to_mm(head)
    origin = np.array(head.GetOrigin())
    points = index @ steps_mm.T + origin
    from_mm = np.linalg.inv(steps_mm)
    centre = points.mean(axis=0)

    def plane(tilt: Points) -> MidSagittalPlane:
        normal = np.array([1.0, tilt[0], tilt[1]])
        normal /= np.linalg.norm(normal)
        return MidSagittalPlane(normal, float(centre @ normal + tilt[2]))

    def lost(tilt: Points) -> float:
        """Part of the head whose mirror image is no head."""
        found = plane(tilt)
        mirrored = points - 2 * found.to_the_left(points)[:, None] * found.normal
        place = np.rint((mirrored - origin) @ from_mm.T).astype(int)
        there = ((place >= 0) & (place < head.GetSize())).all(axis=1)
        column, row, slice_ = place[there].T
        return 1 - float(inside[slice_, row, column].sum()) / len(points)

    simplex = np.vstack([np.zeros(3), np.diag(_STEPS)])
    found = minimize(lost, np.zeros(3), method="Nelder-Mead", options={"initial_simplex": simplex, "maxiter": 120})
    return plane(np.asarray(found.x))
