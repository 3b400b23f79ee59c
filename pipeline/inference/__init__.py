"""Networks on aligned sequences: the brain first, then the tumour."""

from pipeline.inference.delineate import Delineation, delineate

__all__ = ["Delineation", "delineate"]
