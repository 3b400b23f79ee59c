"""A head small in detail: spheres of tissue as a label map, for tests of synthesis and training."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

NAMES = ("head_01", "head_02", "head_04")
"""Two to train on and one of those that are held out."""


def write_head(path: Path, radius: float) -> None:
    """Write nested spheres: ventricle, white matter, cortex, fluid, bone, soft tissue, skin."""
    size = int(2 * radius) + 40
    z, y, x = np.indices((size, size, size), dtype=np.float32) - (size - 1) / 2
    distance = np.sqrt(z**2 + y**2 + x**2)
    labels = np.zeros((size, size, size), dtype=np.uint16)
    shells = ((1.22, 511), (1.16, 507), (1.1, 515), (1.03, 24), (1.0, 3), (0.85, 2), (0.2, 4))
    for share, label in shells:
        labels[distance < radius * share] = label
    image = sitk.GetImageFromArray(labels)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(path), useCompression=True)


def write_heads(folder: Path) -> Path:
    """Write the heads of :data:`NAMES`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(NAMES):
        write_head(folder / f"{name}.nii.gz", 50 + 4 * number)
    return folder
