"""The network on a real clinical study with skull and scalp, beside five networks of the BraTS challenge.

Usage: python -m benchmarks.clinical_study [--model NAME@VERSION] [--out DIR] [--json]

The peers' labels lie in an atlas space; their T1c is registered rigidly to the study's own T1c, and each region
is brought to its slices. Truth is what most of the five say; each peer is scored against the majority of all five,
which holds its own vote, so that its figure is flattered. With DIR, a picture of truth and result is written.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmarks.environment import installed_model, shared_data
from pipeline.align import align
from pipeline.align.prepare import prepare
from pipeline.align.register import register
from pipeline.evaluation.evaluate import delineate_and_restore
from pipeline.evaluation.labels import OWN
from pipeline.evaluation.metrics import score_region
from pipeline.evaluation.pictures import draw_case
from pipeline.identify import headers_from_files, identify
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.volume import read_chosen
from pipeline.volume.boxes import whole
from pipeline.volume.records import SourceVolume

Masks = dict[Region, NDArray[np.bool_]]
ATLAS_IMAGE = "t1c_atlas_space.nii.gz"


def read_study(folder: Path) -> dict[MRSequence, SourceVolume]:
    headers, files = headers_from_files(sorted(folder.rglob("*.dcm")))
    return read_chosen(identify(headers), files)


def peers_on(reference: sitk.Image, folder: Path) -> dict[str, Masks]:
    """Return each peer's regions on the slices of the reference."""
    atlas = sitk.ReadImage(folder / ATLAS_IMAGE, sitk.sitkFloat32)
    home = register(prepare(reference), prepare(atlas), same_frame=False).transform
    peers: dict[str, Masks] = {}
    for path in sorted(folder.glob("*.nii.gz")):
        if path.name == ATLAS_IMAGE:
            continue
        labels = sitk.ReadImage(path, sitk.sitkUInt8)
        regions = OWN.regions(sitk.GetArrayFromImage(labels))
        peers[path.name.removesuffix(".nii.gz")] = {
            region: _moved(mask, atlas, reference, home) for region, mask in zip(TUMOUR_REGIONS, regions, strict=True)
        }
    return peers


def majority_of(peers: dict[str, Masks]) -> Masks:
    """Return what most of the peers say."""
    return {
        region: np.sum([masks[region] for masks in peers.values()], axis=0) > len(peers) / 2
        for region in TUMOUR_REGIONS
    }


def _moved(
    mask: NDArray[np.bool_], atlas: sitk.Image, reference: sitk.Image, home: sitk.Transform
) -> NDArray[np.bool_]:
    image = sitk.GetImageFromArray(mask.astype(np.float32))
    image.CopyInformation(atlas)
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(image, reference, home, sitk.sitkLinear, 0.0)) >= 0.5)


def _on(image: sitk.Image, reference: sitk.Image) -> NDArray[np.float32]:
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(image, reference, sitk.Transform(), sitk.sitkLinear, 0.0)))


def measure(model_name: str | None, out: Path | None) -> dict[str, object]:
    folder = shared_data("tcga-fg-6692")
    model = installed_model(model_name)
    volumes = read_study(folder / "dicom")
    reference = volumes[MRSequence.T1C]
    alignments = align(volumes, MRSequence.T1C)
    found, restored = delineate_and_restore(volumes, alignments, MRSequence.T1C, model)
    ours = {
        region: sitk.GetArrayFromImage(whole(mask, reference.image)).astype(bool)
        for region, mask in restored.masks.items()
    }
    peers = peers_on(reference.image, folder / "peer-segmentations")
    majority = majority_of(peers)
    spacing = reference.image.GetSpacing()[::-1]
    scored = {name: _scores(masks, majority, spacing) for name, masks in {"ours": ours, **peers}.items()}
    outside = ours[Region.WT] & (
        _on(found.probabilities[Region.BRAIN], reference.image) < model.card.threshold(Region.BRAIN)
    )
    if out is not None:
        images = {
            s: sitk.GetArrayFromImage(
                sitk.Resample(v.image, reference.image, alignments[s].transform, sitk.sitkLinear, 0.0)
            )
            for s, v in volumes.items()
        }
        draw_case(images, ours, majority, out / "clinical-study.png", model.card.identity)
    return {
        "model": model.card.identity,
        "scores": scored,
        "majority_ml": {
            r.value: round(float(m.sum()) * float(np.prod(spacing)) / 1000, 1) for r, m in majority.items()
        },
        "brain_ml": round(found.brain_ml),
        "tumour_outside_brain_ml": round(float(outside.sum()) * float(np.prod(spacing)) / 1000, 2),
        "uncertainty": round(found.uncertainty, 3),
    }


def _scores(masks: Masks, truth: Masks, spacing: tuple[float, float, float]) -> dict[str, dict[str, float]]:
    scores = {region: score_region(masks[region], truth[region], spacing) for region in TUMOUR_REGIONS}
    return {
        region.value: {"dice": round(s.dice, 3), "hd95_mm": round(s.hd95_mm, 1), "ml": round(s.volume_ml, 1)}
        for region, s in scores.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.model, options.out)
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(
        f"{result['model']}: brain {result['brain_ml']} ml, {result['tumour_outside_brain_ml']} ml of tumour outside it"
    )
    print(f"majority of five: {result['majority_ml']} ml")
    for name, regions in result["scores"].items():  # type: ignore[attr-defined]
        print(f"{name:12}" + "  ".join(f"{r} {s['dice']:.3f} ({s['ml']:.1f} ml)" for r, s in regions.items()))


if __name__ == "__main__":
    main()
