"""The result of aligning one sequence with the reference."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import SimpleITK as sitk
from pydantic import JsonValue, PlainSerializer, PlainValidator, TypeAdapter

from pipeline.errors import Flag
from pipeline.records import StoredRecord


class Parameters(StoredRecord):
    """A rigid transform by its numbers, as :class:`SimpleITK.Euler3DTransform` takes them."""

    type: Literal["Euler3DTransform"] = "Euler3DTransform"
    parameters: tuple[float, ...]
    fixed_parameters: tuple[float, ...]


def _numbers(transform: sitk.Transform) -> dict[str, JsonValue]:
    rigid = sitk.Euler3DTransform(transform)
    return Parameters(
        type="Euler3DTransform", parameters=rigid.GetParameters(), fixed_parameters=rigid.GetFixedParameters()
    ).as_json()


def _transform(stored: object) -> sitk.Transform:
    if isinstance(stored, sitk.Transform):
        return stored
    numbers = Parameters.model_validate(stored)
    transform = sitk.Euler3DTransform()
    transform.SetFixedParameters(numbers.fixed_parameters)
    transform.SetParameters(numbers.parameters)
    return transform


StoredTransform = Annotated[sitk.Transform, PlainValidator(_transform), PlainSerializer(_numbers)]


@dataclass(frozen=True)
class Alignment:
    """Where a sequence lies against the reference.

    Attributes
    ----------
    transform
        Rigid; maps a point of the reference's space (LPS, mm) to the moving series' space, as
        :func:`SimpleITK.Resample` wants it. Its inverse maps contours to the moving series.
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

    transform: StoredTransform
    metric: float
    overlap: float
    rotation_deg: float
    displacement_mm: float
    flags: tuple[Flag, ...] = ()

    @staticmethod
    def of_itself() -> "Alignment":
        """Where the reference lies against itself."""
        return Alignment(sitk.Euler3DTransform(), 0.0, 1.0, 0.0, 0.0)

    def as_json(self) -> dict[str, JsonValue]:
        """Numbers that bring the same transform back, bit for bit."""
        stored: dict[str, JsonValue] = _STORED.dump_python(self, mode="json")
        return stored

    @staticmethod
    def from_json(stored: object) -> "Alignment":
        """Inverse of :meth:`as_json`."""
        return _STORED.validate_python(stored)


_STORED: Final = TypeAdapter(Alignment)
