"""Rigid registration by ANTsPy and by brainles-preprocessing; runs in an environment of its own.

``registration_peer.py PEER JOBS``: JOBS is a JSON list of [fixed, moving] NIfTI files. Prints, per job, one line of
JSON: seconds, processor seconds, and the 4x4 matrix that maps points of the fixed image to the moving one (LPS, mm);
or the error.
"""

# ruff: noqa: PLC0415 (each peer imports only what it needs)

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

Result = tuple[float, float, np.ndarray]


def antspy(fixed: str, moving: str, folder: Path) -> Result:
    """``ants.registration(type_of_transform="Rigid")`` with its defaults, files already read."""
    import ants

    images = ants.image_read(fixed), ants.image_read(moving)
    begin, used = time.perf_counter(), time.process_time()
    found = ants.registration(*images, type_of_transform="Rigid", outprefix=str(folder / "ants"))
    return time.perf_counter() - begin, time.process_time() - used, _from_itk(found["fwdtransforms"][0])


def brainles(fixed: str, moving: str, folder: Path) -> Result:
    """brainles-preprocessing's default registrator, from file to file as it works."""
    from brainles_preprocessing.registration import ANTsRegistrator

    begin, used = time.perf_counter(), time.process_time()
    ANTsRegistrator().register(fixed, moving, folder / "moved.nii.gz", folder / "matrix.mat", folder / "log.txt")
    return time.perf_counter() - begin, time.process_time() - used, _from_itk(str(folder / "matrix.mat"))


def _from_itk(path: str) -> np.ndarray:
    import ants

    transform = ants.read_transform(path)
    matrix = np.eye(4)
    origin = np.array(transform.apply_to_point([0.0, 0.0, 0.0]))
    matrix[:3, :3] = np.array([np.array(transform.apply_to_point(unit)) - origin for unit in np.eye(3).tolist()]).T
    matrix[:3, 3] = origin
    return matrix


PEERS = {"ANTsPy": antspy, "brainles-preprocessing": brainles}


def run() -> None:
    warnings.simplefilter("ignore")
    peer = PEERS[sys.argv[1]]
    for fixed, moving in json.loads(Path(sys.argv[2]).read_text()):
        with tempfile.TemporaryDirectory() as folder:
            try:
                seconds, processor, matrix = peer(fixed, moving, Path(folder))
                found = {"seconds": seconds, "processor_s": processor, "matrix": matrix.tolist()}
                print(json.dumps(found), flush=True)
            except Exception as error:
                print(json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}), flush=True)


if __name__ == "__main__":
    run()
