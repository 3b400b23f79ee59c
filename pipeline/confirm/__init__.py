"""What the images say of the identification, where headers leave it open."""

from pipeline.confirm.lookalikes import settle
from pipeline.confirm.repeats import choose_repeats

__all__ = ["choose_repeats", "settle"]
