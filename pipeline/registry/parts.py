"""What a model card is made of: files, input grids, outputs and what becomes of them, sources and figures."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.names import MRSequence, Region

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Spacing = tuple[float, float, float]
Size = tuple[int, int, int]
Normalisation = Literal[
    "brain", "head", "nonzero", "z_score", "z_score_foreground", "z_score_nonzero", "rescale", "none"
]


class CardRecord(BaseModel):
    """Part of a card; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkFile(CardRecord):
    """An ONNX file beside the card.

    Attributes
    ----------
    name
        File name, no folders.
    sha256
        Hash of its content; a file that differs is refused.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\.onnx$")]
    sha256: Sha256

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the record of a file that lies beside its card, with the hash of what it holds now."""
        with path.open("rb") as file:
            return cls(name=path.name, sha256=hashlib.file_digest(file, "sha256").hexdigest())


class InputGrid(CardRecord):
    """How images are laid before a network; axes of sizes are (z, y, x), of spacings (x, y, z).

    Attributes
    ----------
    order
        Sequence of each input channel.
    spacing_mm
        Voxel size of the grid, (x, y, z).
    orientation
        Directions in which the axes x, y, z grow: LPS is DICOM's own, RAS that of many NIfTI files.
    window
        Largest size (z, y, x) given to the network at once; a larger picture is covered by overlapping windows.
    multiple
        Sizes must be multiples of this; the picture is padded to it.
    fixed
        The network takes exactly ``window`` and nothing smaller.
    overlap
        Fraction of a window shared with the next.
    importance
        What a voxel of a window counts for: ``gaussian``, never less than a thousandth; ``nnunet``: the Gaussian of
        nnU-Net; ``constant``.
    placement
        ``even``: windows evenly spread; ``strided``: one step apart, the last at the border, as MONAI places them.
    crop
        Only the box around what is not zero in any channel is looked at, as nnU-Net does.
    normalisation
        Of every channel, or one a channel. ``brain``, ``nonzero``: zero mean and unit deviation inside the brain, or
        all that was imaged, vessels and noise left out, zero outside; ``head``: the same over all that is not air. Of
        other tools: ``z_score``: over everything; ``z_score_foreground``: inside what is not zero in any channel, holes
        filled (nnU-Net); ``z_score_nonzero``: over the channel's own voxels that are not zero (MONAI); ``rescale``:
        from 0 to 1. ``none``.
    """

    order: Annotated[tuple[MRSequence, ...], Field(min_length=1, max_length=4)]
    spacing_mm: Spacing
    orientation: Annotated[str, Field(pattern=r"^[LRAPSI]{3}$")] = "LPS"
    window: Size
    multiple: Annotated[int, Field(ge=1, le=128)] = 16
    fixed: bool = False
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    importance: Literal["gaussian", "nnunet", "constant"] = "gaussian"
    placement: Literal["even", "strided"] = "even"
    crop: bool = False
    normalisation: Normalisation | tuple[Normalisation, ...] = "brain"

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.order)) != len(self.order):
            raise ValueError("a sequence stands twice in the input order")
        if not isinstance(self.normalisation, str) and len(self.normalisation) != len(self.order):
            raise ValueError("normalisation must be one word, or one for each channel of order")
        return self

    @property
    def normalisations(self) -> tuple[Normalisation, ...]:
        """Of each channel."""
        same = self.normalisation
        return (same,) * len(self.order) if isinstance(same, str) else same


class BrainStage(CardRecord):
    """The coarse network that finds the brain before the tumour network looks.

    Attributes
    ----------
    file
        The network; one sigmoid output, the brain.
    grid
        Its input.
    threshold
        Probability at and above which a voxel is brain.
    margin_mm
        How far beyond that brain the tumour network may look.
    """

    file: NetworkFile
    grid: InputGrid
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    margin_mm: Annotated[float, Field(ge=0, le=30)] = 6.0


