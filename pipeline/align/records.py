"""The result of aligning one sequence with the reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import SimpleITK as sitk

from pipeline.errors import Flag


@dataclass(frozen=True)
class Alignment:
    """Where a sequence lies against the reference.

    Attributes
    ----------
    transform
        Rigid; maps a point of the reference's space (LPS, mm) to the moving series' space, as
        :func:`SimpleITK.Resample` wants it. Its inverse brings contours home to the moving series.
    metric
        Mattes mutual information over the reference's head at the result (nats, larger is better).
    overlap
        Fraction of the reference's head that the moving series' field of view covers, 0-1.
    rotation_deg
        Angle of the rotation.
    displacement_mm
        How far the centre of the reference's head is moved.
    flags
        ``LARGE_MOTION``, ``FRAME_OF_REFERENCE_DIFFERS``.
    """

    transform: sitk.Transform
    metric: float
    overlap: float
    rotation_deg: float
    displacement_mm: float
    flags: tuple[Flag, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Numbers that bring the same transform back, bit for bit."""
        rigid = sitk.Euler3DTransform(self.transform)
        return {
            "transform": {
                "type": "Euler3DTransform",
                "parameters": list(rigid.GetParameters()),
                "fixed_parameters": list(rigid.GetFixedParameters()),
            },
            "metric": self.metric,
            "overlap": self.overlap,
            "rotation_deg": self.rotation_deg,
            "displacement_mm": self.displacement_mm,
            "flags": [{"code": flag.code, "detail": flag.detail, "data": flag.data} for flag in self.flags],
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "Alignment":
        """Inverse of :meth:`as_json`."""
        transform = sitk.Euler3DTransform()
        transform.SetFixedParameters(stored["transform"]["fixed_parameters"])
        transform.SetParameters(stored["transform"]["parameters"])
        return Alignment(
            transform=transform,
            metric=stored["metric"],
            overlap=stored["overlap"],
            rotation_deg=stored["rotation_deg"],
            displacement_mm=stored["displacement_mm"],
            flags=tuple(Flag(flag["code"], flag["detail"], dict(flag["data"])) for flag in stored["flags"]),
        )
