"""What a site decides about learning: section ``Finetune`` of the settings."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_pascal


class FinetunePolicy(BaseModel):
    """When and how the network learns from corrections, and what a new one must show."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, alias_generator=to_pascal, populate_by_name=True)

    after_corrections: int = Field(
        default=0, ge=0, description="Start by itself after this many new trusted corrections; 0: only when asked."
    )
    learn_from: Literal["trusted", "all"] = Field(
        default="trusted", description="Whether corrections that nobody approved are learnt from."
    )
    automatic_promotion: bool = Field(
        default=False, description="Put a network that passed the guard to work without being asked."
    )
    head_label_maps: Path | None = Field(
        default=None, description="Folder of head label maps: synthetic cases are replayed against forgetting."
    )
    steps: int = Field(default=200, ge=1, le=100_000, description="Optimiser steps.")
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="Highest learning rate; it falls to zero.")
    replay_share: float = Field(default=0.6, ge=0, lt=1, description="Share of steps on replayed cases.")
    replay_cases: int = Field(default=42, ge=0, description="Synthetic cases rendered for the replay.")
    reference_set: Path | None = Field(
        default=None, description="Folder of cases (BraTS layout) that a new network is judged by; else the shipped."
    )
    least_held_back: int = Field(
        default=6,
        ge=1,
        description="Held-back corrections needed before a new network can pass the guard; fewer than 6 count as 6.",
    )
    margin: float = Field(default=0.01, ge=0, le=1, description="Mean Dice a region may lose on the reference set.")
    least_gain: float = Field(
        default=0.0, ge=0, le=1, description="Mean Dice that the held-back corrections must gain at least."
    )
    threads: int = Field(default=0, ge=0, le=256, description="Threads of the learning process; 0: all cores.")

    @field_validator("head_label_maps", "reference_set")
    @classmethod
    def _empty_is_none(cls, value: Path | None) -> Path | None:
        return None if value is not None and str(value) in ("", ".") else value