class Output(CardRecord):
    """How one region is read from the network's output channels.

    Attributes
    ----------
    region
        The region.
    channels
        Channels whose probabilities add up to the region's; one channel with a sigmoid.
    threshold
        Probability at and above which a voxel belongs to the region.
    """

    region: Region
    channels: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5


class UnenhancedCore(CardRecord):
    """How far the core of a tumour that hardly enhances is trusted.

    Attributes
    ----------
    share
        Enhancing tumour of a lesser share of the core than this is hardly any.
    log_odds
        Added to the core's there.
    """

    share: Annotated[float, Field(gt=0, lt=1)]
    log_odds: Annotated[float, Field(gt=0, le=5)]


class Sharpening(CardRecord):
    """How far a sequence's own brightness decides, beside the network, where a region ends.

    Attributes
    ----------
    sequence
        In which the region is brighter than what lies around it.
    weight
        Added to the log-odds for a voxel as bright as the region, against one as bright as what lies around it.
    middle
        Brightness at which nothing is added: 0 as around the region, 1 as the region.
    """

    sequence: MRSequence
    weight: Annotated[float, Field(gt=0)]
    middle: Annotated[float, Field(ge=0, le=1)] = 0.5


class InFluid(CardRecord):
    """When a part of the whole tumour is taken to be in the brain's fluid, not tumour; both must hold.

    Attributes
    ----------
    surroundings
        Least share of what is around it that is fluid: dark on T1 and bright on T2, deep in the brain.
    mirrored
        Least share of its mirrored place that is fluid; of what is its own mirror nothing counts.
    """

    surroundings: Annotated[float, Field(gt=0, le=1)]
    mirrored: Annotated[float, Field(gt=0, le=1)]


class Postprocessing(CardRecord):
    """Clean-up: what is left out, and where borders lie on the reference series' slices.

    Attributes
    ----------
    minimum_component_ml
        Connected parts smaller than this are dropped, per region.
    least_certainty
        Parts are dropped, and flagged, of whose probabilities the 95th percentile stays below this, per region: a
        tumour is certain somewhere, a bias field or a flow artefact nowhere.
    in_fluid
        Which parts of WT are dropped, and flagged, because they lie in fluid; None: none.
    fill_holes
        Whether holes in WT and TC are filled slice by slice.
    only_largest
        Whether of the whole tumour only its largest part is kept, as nnU-Net's post-processing may ask for.
    sharpening
        Per region, what its border follows on the reference series' own voxels, which are finer than the network's.
    """

    minimum_component_ml: dict[Region, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    least_certainty: dict[Region, Annotated[float, Field(ge=0, lt=1)]] = Field(default_factory=dict)
    in_fluid: InFluid | None = None
    fill_holes: bool = True
    only_largest: bool = False
    sharpening: dict[Region, Sharpening] = Field(default_factory=dict)


class TrainingSource(CardRecord):
    """Data the weights come from."""

    name: str
    source: str
    licence: str
    cases: Annotated[int, Field(ge=0)]


class Metric(CardRecord):
    """One measured figure.

    Attributes
    ----------
    dataset
        What it was measured on, in words.
    use
        ``tuning``: choices were made by it; ``validation``: none were; ``synthetic``: rendered cases.
    n
        Number of cases.
    dice
        Mean Dice per region.
    ci95
        Bootstrap interval of that mean per region; absent where n is too small to give one.
    command
        What measured it.
    """

    dataset: str
    use: Literal["tuning", "validation", "synthetic"]
    n: Annotated[int, Field(ge=1)]
    dice: dict[Region, float]
    ci95: dict[Region, tuple[float, float]] = Field(default_factory=dict)
    command: str = ""


class Lineage(CardRecord):
    """Where a fine-tuned network comes from.

    Attributes
    ----------
    parent
        ``name@version`` it was fine-tuned from.
    cases
        Pseudonyms of the corrections it learnt from.
    decision
        What the guard found, in words.
    """

    parent: str
    cases: tuple[str, ...] = ()
    decision: str = ""
