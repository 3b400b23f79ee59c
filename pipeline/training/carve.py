"""A labelled tumour pasted into another brain: CarveMix (Zhang et al., MICCAI 2021), with a soft seam.

Both brains lie about alike and are in the same units (healthy brain at one mean and deviation), so the tumour goes
where it would be in the other brain, after a pose of its own.
"""

import numpy as np

from pipeline.training.cases import NEAR_MM, Patch

_SEAM_MM = 4.0


def paste(rng: np.random.Generator, donor: Patch, host: Patch) -> Patch:
    """The host with the donor's tumour and a margin around it, wherever both are brain.

    Parameters
    ----------
    rng
        Draws the width of the margin.
    donor, host
        On the same grid.
    """
    margin = rng.uniform(0, 10)
    weight = np.clip((margin - donor.tumour_mm) / _SEAM_MM + 0.5, 0, 1)
    weight = weight * (donor.fields[7] > NEAR_MM) * (host.fields[7] > NEAR_MM)
    taken = weight > 0.5
    fields = host.fields.copy()
    fields[:4] += weight * (donor.images - host.images)
    fields[4:7] = np.where(taken, donor.regions, host.regions)
    fields[8:] = np.where(taken, donor.fields[8:], host.fields[8:])
    return Patch(fields)
