"""The core of a tumour that hardly enhances.

Where contrast medium shows a core, the core ends where the oedema begins, and a network overdraws it rather than not;
where hardly anything enhances, the core looks much like oedema, and a network doubts most of it. One threshold for both
cuts off one or overdraws the other.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipeline.names import Region
from pipeline.registry import ModelCard

Array = npt.NDArray[np.float32]


def trust_unenhanced_core(regions: Mapping[Region, Array], card: ModelCard) -> dict[Region, Array]:
    """Return the regions with the core's probability raised where hardly any of it enhances and the card says so.

    Parameters
    ----------
    regions
        Probability of each region, 0..1, axes (z, y, x).
    card
        Its ``unenhanced_core`` says below which share of enhancing tumour, and by how much in log-odds.
    """
    rule = card.unenhanced_core
    if rule is None:
        return dict(regions)
    core = regions[Region.TC]
    found = np.count_nonzero(core >= card.threshold(Region.TC))
    if np.count_nonzero(regions[Region.ET] >= card.threshold(Region.ET)) >= rule.share * found:
        return dict(regions)
    odds = np.float32(np.exp(rule.log_odds))
    return {**regions, Region.TC: core * odds / (1 + core * (odds - 1))}
