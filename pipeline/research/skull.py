"""Heads without faces: of every image only the brain stays, and what was drawn as tumour.

That is what the cases of the BraTS challenge are. The brain is the network's, as for a clinical study; no face can be
rebuilt from what is left. Tools that cut a face off and leave the rest of the head need a registration or a plane that
may miss it.
"""

from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import Case
from pipeline.evaluation.evaluate import as_source, identity_alignment
from pipeline.inference import delineate
from pipeline.names import MRSequence, Provider, Region
from pipeline.registry import InstalledModel

#: Kept around the brain, so that hardly any of its surface is cut (docs/research.md): no more than fluid and bone.
MARGIN_MM: Final = 3.0
#: The cases lie on the grid of this sequence.
_REFERENCE: Final = MRSequence.T1C


def find_brain(case: Case, model: InstalledModel) -> sitk.Image:
    """Probability of the brain, as the network finds it in a clinical study.

    Parameters
    ----------
    case
        Its images lie on one grid.
    model
        The network.

    Returns
    -------
    SimpleITK.Image
        float32 on the network's grid, in the space of the case, LPS, mm.

    Raises
    ------
    GlioLoopError
        BRAIN_NOT_FOUND, also where the network does not give the brain; FILE_UNREADABLE, MODEL_DAMAGED.
    """
    volumes = {sequence: as_source(image, sequence.value) for sequence, image in case.read_images().items()}
    unmoved = dict.fromkeys(volumes, identity_alignment())
    found = delineate(volumes, unmoved, _REFERENCE, model, provider=Provider.CPU)
    if Region.BRAIN not in found.probabilities:
        raise GlioLoopError("BRAIN_NOT_FOUND", f"{model.card.identity} does not give the brain")
    return found.probabilities[Region.BRAIN]


def to_keep(brain: sitk.Image, labels: sitk.Image) -> NDArray[np.bool_]:
    """The voxels that stay: the brain in one piece with all that lies within it, a margin, and the tumour.

    Parameters
    ----------
    brain
        Probability, any grid of the same space.
    labels
        Tumour on the case's grid, 0 where there is none.

    Returns
    -------
    numpy.ndarray
        bool, (slices, rows, columns) of the case's grid.

    Raises
    ------
    GlioLoopError
        BRAIN_NOT_FOUND where nothing of the brain lies on the case's grid.
    """
    moved = sitk.Resample(brain, labels, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    parts, count = ndimage.label(sitk.GetArrayFromImage(moved) >= 0.5)
    if count == 0:
        raise GlioLoopError("BRAIN_NOT_FOUND")
    # An eye or a muscle that hangs on by nothing is no brain.
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    inside = ndimage.binary_fill_holes(largest)
    distance = ndimage.distance_transform_edt(~inside, sampling=labels.GetSpacing()[::-1])
    return np.asarray((distance <= MARGIN_MM) | (sitk.GetArrayFromImage(labels) > 0))


def stripped(image: sitk.Image, kept: NDArray[np.bool_]) -> sitk.Image:
    """An image of which all is 0 but what is kept."""
    array = np.where(kept, sitk.GetArrayFromImage(image), 0).astype(np.int16)
    made = sitk.GetImageFromArray(array)
    made.CopyInformation(image)
    return made
