"""The fixed reference set: what no fine-tuned network may forget.

Synthetic cases of heads that are never trained on, from a fixed seed. They ship with the product and nothing is
learnt from them; every candidate is judged by the same ones. ``python -m pipeline.finetune.reference HEADS OUT``
renders them.
"""

import argparse
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.corrections.images import SUFFIXES
from pipeline.names import MRSequence
from pipeline.training.synthesis.heads import head_paths, load_head
from pipeline.training.synthesis.render import RenderedStudy, draw_study
from pipeline.training.synthesis.tumour import TumourKind

_SEED: Final = 1_718
_SPACING_MM: Final = 2
_MARGIN_MM: Final = 6.0
#: Of nearly all of the brain's intensities; the noise is coarser than a step.
_STEPS: Final = 255
_KINDS: Final = (
    TumourKind.RING,
    TumourKind.LOW_GRADE,
    TumourKind.PATCHY,
    TumourKind.SOLID,
    TumourKind.MULTIFOCAL,
    TumourKind.RING,
)


def render_reference(heads: Path, target: Path, cache: Path | None = None) -> None:
    """Render the reference set: one case of each kind in turn, on the heads that are held out.

    Parameters
    ----------
    heads
        Folder of head label maps.
    target
        Folder of the cases, which get a folder each.
    cache
        Folder for the heads' tissue fractions.
    """
    _, held_out = head_paths(heads)
    target.mkdir(parents=True, exist_ok=True)
    for number, kind in enumerate(_KINDS):
        head = load_head(held_out[number % len(held_out)], _SPACING_MM, False, cache)
        study = draw_study(np.random.default_rng([_SEED, number]), head, kind)
        write_study(study, target / f"reference-{number + 1}")


def write_study(study: RenderedStudy, target: Path) -> None:
    """Write a rendered study as a BraTS-layout case, its skull stripped as in research data.

    Parameters
    ----------
    study
        On a grid of 2 mm, axes (z, y, x).
    target
        The case's folder; made whole or not at all.
    """
    part = target.with_name(f".{target.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    brain = study.regions[0]
    outside = sitk.GetImageFromArray((~brain).astype(np.uint8))
    outside.SetSpacing((_SPACING_MM,) * 3)
    distance = sitk.SignedMaurerDistanceMap(outside, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    mask = sitk.GetArrayFromImage(distance) <= _MARGIN_MM
    for sequence, image in zip(MRSequence, study.images, strict=True):
        step = np.percentile(image[brain], 99.9) / _STEPS
        scaled = np.clip(np.round(image * mask / step), 0, 4 * _STEPS).astype(np.int16)
        _write(scaled, part / f"{target.name}_{SUFFIXES[sequence]}.nii.gz")
    labels = np.zeros(brain.shape, np.uint8)
    for region, label in zip(study.regions[1:], (2, 1, 4), strict=True):
        labels[region] = label
    _write(labels, part / f"{target.name}_seg.nii.gz")
    part.rename(target)


def _write(array: NDArray[np.int16] | NDArray[np.uint8], path: Path) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((_SPACING_MM,) * 3)
    sitk.WriteImage(image, path, useCompression=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    render_reference(options.heads, options.out)
