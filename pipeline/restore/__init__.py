"""From the network's grid back to the reference series' own slices."""

from pipeline.restore.native import Cleaning, Restored, cleaning, restore

__all__ = ["Cleaning", "Restored", "cleaning", "restore"]
