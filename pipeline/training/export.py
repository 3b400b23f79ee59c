"""Trained weights to ONNX, checked against the network they come from, and to a model folder with its card."""

from collections.abc import Sequence as Listing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import nn

from pipeline.errors import GlioLoopError
from pipeline.names import MRSequence, Region
from pipeline.registry import BrainStage, InputGrid, Metric, ModelCard, NetworkFile, Output, TrainingSource
from pipeline.registry.parts import Lineage, Postprocessing
from pipeline.training.cases import NETWORK_MM
from pipeline.training.checkpoints import averaged_network
from pipeline.training.network import HalfResolutionUNet
from pipeline.training.weights import mix, network_from_onnx, shape_of, soften, widened

OPSET = 18
PARITY = 2e-3
"""Largest difference in probability between torch and onnxruntime that is accepted."""

_OUTPUTS = (Region.BRAIN, Region.WT, Region.TC, Region.ET, Region.CAVITY)

SYNTHETIC_SOURCE = TrainingSource(
    name="SynthSeg training label maps, 16 of 20 heads, rendered as synthetic studies with synthetic tumours",
    source="https://github.com/BBillot/SynthSeg (data/training_label_maps, commit 66342c1)",
    licence="Apache-2.0",
    cases=16,
)


@dataclass(frozen=True)
class CardFacts:
    """What a card says that the weights do not.

    Attributes
    ----------
    name, version, description, licence
        As in the card.
    training, metrics, lineage, limitations
        As in the card.
    thresholds, minimum_component_ml, least_certainty, least_expected_dice
        Chosen on tuning data.
    temperatures
        What each region's raw outputs are divided by, so that probabilities are calibrated on tuning data; goes into
        the weights.
    """

    name: str = "gliounet"
    version: str = "0.1.0"
    description: str = "Whole tumour, tumour core and enhancing tumour at 1.5 mm from T1, T1c, T2 and FLAIR"
    licence: str = "AGPL-3.0-or-later"
    training: Listing[TrainingSource] = (SYNTHETIC_SOURCE,)
    metrics: Listing[Metric] = ()
    lineage: Lineage | None = None
    limitations: Listing[str] = (
        "Trained on synthetic studies only; see the metrics for how far that carries to real ones.",
        "Adults with glioma-like tumours; not for children, metastases, meningiomas or the spine.",
        "Resection cavities were learnt from rendered studies only.",
    )
    thresholds: dict[Region, float] = field(default_factory=dict)
    temperatures: dict[Region, float] = field(default_factory=dict)
    minimum_component_ml: dict[Region, float] = field(
        default_factory=lambda: {Region.WT: 0.3, Region.TC: 0.3, Region.ET: 0.3, Region.CAVITY: 1.0}
    )
    least_certainty: dict[Region, float] = field(default_factory=lambda: {Region.WT: 0.97, Region.CAVITY: 0.9})
    least_expected_dice: float = 0.75


def export_network(network: HalfResolutionUNet, inputs: int, path: Path) -> float:
    """Write a network as ONNX with free spatial sizes and compare it with onnxruntime's run of the file.

    Parameters
    ----------
    network
        In evaluation mode.
    inputs
        Channels.
    path
        File to write.

    Returns
    -------
    Largest absolute difference in probability, over two sizes.

    Raises
    ------
    GlioLoopError
        EXPORT_FAILED where it exceeds :data:`PARITY`; the file is removed.
    """
    network = network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    axes = {2: "z", 3: "y", 4: "x"}
    shapes = [(1, inputs, 32, 48, 32), (1, inputs, 48, 32, 64)]
    return write_onnx(network, shapes, path, PARITY, {"images": axes, "logits": axes})


