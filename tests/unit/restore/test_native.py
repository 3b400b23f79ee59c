"""Probabilities come home to the reference slices: place, size, nesting and clean-up."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.names import TUMOUR_REGIONS, Region
from pipeline.restore import Cleaning, Restored, restore
from pipeline.volume.boxes import whole
from pipeline.volume.records import SliceSource, SourceVolume

CLEANING = Cleaning(
    thresholds=dict.fromkeys(TUMOUR_REGIONS, 0.5),
    minimum_component_ml=dict.fromkeys(TUMOUR_REGIONS, 0.1),
    fill_holes=True,
)


def reference(direction: np.ndarray, spacing: tuple[float, float, float], size: tuple[int, int, int]) -> SourceVolume:
    image = sitk.Image(*size, sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetDirection(direction.ravel().tolist())
    centre = np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in size]))
    image.SetOrigin((-centre).tolist())
    slices = tuple(
        SliceSource("1.2", f"1.2.{k}", None, image.TransformIndexToPhysicalPoint((0, 0, k))) for k in range(size[2])
    )
    return SourceVolume(image, slices, "1.2.3", "1.2.4", "1.2.5")


def sphere(radius: float, centre: tuple[float, float, float] = (0, 0, 0), spacing: float = 2.0) -> sitk.Image:
    """A ball on the network's grid as a network would give it: a smooth border half a voxel wide."""
    n = 60
    axis = (np.arange(n) - (n - 1) / 2) * spacing
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    image = sitk.GetImageFromArray((1 / (1 + np.exp((distance - radius) / (0.4 * spacing)))).astype(np.float32))
    image.SetSpacing([spacing] * 3)
    image.SetOrigin([axis[0]] * 3)
    return image


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    transform = sitk.Euler3DTransform()
    transform.SetRotation(*angles)
    return np.array(transform.GetMatrix()).reshape(3, 3)


angle = st.floats(-3.1, 3.1, allow_subnormal=False)


@settings(max_examples=15, deadline=None)
@given(st.tuples(angle, angle, angle), st.sampled_from([(0.9, 0.9, 3.0), (0.5, 1.1, 2.0), (1.0, 1.0, 1.0)]))
def test_a_ball_comes_home(angles: tuple[float, float, float], spacing: tuple[float, float, float]) -> None:
    """On any oblique grid, the centroid stays within 0.2 mm and the volume within 3 % (2 mm in, labels out)."""
    size = tuple(int(90 / one) for one in spacing)
    volume = reference(rotation(angles), spacing, size)
    centre, radius = (4.0, -3.0, 5.0), 18.0
    image = sphere(radius, centre)
    restored = restore(dict.fromkeys(TUMOUR_REGIONS, image), volume, CLEANING)
    mask = sitk.GetArrayFromImage(whole(restored.masks[Region.WT], volume.image)).astype(bool)
    indices = np.argwhere(mask)[:, ::-1].mean(axis=0)
    found = np.array(volume.image.TransformContinuousIndexToPhysicalPoint(indices.tolist()))
    assert np.linalg.norm(found - centre) < 0.2
    assert restored.volumes_ml[Region.WT] == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.03)


def test_regions_are_nested() -> None:
    """ET within TC within WT, although the network said otherwise."""
    volume = reference(np.eye(3), (1.0, 1.0, 1.0), (80, 80, 80))
    given_wrong = {Region.WT: sphere(10), Region.TC: sphere(14), Region.ET: sphere(18)}
    restored = restore(given_wrong, volume, CLEANING)
    wt, tc, et = (
        sitk.GetArrayFromImage(whole(restored.masks[region], volume.image)).astype(bool) for region in TUMOUR_REGIONS
    )
    assert wt.any()
    assert not (tc & ~wt).any() and not (et & ~tc).any()


