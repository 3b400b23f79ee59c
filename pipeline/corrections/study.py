"""A processed study as corrections need it, and masks brought onto its reference grid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.align import Alignment
from pipeline.names import MRSequence
from pipeline.volume.records import SourceVolume

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Study:
    """A processed study as corrections need it.

    Attributes
    ----------
    volumes
        The series, one of which may lack.
    alignments
        How each lies against the reference; kept from the job that drew the automatic contours.
    reference
        Sequence whose grid regions are compared on.
    """

    volumes: Mapping[MRSequence, SourceVolume]
    alignments: Mapping[MRSequence, Alignment]
    reference: MRSequence

    @property
    def grid(self) -> sitk.Image:
        """Image whose grid regions are compared on."""
        return self.volumes[self.reference].image

    def images(self) -> dict[MRSequence, frozenset[str]]:
        """SOP Instance UIDs of the slices of each sequence."""
        return {
            sequence: frozenset(one.sop_instance_uid for one in volume.slices)
            for sequence, volume in self.volumes.items()
        }

    def nothing(self) -> Mask:
        """An empty mask on the reference grid."""
        return np.zeros(self.grid.GetSize()[::-1], dtype=bool)

    def onto_reference(self, mask: sitk.Image, sequence: MRSequence) -> Mask:
        """Bring a mask that lies on a sequence's images onto the reference grid, (slices, rows, columns)."""
        grid = self.grid
        same = sequence is self.reference and mask.GetSize() == grid.GetSize()
        if (
            same
            and np.allclose(mask.GetOrigin(), grid.GetOrigin())
            and np.allclose(mask.GetSpacing(), grid.GetSpacing())
            and np.allclose(mask.GetDirection(), grid.GetDirection(), atol=1e-4)
        ):
            return np.asarray(sitk.GetArrayViewFromImage(mask) >= 0.5)
        transform = self.alignments[sequence].transform
        resampled = sitk.Resample(sitk.Cast(mask, sitk.sitkFloat32), grid, transform, sitk.sitkLinear, 0.0)
        return np.asarray(sitk.GetArrayViewFromImage(resampled) >= 0.5)
