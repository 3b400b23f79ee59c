"""What is asked of a conversion, and what comes of it: records that go between two processes."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from pipeline.names import MRSequence, Region


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConversionRequest(_Record):
    """What to convert, and what its folder does not say.

    Attributes
    ----------
    tool
        Whose folder it is.
    folder
        A results folder of nnU-Net v2, or a MONAI bundle.
    out
        Where ``model.json`` and the ONNX files go.
    name, version, licence
        Of the card; empty takes what the folder says.
    channels
        Sequence of an input channel, by its name or number, where the name is not known.
    labels
        Region of an output channel, by its name, where the name is not known: of labels that exclude each other the
        innermost region that holds it; None where it is none.
    orientation
        Directions in which the axes x, y, z of the training images grow; empty takes what the folder says, else LPS.
    spacing_mm
        Voxel size (x, y, z), where a bundle does not say it.
    folds
        Of nnU-Net; all where none is named.
    checkpoint
        ``final`` or ``best`` of nnU-Net; None takes the final one where there is one.
    mirror
        Whether to mirror as the network's training allows.
    postprocessing
        Whether to take nnU-Net's own.
    """

    tool: Literal["nnunet", "monai"]
    folder: Path
    out: Path
    name: str = ""
    version: str = "1"
    licence: str = ""
    channels: dict[str, MRSequence] = Field(default_factory=dict)
    labels: dict[str, Region | None] = Field(default_factory=dict)
    orientation: str = ""
    spacing_mm: tuple[float, float, float] | None = None
    folds: tuple[str, ...] = ()
    checkpoint: Literal["final", "best"] | None = None
    mirror: bool = True
    postprocessing: bool = True


class Converted(_Record):
    """What came of it.

    Attributes
    ----------
    skull_stripped
        Whether the network was trained on images without skull.
    notes
        What people should know: what was assumed, how the weights were read.
    """

    skull_stripped: bool
    notes: tuple[str, ...]


class Refused(_Record):
    """Why nothing came of it: a code of the table, and its detail."""

    code: str
    detail: str


class Reply(_Record):
    """What the converting process says; one of both."""

    converted: Converted | None = None
    refused: Refused | None = None


def json_file(path: Path) -> JsonValue:
    """Return what a JSON file holds.

    Raises
    ------
    OSError, ValueError
        Not there, no JSON.
    """
    return _Json.model_validate_json(b'{"value":' + path.read_bytes() + b"}").value


class _Json(BaseModel):
    value: JsonValue
