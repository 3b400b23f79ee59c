"""What is known of a network of another tool before its weights are read."""

from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import JsonValue, ValidationError

from pipeline.conversion.request import ConversionRequest
from pipeline.conversion.wording import Nesting
from pipeline.registry import InputGrid, Output
from pipeline.registry.parts import Postprocessing

#: Of BraTS's files, and most that come from DICOM.
_BRATS_ORIENTATION: Final = "LPS"


@dataclass(frozen=True)
class Architecture:
    """How a network is built.

    Attributes
    ----------
    name
        Class, with its module where the tool says it.
    arguments
        What it is built with.
    """

    name: str
    arguments: dict[str, JsonValue]


@dataclass(frozen=True)
class Described:
    """A network of another tool, in this product's words.

    Attributes
    ----------
    name, description, licence
        As its folder says.
    architecture
        How it is built.
    grid, activation, outputs, decision, nesting, mirror_axes, postprocessing
        As in the card.
    axes
        Which of the grid's axes (0 z, 1 y, 2 x) each axis of the network is.
    flat
        The network takes planes, across the first of these axes.
    skull_stripped
        Whether it was trained on images without skull.
    notes
        What was assumed.
    """

    name: str
    description: str
    licence: str
    architecture: Architecture
    grid: InputGrid
    activation: Literal["sigmoid", "softmax", "none"]
    outputs: tuple[Output, ...]
    axes: tuple[int, int, int]
    skull_stripped: bool
    decision: Literal["sum", "argmax"] = "sum"
    nesting: Nesting = "outer"
    mirror_axes: tuple[Literal["x", "y", "z"], ...] = ()
    postprocessing: Postprocessing = field(default_factory=lambda: Postprocessing(fill_holes=False))
    flat: bool = False
    notes: tuple[str, ...] = ()


def told(error: Exception) -> str:
    """Return what is wrong with a file in one line."""
    if isinstance(error, ValidationError):
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)]
        return f"{error.title.strip('_')}: {'; '.join(wrong)}"
    return str(error)


def orientation_of(request: ConversionRequest, said: str) -> tuple[str, list[str]]:
    """Return where axes of the training images grow to, and what was assumed of it.

    Parameters
    ----------
    request
        What a person says goes first.
    said
        What the folder says; empty where it says nothing.
    """
    if orientation := request.orientation or said:
        return orientation, []
    return _BRATS_ORIENTATION, [
        f"axes of the training images are taken to grow to {_BRATS_ORIENTATION}, as in BraTS (--orientation)"
    ]
