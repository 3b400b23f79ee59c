"""From the network's grid back to the reference series' own slices."""

from pipeline.restore.native import Cleaning, Restored, cleaning, restore
from pipeline.restore.sharpen import Signal, signals

__all__ = ["Cleaning", "Restored", "Signal", "cleaning", "restore", "signals"]
