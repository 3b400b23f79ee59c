"""The model card: everything inference needs of a network, and what people should know of it.

A network is data: one folder ``<name>/<version>/`` with ``model.json`` (this card) and the ONNX files
it names. Inference takes every number from here, so that a site's own network needs no code.
"""

import hashlib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.names import TUMOUR_REGIONS, MRSequence, Region

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Spacing = tuple[float, float, float]
Size = tuple[int, int, int]
Normalisation = Literal[
    "brain", "head", "nonzero", "z_score", "z_score_foreground", "z_score_nonzero", "rescale", "none"
]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkFile(_Record):
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


class InputGrid(_Record):
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


class BrainStage(_Record):
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


class Output(_Record):
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


class UnenhancedCore(_Record):
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


class Sharpening(_Record):
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


class Postprocessing(_Record):
    """Clean-up on the reference series' slices.

    Attributes
    ----------
    minimum_component_ml
        Connected parts smaller than this are dropped, per region.
    least_certainty
        Parts are dropped, and flagged, of whose probabilities the 95th percentile stays below this, per region: a
        tumour is certain somewhere, a bias field or a flow artefact nowhere.
    fill_holes
        Whether holes in WT and TC are filled slice by slice.
    only_largest
        Whether of the whole tumour only its largest part is kept, as nnU-Net's post-processing may ask for.
    sharpening
        Per region, what its border follows on the reference series' own voxels, which are finer than the network's.
    """

    minimum_component_ml: dict[Region, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    least_certainty: dict[Region, Annotated[float, Field(ge=0, lt=1)]] = Field(default_factory=dict)
    fill_holes: bool = True
    only_largest: bool = False
    sharpening: dict[Region, Sharpening] = Field(default_factory=dict)


class TrainingSource(_Record):
    """Data the weights come from."""

    name: str
    source: str
    licence: str
    cases: Annotated[int, Field(ge=0)]


class Metric(_Record):
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


class Lineage(_Record):
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


class ModelCard(_Record):
    """``model.json``; unknown keys are refused.

    Attributes
    ----------
    name, version, created
        Identity; ``name@version`` is written into every object the network makes.
    description, architecture, licence
        For people.
    file
        The tumour network.
    also
        Further tumour networks with the same input and outputs: the raw outputs of all are averaged (Lakshminarayanan
        et al., NeurIPS 2017). Fine-tuning changes ``file`` only.
    grid
        Its input.
    brain
        The network that finds the brain first; None where the input comes without skull or ``file`` copes.
    activation
        What turns the network's raw outputs into probabilities; ``none`` where the file does so itself.
    outputs
        Every tumour region, and ``brain`` and ``cavity`` where the network gives them.
    decision
        ``sum``: a region is the sum of its channels; ``argmax``: a voxel is in the region if its highest channel is one
        of the region's (nnU-Net's labels). Its value is then p / (p + q) of the highest channel within and without.
    nesting
        Which of two regions gives way where the inner one is not inside the outer: ``outer`` cuts the inner one off,
        ``inner`` widens the outer one (nnU-Net's regions).
    mirror
        Take the mean with the picture mirrored left to right: twice the time.
    mirror_axes
        Axes of the grid; the raw outputs of each window are averaged over every way to mirror it along them, so that
        three cost eight times the time (nnU-Net).
    postprocessing
        Clean-up.
    unenhanced_core
        How the core of a tumour that hardly enhances is found; None: as any other.
    least_expected_dice
        Where the probabilities lead to expect a lower Dice coefficient of the whole tumour, a result carries the flag
        MODEL_UNCERTAIN.
    uncertainty_limit
        Of cards written when doubt was measured otherwise; no longer used.
    may_lack
        Sequences of which a study may lack one, by measurement (``bench missing_sequence``), where the site wants a
        result then; the network gets zeros in its place.
    training, metrics, lineage, limitations
        What it learnt from, how well it does, where it comes from, what it can't do.
    """

    name: Name
    version: Name
    created: date
    description: str
    architecture: str
    licence: str
    opset: Annotated[int, Field(ge=11)]
    file: NetworkFile
    also: tuple[NetworkFile, ...] = ()
    grid: InputGrid
    brain: BrainStage | None = None
    activation: Literal["sigmoid", "softmax", "none"] = "sigmoid"
    outputs: tuple[Output, ...]
    decision: Literal["sum", "argmax"] = "sum"
    nesting: Literal["outer", "inner"] = "outer"
    mirror: bool = False
    mirror_axes: Annotated[tuple[Literal["x", "y", "z"], ...], Field(max_length=3)] = ()
    postprocessing: Postprocessing = Postprocessing()
    unenhanced_core: UnenhancedCore | None = None
    least_expected_dice: Annotated[float, Field(ge=0, le=1)] = 0.75
    uncertainty_limit: Annotated[float, Field(gt=0, le=1)] = 1.0
    may_lack: tuple[MRSequence, ...] = ()
    training: tuple[TrainingSource, ...] = ()
    metrics: tuple[Metric, ...] = ()
    lineage: Lineage | None = None
    limitations: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        regions = [output.region for output in self.outputs]
        lacking = [region.value for region in TUMOUR_REGIONS if region not in regions]
        if lacking:
            raise ValueError(f"outputs lack {', '.join(lacking)}")
        if len(set(regions)) != len(regions):
            raise ValueError("a region stands twice in outputs")
        if self.decision == "argmax" and (
            self.activation == "sigmoid" or {one.threshold for one in self.outputs} != {0.5}
        ):
            raise ValueError("decision argmax needs softmax and thresholds of 0.5")
        return self

    @property
    def identity(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def sha256(self) -> str:
        """Hash of the tumour network's file."""
        return self.file.sha256

    @property
    def tumour_files(self) -> tuple[NetworkFile, ...]:
        """The tumour networks' ONNX files: the one that fine-tuning changes, and those averaged with it."""
        return (self.file, *self.also)

    @property
    def files(self) -> tuple[NetworkFile, ...]:
        """Every ONNX file of this network."""
        return self.tumour_files if self.brain is None else (*self.tumour_files, self.brain.file)

    def threshold(self, region: Region) -> float:
        """Return the probability at and above which a voxel belongs to a region."""
        return next(output.threshold for output in self.outputs if output.region is region)