def test_small_parts_go_and_holes_are_filled() -> None:
    volume = reference(np.eye(3), (1.0, 1.0, 1.0), (100, 100, 100))
    shell = sitk.GetImageFromArray(
        np.maximum(sitk.GetArrayFromImage(sphere(15)) - sitk.GetArrayFromImage(sphere(8)), 0)
    )
    speck = sphere(2.2, (35, 0, 0))
    shell.CopyInformation(speck)
    both = sitk.Maximum(shell, speck)
    restored = restore(dict.fromkeys(TUMOUR_REGIONS, both), volume, CLEANING)
    wt = sitk.GetArrayFromImage(whole(restored.masks[Region.WT], volume.image))
    et = sitk.GetArrayFromImage(whole(restored.masks[Region.ET], volume.image))
    assert wt[50, 50, 50] == 1  # filled
    assert et[50, 50, 50] == 0  # necrosis inside enhancing tumour is not enhancing tumour
    assert not wt[:, :, 80:].any()  # the speck, 0.04 ml
    probability = sitk.GetArrayFromImage(whole(restored.probabilities[Region.WT], volume.image))
    assert ((probability >= 0.5) == wt.astype(bool)).all()


def test_only_the_largest_part_is_kept_where_the_card_says_so() -> None:
    """As nnU-Net's clean-up: of the whole tumour, touching at a corner counts, and inner regions go with their part."""
    home = reference(np.eye(3), (2.0, 2.0, 2.0), (60, 60, 60))
    main, other = sphere(14), sphere(10, (36, 0, 0))
    both = sitk.Maximum(main, other)
    inner = sitk.Maximum(sphere(6), sphere(6, (36, 0, 0)))
    probabilities = {Region.WT: both, Region.TC: inner, Region.ET: inner}
    found = arrays(restore(probabilities, home, CLEANING), home.image)
    kept = arrays(restore(probabilities, home, replace(CLEANING, only_largest=True)), home.image)
    right = np.arange(60)[None, None, :] > 40
    for region in TUMOUR_REGIONS:
        assert (found[region] & right).any() and not (kept[region] & right).any()
        np.testing.assert_array_equal(kept[region], found[region] & ~right)


def test_nothing_found_and_edge_are_flagged() -> None:
    volume = reference(np.eye(3), (1.0, 1.0, 1.0), (40, 40, 40))
    empty = sphere(10) * 0.0
    assert [flag.code for flag in restore(dict.fromkeys(TUMOUR_REGIONS, empty), volume, CLEANING).flags] == [
        "NO_TUMOUR_FOUND"
    ]
    at_edge = sphere(10, (18, 0, 0))
    (flag,) = restore(dict.fromkeys(TUMOUR_REGIONS, at_edge), volume, CLEANING).flags
    assert (flag.code, flag.detail) == ("TUMOUR_AT_EDGE", "image border")


def test_a_part_that_is_nowhere_certain_is_left_out_and_said() -> None:
    volume = reference(np.eye(3), (1.0, 1.0, 2.0), (100, 100, 50))
    sure, unsure = sphere(12.0, (-25, 0, 0)), sphere(10.0, (25, 0, 10))
    both = sitk.Maximum(sure, unsure * 0.8)
    rules = replace(CLEANING, least_certainty={Region.WT: 0.9})
    restored = restore(dict.fromkeys(TUMOUR_REGIONS, both), volume, rules)
    (flag,) = restored.flags
    assert flag.code == "DOUBTFUL_PART_LEFT_OUT"
    assert flag.detail.startswith("WT 3.")  # a ball of 10 mm, less its unsure rim
    assert flag.detail.endswith("slice 31")  # 10 mm above the middle of slices 2 mm apart
    for region in TUMOUR_REGIONS:
        mask = sitk.GetArrayFromImage(whole(restored.masks[region], volume.image))
        assert not mask[:, :, 60:].any()
        assert restored.volumes_ml[region] == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=0.05)
    assert len(restore(dict.fromkeys(TUMOUR_REGIONS, both), volume, CLEANING).flags) == 0


WITH_CAVITY = replace(CLEANING, thresholds={**CLEANING.thresholds, Region.CAVITY: 0.4})


