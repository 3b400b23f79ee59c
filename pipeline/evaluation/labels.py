"""What the values of a segmentation mean; where several conventions are possible, the images decide.

BraTS drew enhancing tumour as 4 until 2021, and as 3 from 2023; from 2024 a 4 is the resection cavity, and in 2013 a 3
was core that does not enhance.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import Case
from pipeline.names import MRSequence

#: Voxels that a label needs for its brightness to say something.
_LEAST_VOXELS: Final = 10
#: How far a label differs from oedema (on T1c, and on T1c against T1), in spreads of the brain, before that says
#: something. Of 24 cases and 5 rendered ones enhancing tumour is at least .40 and .27 brighter.
_BRIGHTER, _ENHANCED, _DARKER = 0.3, 0.2, -0.3


@dataclass(frozen=True)
class LabelScheme:
    """Which label values make which region.

    Attributes
    ----------
    whole, core, enhancing
        Values of WT, TC and ET.
    cavity
        Values that are no tumour.
    """

    whole: tuple[int, ...]
    core: tuple[int, ...]
    enhancing: tuple[int, ...]
    cavity: tuple[int, ...] = ()

    def regions(self, labels: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
        """Labels of shape (z, y, x) to bool (3, z, y, x): WT, TC, ET."""
        return np.stack([np.isin(labels, members) for members in (self.whole, self.core, self.enhancing)])

    def meaning(self, value: int) -> tuple[bool, bool, bool]:
        """Whether a value belongs to WT, TC, ET."""
        return value in self.whole, value in self.core, value in self.enhancing


SCHEMES: Final = {
    "brats": LabelScheme((1, 2, 4), (1, 4), (4,)),
    "brats2023": LabelScheme((1, 2, 3), (1, 3), (3,)),
    "brats2024": LabelScheme((1, 2, 3), (1, 3), (3,), (4,)),
    "brats2013": LabelScheme((1, 2, 3, 4), (1, 3, 4), (4,)),
}
#: In which the product writes its own cases: the corrections, and the shipped reference set.
OWN: Final = SCHEMES["brats"]


def scheme_of(case: Case) -> LabelScheme:
    """Find the scheme of a case by the values that occur, and where that is not enough by what enhances in it.

    Raises
    ------
    GlioLoopError
        LABELS_AMBIGUOUS where no scheme has all values, or several have and the images don't tell which;
        FILE_UNREADABLE.
    """
    array = sitk.GetArrayFromImage(case.read_labels())
    values = [value for value in np.unique(array).tolist() if value]
    fitting = [one for one in SCHEMES.values() if set(values) <= {*one.whole, *one.cavity}]
    told = "labels " + ", ".join(map(str, values))
    if not fitting:
        raise GlioLoopError("LABELS_AMBIGUOUS", f"{told}: no known scheme has them all")
    open_values = [value for value in values if len({one.meaning(value) for one in fitting}) > 1]
    images = case.images((MRSequence.T1, MRSequence.T1C)) if open_values else {}
    seen = {value: _enhances(array, value, images) for value in open_values}
    left = [one for one in fitting if all(seen[v] in (None, v in one.enhancing) for v in open_values)]
    if len({tuple(map(one.meaning, values)) for one in left}) != 1:
        doubtful = " and ".join(map(str, open_values))
        raise GlioLoopError("LABELS_AMBIGUOUS", f"{told}: T1c does not tell whether {doubtful} is enhancing tumour")
    return left[0]


def _enhances(labels: npt.NDArray[np.generic], value: int, images: dict[MRSequence, sitk.Image]) -> bool | None:
    """Whether a label is brighter than oedema after contrast, and not before it already; None where that is open."""
    if MRSequence.T1C not in images or (labels == value).sum() < _LEAST_VOXELS:
        return None
    after = _over_oedema(labels, value, images[MRSequence.T1C])
    before = _over_oedema(labels, value, images[MRSequence.T1]) if MRSequence.T1 in images else 0.0
    if after >= _BRIGHTER and after - before >= _ENHANCED:
        return True
    return False if after <= _DARKER else None


def _over_oedema(labels: npt.NDArray[np.generic], value: int, image: sitk.Image) -> float:
    """Median of a label less that of oedema, else of the brain without a label; in spreads of that brain."""
    array = sitk.GetArrayViewFromImage(image)
    quartiles = np.percentile(array[(array > 0) & (labels == 0)], (25, 50, 75))
    oedema = array[labels == 2]  # in every scheme
    against = np.median(oedema) if len(oedema) >= _LEAST_VOXELS else quartiles[1]
    spread = max(float(quartiles[2] - quartiles[0]) / 1.349, 1e-6)
    return float(np.median(array[labels == value]) - against) / spread
