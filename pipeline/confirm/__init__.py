"""What the images say of the identification, where headers leave it open."""

from pipeline.confirm.anatomy import require_anatomy
from pipeline.confirm.pairs import contradiction, settle
from pipeline.confirm.repeats import choose_repeats
from pipeline.confirm.second_choice import Fetch, readable
from pipeline.confirm.slices import look_at_slices

__all__ = ["Fetch", "choose_repeats", "contradiction", "look_at_slices", "readable", "require_anatomy", "settle"]
