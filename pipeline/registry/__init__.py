"""The networks: their cards, where they lie, which one is in use."""

from pipeline.registry.card import ModelCard
from pipeline.registry.parts import (
    BrainStage,
    InFluid,
    InputGrid,
    Lineage,
    Metric,
    NetworkFile,
    Output,
    Postprocessing,
    Sharpening,
    TrainingSource,
    UnenhancedCore,
)
from pipeline.registry.registry import CARD, InstalledModel, Registry

__all__ = [
    "CARD",
    "BrainStage",
    "InFluid",
    "InputGrid",
    "InstalledModel",
    "Lineage",
    "Metric",
    "ModelCard",
    "NetworkFile",
    "Output",
    "Postprocessing",
    "Registry",
    "Sharpening",
    "TrainingSource",
    "UnenhancedCore",
]
