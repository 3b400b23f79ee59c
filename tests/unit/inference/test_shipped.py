"""The shipped network on the shipped study: the tumour that was put there is found."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.align import Alignment
from pipeline.database.engine import database_in
from pipeline.inference import Delineation, delineate
from pipeline.names import TUMOUR_REGIONS, MRSequence, Provider, Region
from pipeline.registry import InstalledModel, Registry
from pipeline.volume import read_volume
from pipeline.volume.records import SourceVolume

LABELS = {Region.WT: (1, 2, 4), Region.TC: (1, 4), Region.ET: (4,)}
FLOOR = {Region.WT: 0.7, Region.TC: 0.7, Region.ET: 0.45}

Found = tuple[Delineation, dict[MRSequence, SourceVolume]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InstalledModel:
    root = Path(__file__).resolve().parents[3] / "models"
    state = tmp_path_factory.mktemp("state")
    return Registry(root, state, database_in(state)).get("gliounet")


def _known_alignments(study: Path) -> dict[MRSequence, Alignment]:
    """The displacements that the study was rendered with, undone."""
    moved = json.loads((study / "truth.json").read_text())["displacement_against_t1c"]
    alignments = {}
    for sequence in MRSequence:
        transform = sitk.Euler3DTransform()
        transform.SetRotation(*np.deg2rad(moved[sequence.value]["rotation_deg"]))
        transform.SetTranslation(moved[sequence.value]["translation_mm"])
        alignments[sequence] = Alignment(transform.GetInverse(), 0.0, 1.0, 0.0, 0.0, ())
    return alignments


@pytest.fixture(scope="module")
def found(model: InstalledModel, sample_study: Path) -> Found:
    volumes = {s: read_volume(sorted((sample_study / s.value).glob("*.dcm"))) for s in MRSequence}
    return delineate(volumes, _known_alignments(sample_study), MRSequence.T1C, model), volumes


def test_tumour_is_found_where_it_is(found: Found, model: InstalledModel, sample_study: Path) -> None:
    truth = sitk.ReadImage(str(sample_study / "truth.nii.gz"))
    labels = sitk.GetArrayFromImage(truth)
    for region in TUMOUR_REGIONS:
        onto = sitk.Resample(found[0].probabilities[region], truth, sitk.Transform(), sitk.sitkLinear, 0.0)
        mask = sitk.GetArrayFromImage(onto) >= model.card.threshold(region)
        wanted = np.isin(labels, LABELS[region])
        dice = 2 * (mask & wanted).sum() / (mask.sum() + wanted.sum())
        assert dice >= FLOOR[region], f"{region.value}: {dice:.3f}"


def test_the_same_masks_by_every_provider(found: Found, model: InstalledModel, sample_study: Path) -> None:
    _, volumes = found
    by = [
        delineate(volumes, _known_alignments(sample_study), MRSequence.T1C, model, provider=provider)
        for provider in (Provider.OPENVINO, Provider.CPU)
    ]
    assert [one.provider for one in by] == [Provider.OPENVINO, Provider.CPU]
    for region in TUMOUR_REGIONS:
        one, other = (sitk.GetArrayFromImage(delineation.probabilities[region]) for delineation in by)
        # A voxel of the brain's surface that falls on the other side of its threshold moves what all are scaled by.
        assert np.abs(one - other).max() < 1e-2
        first, second = (found >= model.card.threshold(region) for found in (one, other))
        assert 2 * (first & second).sum() / (first.sum() + second.sum()) > 0.999


def test_truth_says_what_it_shows(sample_study: Path) -> None:
    truth = sitk.ReadImage(str(sample_study / "truth.nii.gz"))
    voxel_ml = float(np.prod(truth.GetSpacing())) / 1000
    volumes = json.loads((sample_study / "truth.json").read_text())["volumes_ml"]
    labels = sitk.GetArrayFromImage(truth)
    for region in TUMOUR_REGIONS:
        shown = float(np.isin(labels, LABELS[region]).sum()) * voxel_ml
        # The truth was drawn on a fine grid; the thin rim loses most on slices of several mm.
        assert shown == pytest.approx(volumes[region.value], rel=0.25 if region is Region.ET else 0.12)


def test_brain_is_plausible_and_holds_the_tumour(found: Found) -> None:
    delineation, _ = found
    assert 1000 < delineation.brain_ml < 1800
    regions = {r: sitk.GetArrayFromImage(image) for r, image in delineation.probabilities.items()}
    assert (regions[Region.ET] <= regions[Region.TC]).all()
    assert (regions[Region.TC] <= regions[Region.WT]).all()
    assert 0 <= delineation.uncertainty <= 1
