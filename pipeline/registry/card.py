"""The model card: everything inference needs of a network, and what people should know of it.

A network is data: one folder ``<name>/<version>/`` with ``model.json`` (this card) and the ONNX files
it names. Inference takes every number from here, so that a site's own network needs no code.
"""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.registry.parts import (
    BrainStage,
    CardRecord,
    InputGrid,
    Lineage,
    Metric,
    NetworkFile,
    Output,
    Postprocessing,
    TrainingSource,
    UnenhancedCore,
)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class ModelCard(CardRecord):
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