def arrays(restored: Restored, grid: sitk.Image) -> dict[Region, np.ndarray]:
    return {one: sitk.GetArrayFromImage(whole(mask, grid)).astype(bool) for one, mask in restored.masks.items()}


def test_no_tumour_in_a_cavity_nor_filled_into_it() -> None:
    """The network says tumour all through it; around it lies a ring that closes in every slice."""
    volume = reference(np.eye(3), (1.0, 1.0, 2.0), (100, 100, 50))
    tumour, cavity = sphere(20.0), sphere(9.0, (3, 0, 0))
    found = {**dict.fromkeys(TUMOUR_REGIONS, tumour), Region.CAVITY: cavity}
    restored = restore(found, volume, WITH_CAVITY)
    masks = arrays(restored, volume.image)
    without = arrays(restore(found, volume, CLEANING), volume.image)
    assert list(restored.volumes_ml) == [*TUMOUR_REGIONS, Region.CAVITY]
    assert restored.volumes_ml[Region.CAVITY] == pytest.approx(4 / 3 * np.pi * 9**3 / 1000, rel=0.15)
    for region in TUMOUR_REGIONS:
        assert (masks[region] == without[region] & ~masks[Region.CAVITY]).all()
        assert restored.volumes_ml[region] == pytest.approx(masks[region].sum() * 0.002)
        # Both contours run on the same line, between the same voxels.
        probability = sitk.GetArrayFromImage(restored.probabilities[region])
        assert ((probability >= 0.5) == sitk.GetArrayFromImage(restored.masks[region]).astype(bool)).all()
    (flag,) = restored.flags
    assert (flag.code, flag.detail) == ("AFTER_SURGERY", f"{restored.volumes_ml[Region.CAVITY]:.1f} ml")


@pytest.mark.parametrize("card_knows", [True, False])
def test_without_a_cavity_nothing_changes(card_knows: bool) -> None:
    """None found, one below its least volume, one nowhere certain, and a card that gives it no threshold."""
    volume = reference(np.eye(3), (1.0, 1.0, 2.0), (100, 100, 50))
    rules = WITH_CAVITY if card_knows else CLEANING
    rules = replace(
        rules,
        minimum_component_ml={**rules.minimum_component_ml, Region.CAVITY: 1.0},
        least_certainty={Region.CAVITY: 0.9},
    )
    tumour = dict.fromkeys(TUMOUR_REGIONS, sphere(15.0))
    expected = restore(tumour, volume, CLEANING)
    candidates = [sphere(9.0) * 0.0, sphere(4.0), sphere(9.0) * 0.7] + ([] if card_knows else [sphere(9.0)])
    for cavity in candidates:
        restored = restore({**tumour, Region.CAVITY: cavity}, volume, rules)
        assert (restored.flags, restored.volumes_ml) == ((), expected.volumes_ml)
        for region in TUMOUR_REGIONS:
            assert (arrays(restored, volume.image)[region] == arrays(expected, volume.image)[region]).all()


def test_a_cavity_away_from_all_tumour_comes_home() -> None:
    volume = reference(np.eye(3), (1.0, 1.0, 2.0), (100, 100, 50))
    found = {**dict.fromkeys(TUMOUR_REGIONS, sphere(8.0, (-30, 0, 0))), Region.CAVITY: sphere(10.0, (30, 10, 20))}
    masks = arrays(restore(found, volume, WITH_CAVITY), volume.image)
    centre = np.argwhere(masks[Region.CAVITY]).mean(axis=0)
    assert centre == pytest.approx((24.5 + 10, 49.5 + 10, 49.5 + 30), abs=0.6)
    empty = {**dict.fromkeys(TUMOUR_REGIONS, sphere(8.0) * 0.0), Region.CAVITY: sphere(10.0)}
    assert [one.code for one in restore(empty, volume, WITH_CAVITY).flags] == ["NO_TUMOUR_FOUND", "AFTER_SURGERY"]
