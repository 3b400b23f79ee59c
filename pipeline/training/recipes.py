"""Named settings of a training."""

import os
from typing import Final

#: real: for BraTS or a site's own cases and one GPU, within a day; see docs/training.md. A step on a GPU takes tens of
#: milliseconds, so the processor's cores are kept busy drawing samples.
RECIPES: Final[dict[str, dict[str, int | float]]] = {
    "real": {
        "case_share": 0.75,
        "steps": 120_000,
        "minutes": 24 * 60,
        "rate": 1e-3,
        "reuse": 24,
        "healthy": 0.3,
        "workers": max(1, (os.cpu_count() or 2) // 4),
        "drawers": max(1, (os.cpu_count() or 2) // 2),
        "validate_every": 1000,
    }
}