def write_onnx(
    network: nn.Module,
    shapes: Listing[tuple[int, ...]],
    path: Path,
    most: float,
    free: dict[str, dict[int, str]] | None = None,
) -> float:
    """Write a network as ONNX and compare it with onnxruntime's run of the file.

    Parameters
    ----------
    network
        In evaluation mode, from raw input to raw outputs.
    shapes
        Of what both are run on; the first is traced.
    path
        File to write.
    most
        Largest difference in probability that is accepted.
    free
        Axes of ``images`` and ``logits`` whose size is free, by name and number; none where left out.

    Returns
    -------
    Largest absolute difference in probability, over all shapes.

    Raises
    ------
    GlioLoopError
        EXPORT_FAILED where it exceeds ``most``; the file is removed.
    """
    torch.onnx.export(
        network,
        (torch.randn(*shapes[0]),),
        str(path),
        input_names=["images"],
        output_names=["logits"],
        dynamic_axes=free,
        opset_version=OPSET,
        dynamo=False,
    )
    onnx.checker.check_model(str(path))
    worst = max(_difference(network, path, shape) for shape in shapes)
    if not worst <= most:
        path.unlink()
        raise GlioLoopError("EXPORT_FAILED", f"torch and onnxruntime differ by {worst:.2g} in probability")
    return worst


@torch.no_grad()
def _difference(network: nn.Module, path: Path, shape: tuple[int, ...]) -> float:
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    expected = torch.sigmoid(network(torch.from_numpy(images))).numpy()
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (raw,) = session.run(None, {"images": images})
    return float(np.abs(expected - 1 / (1 + np.exp(-raw))).max())


def write_model(
    tumour: Path,
    brain: Path,
    folder: Path,
    facts: CardFacts,
    start: Path | None = None,
    share: float = 1.0,
    also: tuple[Path, ...] = (),
) -> ModelCard:
    """Export both networks' averaged weights and write the card beside them.

    Parameters
    ----------
    tumour, brain
        Checkpoints of the two trainings.
    folder
        Where ``model.onnx``, ``brain.onnx`` and ``model.json`` go, made where absent.
    facts
        The rest of the card.
    start, share
        ONNX file of the network that the tumour training went on from, and how far from there to the trained one the
        exported weights lie: what lies between both is often better on other data than either (Wortsman et al.,
        CVPR 2022).
    also
        Further tumour networks (ONNX) to average with, as ``also-1.onnx``, ``also-2.onnx``, …
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[NetworkFile] = []
    softer = {_OUTPUTS.index(region): temperature for region, temperature in facts.temperatures.items()}
    network = averaged_network(tumour)
    outputs = shape_of(network).outputs
    if start is not None:
        network = mix(widened(network_from_onnx(start), outputs), network, share)
    for one, name in ((soften(network, softer), "model.onnx"), (averaged_network(brain), "brain.onnx")):
        export_network(one, len(MRSequence), folder / name)
        files.append(NetworkFile.of(folder / name))
    for number, path in enumerate(also, 1):
        export_network(soften(network_from_onnx(path), softer), len(MRSequence), folder / f"also-{number}.onnx")
        files.append(NetworkFile.of(folder / f"also-{number}.onnx"))
    card = make_card(files[0], files[1], facts, outputs).model_copy(update={"also": tuple(files[2:])})
    (folder / "model.json").write_text(card.model_dump_json(indent=2) + "\n")
    return card


def make_card(tumour: NetworkFile, brain: NetworkFile, facts: CardFacts, outputs: int) -> ModelCard:
    """The card of a pair of networks of this repository's training; the tumour network has so many ``outputs``."""
    order = tuple(MRSequence)
    return ModelCard(
        name=facts.name,
        version=facts.version,
        created=datetime.now(UTC).date(),
        description=facts.description,
        architecture=(
            "U-Net at half resolution between a space-to-depth stem and a depth-to-space head (1.5 mm); "
            "the same, smaller, at 4 mm finds the brain first"
        ),
        licence=facts.licence,
        opset=OPSET,
        file=tumour,
        grid=InputGrid(order=order, spacing_mm=(NETWORK_MM,) * 3, window=(128, 144, 128), normalisation="brain"),
        brain=BrainStage(
            file=brain,
            grid=InputGrid(order=order, spacing_mm=(4.0, 4.0, 4.0), window=(64, 64, 64), normalisation="head"),
        ),
        outputs=tuple(
            Output(region=region, channels=(k,), threshold=facts.thresholds.get(region, 0.5))
            for k, region in enumerate(_OUTPUTS[:outputs])
        ),
        postprocessing=Postprocessing(
            minimum_component_ml=facts.minimum_component_ml, least_certainty=facts.least_certainty
        ),
        least_expected_dice=facts.least_expected_dice,
        training=tuple(facts.training),
        metrics=tuple(facts.metrics),
        lineage=facts.lineage,
        limitations=tuple(facts.limitations),
    )
