"""Expected contours of the sample study, by network and version; what a check may differ from them."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset

from pipeline import PIPELINE_VERSION
from pipeline.canary.study import SAMPLE, TRUTH
from pipeline.errors import GlioLoopError
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.objects import read_structure_set
from pipeline.volume import SourceVolume, read_volume

Mask = NDArray[np.bool_]

#: Least agreement with the expected contours. The same network on another processor differs by far less.
LEAST_DICE: Final = 0.98
MOST_VOLUME_CHANGE: Final = 0.02
_VOLUME_NOISE_ML: Final = 0.2
#: Least agreement with the sample's truth, where nothing was expected yet: below it, this is no working network.
LEAST_TRUE_DICE: Final[Mapping[Region, float]] = {Region.WT: 0.75, Region.TC: 0.6, Region.ET: 0.3}
_TRUE_LABELS: Final[Mapping[Region, tuple[int, ...]]] = {Region.WT: (1, 2, 4), Region.TC: (1, 4), Region.ET: (4,)}


@dataclass(frozen=True)
class Agreement:
    """How one region agrees with what it is compared with.

    Attributes
    ----------
    dice
        0 to 1; 1 where both are empty.
    volume_ml, expected_ml
        Of the region, and of what it is compared with.
    """

    dice: float
    volume_ml: float
    expected_ml: float


def sample_volume(reference: MRSequence) -> SourceVolume:
    """Return the sample's series whose slices carry the contours."""
    return read_volume(sorted((SAMPLE / reference.value).glob("*.dcm")))


def masks_of(structure_set: Dataset, volume: SourceVolume, names: Mapping[Region, str]) -> dict[Region, Mask]:
    """Return the regions of a structure set on the sample's grid, (slices, rows, columns).

    Raises
    ------
    GlioLoopError
        NODE_UNWELL where a region is not in it; STRUCTURE_SET_UNREADABLE, STRUCTURE_SET_FOREIGN.
    """
    frame = str(structure_set.get("FrameOfReferenceUID", ""))
    rois = {roi.name: roi for roi in read_structure_set(structure_set, replace(volume, frame_of_reference_uid=frame))}
    if lacking := [names[region] for region in TUMOUR_REGIONS if names[region] not in rois]:
        raise GlioLoopError("NODE_UNWELL", f"the structure set lacks {', '.join(lacking)}")
    return {region: sitk.GetArrayFromImage(rois[names[region]].mask) > 0 for region in TUMOUR_REGIONS}


def truth(volume: SourceVolume) -> dict[Region, Mask]:
    """Return the regions that the sample really has, on its grid."""
    labels = sitk.GetArrayFromImage(
        sitk.Resample(sitk.ReadImage(TRUTH), volume.image, interpolator=sitk.sitkNearestNeighbor)
    )
    return {region: np.isin(labels, wanted) for region, wanted in _TRUE_LABELS.items()}


def agreements(
    found: Mapping[Region, Mask], with_: Mapping[Region, Mask], volume: SourceVolume
) -> dict[Region, Agreement]:
    """Compare each region."""
    ml = float(np.prod(volume.image.GetSpacing())) / 1000
    compared = {}
    for region, mask in found.items():
        both, own, other = (int(one.sum()) for one in (mask & with_[region], mask, with_[region]))
        dice = 2 * both / (own + other) if own + other else 1.0
        compared[region] = Agreement(round(dice, 4), round(own * ml, 3), round(other * ml, 3))
    return compared


def differences(compared: Mapping[Region, Agreement]) -> list[str]:
    """Say in which regions contours are not the expected ones; empty where all are."""
    wrong = []
    for region, one in compared.items():
        most = max(MOST_VOLUME_CHANGE * one.expected_ml, _VOLUME_NOISE_ML)
        if one.dice < LEAST_DICE or abs(one.volume_ml - one.expected_ml) > most:
            wrong.append(f"{region.value}: Dice {one.dice:.3f}, {one.volume_ml:.1f} ml for {one.expected_ml:.1f} ml")
    return wrong


def far_from_truth(compared: Mapping[Region, Agreement]) -> list[str]:
    """Say in which regions contours are not even near the sample's truth."""
    return [
        f"{region.value}: Dice {one.dice:.3f} to the truth, at least {LEAST_TRUE_DICE[region]:g}"
        for region, one in compared.items()
        if one.dice < LEAST_TRUE_DICE[region]
    ]


class Expectations:
    """What was recorded, a file for each network version and version of the pipeline.

    Parameters
    ----------
    state_folder
        The node's state folder; files lie in ``check/`` in it.
    """

    def __init__(self, state_folder: Path) -> None:
        self._folder = state_folder / "check"

    def file(self, model: str) -> Path:
        """Return the file of a network, ``name@version``."""
        return self._folder / f"{model}-{PIPELINE_VERSION}.npz"

    @property
    def last(self) -> Path:
        """The file with what the latest check found, whether expected or not: to look at where it differs."""
        return self._folder / "last.npz"

    def read(self, model: str) -> dict[Region, Mask] | None:
        """Return the expected regions; None where none were recorded.

        Raises
        ------
        GlioLoopError
            NODE_UNWELL where the file is damaged.
        """
        try:
            with np.load(self.file(model)) as kept:
                return {region: kept[region.value] for region in TUMOUR_REGIONS}
        except FileNotFoundError:
            return None
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):
            raise GlioLoopError("NODE_UNWELL", f"{self.file(model).name} is damaged; `check --record`") from None

    def record(self, model: str, masks: Mapping[Region, Mask]) -> None:
        """Expect these regions of a network from now on."""
        self._write(self.file(model), masks)

    def keep(self, masks: Mapping[Region, Mask]) -> None:
        """Keep what the latest check found."""
        self._write(self.last, masks)

    @staticmethod
    def _write(file: Path, masks: Mapping[Region, Mask]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = file.with_name(f".{file.name}.part")
        with part.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **{region.value: mask for region, mask in masks.items()})
        part.replace(file)
