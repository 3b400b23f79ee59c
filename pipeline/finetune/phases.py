"""The phases of a fine-tuning, in their order."""

from enum import StrEnum


class Phase(StrEnum):
    """What the learning process does, one after the other; each goes on where it was stopped."""

    PREPARE = "prepare"
    LEARN = "learn"
    EXPORT = "export"
    JUDGE = "judge"
