"""Synthetic studies: what they must always be."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from pipeline.names import MRSequence
from pipeline.training.samples import draw_sample, tumour_sample
from pipeline.training.synthesis.acquisition import draw_patient, draw_signals
from pipeline.training.synthesis.heads import Head, head_paths, load_head
from pipeline.training.synthesis.render import RenderedStudy, draw_study
from pipeline.training.synthesis.tissues import LABELS, RELAXATION, Tissue
from pipeline.training.synthesis.tumour import TumourKind, draw_kind
from tests.unit.training.heads import write_heads


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heads(tmp_path_factory.mktemp("heads"))


@pytest.fixture(scope="module")
def head(heads: Path) -> Head:
    return load_head(heads / "head_01.nii.gz", 2, whole=False)


@pytest.fixture(scope="module")
def ring(head: Head) -> RenderedStudy:
    return draw_study(np.random.default_rng(3), head, TumourKind.RING)


def test_every_tissue_has_its_relaxation_and_no_label_has_two_tissues() -> None:
    assert set(RELAXATION) == set(Tissue)
    labels = [label for members in LABELS.values() for label in members]
    assert len(labels) == len(set(labels))


def test_fractions_fill_every_voxel(head: Head) -> None:
    total = head.fractions.sum(0, dtype=np.int64)
    assert np.abs(total - 255).max() <= 4
    expected_ml = 4 / 3 * np.pi * 5.0**3
    assert (head.brain / 255).sum() * 0.008 == pytest.approx(expected_ml, rel=0.06)


def test_heads_held_out_are_not_trained_on(heads: Path) -> None:
    training, held = head_paths(heads)
    assert [p.name for p in training] == ["head_01.nii.gz", "head_02.nii.gz"]
    assert [p.name for p in held] == ["head_04.nii.gz"]


def test_same_state_same_study(head: Head, ring: RenderedStudy) -> None:
    again = draw_study(np.random.default_rng(3), head, TumourKind.RING)
    np.testing.assert_array_equal(again.images, ring.images)
    np.testing.assert_array_equal(again.regions, ring.regions)


def test_regions_are_nested_and_the_ring_is_brighter_after_contrast(ring: RenderedStudy) -> None:
    _, whole, core, enhancing = ring.regions
    assert enhancing.any()
    assert not (enhancing & ~core).any()
    assert not (core & ~whole).any()
    before, after = ring.images[0], ring.images[1]
    rest = ring.regions[0] & ~whole
    assert after[enhancing].mean() / after[rest].mean() > 1.15 * before[enhancing].mean() / before[rest].mean()


def test_no_tumour_is_none(head: Head) -> None:
    study = draw_study(np.random.default_rng(5), head, TumourKind.NONE)
    assert not study.regions[1:].any()
    assert study.regions[0].any()


def test_the_share_of_healthy_heads_can_be_set() -> None:
    rng = np.random.default_rng(1)
    for share, expected in ((0.0, 0), (1.0, 200)):
        assert sum(draw_kind(rng, {TumourKind.NONE: share}) is TumourKind.NONE for _ in range(200)) == expected
    both = {TumourKind.NONE: 0.2, TumourKind.CAVITY: 0.8}
    assert {draw_kind(rng, both) for _ in range(100)} == set(both)
    assert 70 < sum(draw_kind(rng, {TumourKind.NONE: 0.5}) is TumourKind.NONE for _ in range(200)) < 130


def test_a_cavity_belongs_to_no_region(head: Head) -> None:
    study = draw_study(np.random.default_rng(4), head, TumourKind.CAVITY)
    assert study.cavity is not None
    assert study.cavity.any()
    assert not (study.cavity & study.regions[2]).any()


def test_a_sample_has_its_cavity(head: Head) -> None:
    study = draw_study(np.random.default_rng(4), head, TumourKind.CAVITY)
    sample = tumour_sample(np.random.default_rng(5), study, head.spacing_mm)
    assert sample.regions.shape[0] == 5
    assert sample.regions[4].any()
    assert not (sample.regions[4].astype(bool) & ~study.cavity).any()


def test_voxels_of_one_and_a_half_mm_hold_as_much(heads: Path) -> None:
    paths, _ = head_paths(heads)
    coarse, fine = (load_head(paths[0], spacing, False) for spacing in (2, 1.5))
    assert fine.brain.shape == (112, 128, 112)
    for one, other in zip(fine.fractions, coarse.fractions, strict=True):
        assert one.sum(dtype=np.int64) * 1.5**3 == pytest.approx(other.sum(dtype=np.int64) * 2**3, rel=0.02, abs=5e4)


def test_low_grade_does_not_enhance(head: Head) -> None:
    study = draw_study(np.random.default_rng(6), head, TumourKind.LOW_GRADE)
    assert study.regions[2].any()
    assert not study.regions[3].any()


def test_contrasts_are_those_of_the_sequences() -> None:
    signals = [draw_signals(np.random.default_rng(k)) for k in range(30)]
    t1 = np.mean([s[MRSequence.T1] for s in signals], axis=0)
    t2 = np.mean([s[MRSequence.T2] for s in signals], axis=0)
    flair = np.mean([s[MRSequence.FLAIR] for s in signals], axis=0)
    assert t1[Tissue.WHITE] > t1[Tissue.CORTEX] > t1[Tissue.CSF]
    assert t2[Tissue.CSF] > t2[Tissue.CORTEX] > t2[Tissue.WHITE]
    assert flair[Tissue.OEDEMA] > flair[Tissue.CORTEX] > flair[Tissue.CSF]


def test_contrast_medium_shortens_t1_only() -> None:
    patient = draw_patient(np.random.default_rng(0))
    assert (patient.t1_enhanced <= patient.t1).all()
    assert patient.t1_enhanced[Tissue.ENHANCING] < 0.6 * patient.t1[Tissue.ENHANCING]


def test_tumour_sample_is_zero_outside_its_mask_and_standardised_inside(ring: RenderedStudy) -> None:
    sample = tumour_sample(np.random.default_rng(0), ring, 2.0)
    inside = (sample.images != 0).any(0)
    assert 0.5 < inside.sum() / ring.regions[0].sum() < 2.0
    assert not sample.regions[:, ~inside].any()
    assert np.abs(sample.images[3][inside].astype(np.float32).mean()) < 0.5


def test_whole_head_sample_has_the_brain_network_s_size(heads: Path) -> None:
    whole = load_head(heads / "head_02.nii.gz", 4, whole=True)
    sample = draw_sample(np.random.default_rng(1), whole, whole=True)
    assert sample.images.shape == (4, 64, 64, 64)
    assert sample.regions.shape == (1, 64, 64, 64)
    assert np.isfinite(sample.images).all()
