"""What other Python readers and writers do with RT Structure Sets; runs in their own environment.

The peers cannot live in the product's environment, so this file imports nothing of the product. It prints one JSON
document. Masks are .npy files (slices, rows, columns).
"""

# ruff: noqa: PLC0415 (each task imports only the peer that it is about)

import json
import sys
import time
from pathlib import Path

import numpy as np


def rt_utils_read(series: Path, structure_set: Path, out: Path) -> dict[str, object]:
    from rt_utils import RTStructBuilder

    begin = time.perf_counter()
    opened = RTStructBuilder.create_from(dicom_series_path=str(series), rt_struct_path=str(structure_set))
    open_s = time.perf_counter() - begin
    rois: dict[str, object] = {}
    for name in opened.get_roi_names():
        begin = time.perf_counter()
        try:
            mask = opened.get_roi_mask_by_name(name)
        except Exception as error:
            rois[name] = {"error": f"{type(error).__name__}: {error}"}
            continue
        rois[name] = {"read_s": time.perf_counter() - begin}
        np.save(out / f"{name}.npy", np.moveaxis(mask, 2, 0))
    return {"open_s": open_s, "rois": rois}


def rt_utils_write(series: Path, masks: Path, target: Path) -> dict[str, object]:
    from rt_utils import RTStructBuilder

    loaded = {path.stem: np.moveaxis(np.load(path), 0, 2).astype(bool) for path in sorted(masks.glob("*.npy"))}
    begin = time.perf_counter()
    structure_set = RTStructBuilder.create_new(dicom_series_path=str(series))
    open_s = time.perf_counter() - begin
    begin = time.perf_counter()
    for name, mask in loaded.items():
        structure_set.add_roi(mask=mask, name=name)
    add_s = time.perf_counter() - begin
    structure_set.save(str(target))
    return {"open_s": open_s, "add_s": add_s, "write_s": time.perf_counter() - begin}


def dcmrtstruct2nii_read(series: Path, structure_set: Path, out: Path) -> dict[str, object]:
    import pydicom

    # dcmrtstruct2nii 5 calls this by a name that pydicom 3 dropped.
    pydicom.read_file = pydicom.dcmread  # type: ignore[attr-defined]
    from dcmrtstruct2nii import dcmrtstruct2nii

    begin = time.perf_counter()
    dcmrtstruct2nii(str(structure_set), str(series), str(out), gzip=False, convert_original_dicom=False)
    return {"read_s": time.perf_counter() - begin}


TASKS = {
    "rt_utils_read": rt_utils_read,
    "rt_utils_write": rt_utils_write,
    "dcmrtstruct2nii_read": dcmrtstruct2nii_read,
}

if __name__ == "__main__":
    task, *paths = sys.argv[1:]
    repeats = 3 if task == "rt_utils_write" else 1
    results = [TASKS[task](*map(Path, paths)) for _ in range(repeats)]
    print("\n" + json.dumps(results[-1] if repeats == 1 else min(results, key=lambda result: result["write_s"])))
