"""From the network's grid back to the reference series' own slices."""

from pipeline.restore.native import Cleaning, Restored, cleaning, restore, restore_case
from pipeline.restore.sharpen import Signal

__all__ = ["Cleaning", "Restored", "Signal", "cleaning", "restore", "restore_case"]
