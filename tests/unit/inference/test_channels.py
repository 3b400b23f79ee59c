"""What cards of other tools ask for: normalisation a channel, windows, mirroring, and how regions are read."""

from datetime import date

import numpy as np
import pytest
import SimpleITK as sitk
from pydantic import ValidationError

from pipeline.inference.channels import channels_of, regions_of
from pipeline.inference.grids import Sampled, sample
from pipeline.inference.normalise import normalise
from pipeline.inference.windows import mirrored, predict, starts, weights
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.registry import InputGrid, ModelCard, NetworkFile, Output

RNG = np.random.default_rng(7)


def card(**changes: object) -> ModelCard:
    """Two channels, four labels: background, oedema, necrosis, enhancing."""
    grid = InputGrid(order=(MRSequence.T1C, MRSequence.FLAIR), spacing_mm=(1, 1, 1), window=(8, 8, 8), multiple=1)
    values: dict[str, object] = {
        "name": "other",
        "version": "1",
        "created": date(2026, 1, 2),
        "description": "",
        "architecture": "",
        "licence": "",
        "opset": 18,
        "file": NetworkFile(name="model.onnx", sha256="0" * 64),
        "grid": grid.model_copy(update=changes.pop("grid", {})),  # type: ignore[call-overload]
        "activation": "softmax",
        "outputs": tuple(
            Output(region=region, channels=channels)
            for region, channels in zip(TUMOUR_REGIONS, ((1, 2, 3), (2, 3), (3,)), strict=True)
        ),
    }
    return ModelCard.model_validate(values | changes)


def sampled(images: np.ndarray) -> Sampled:
    return Sampled(images, np.ones(images.shape, dtype=bool), np.zeros((len(images), 1, 1, 1), np.float32))


def test_each_channel_has_its_own_normalisation() -> None:
    images = RNG.uniform(10, 90, (4, 8, 8, 8)).astype(np.float32)
    images[:, :2] = 0
    images[1, 4, 4, 4] = 0  # a hole of one channel alone
    mask = np.ones((8, 8, 8), dtype=bool)
    valid = np.ones(images.shape, dtype=bool)
    found = normalise(images, mask, valid, ("z_score", "z_score_foreground", "z_score_nonzero", "rescale"))
    assert found[0].mean() == pytest.approx(0, abs=1e-5) and found[0].std() == pytest.approx(1, abs=1e-5)
    inside = found[1, 2:]
    assert inside.mean() == pytest.approx(0, abs=1e-5) and inside.std() == pytest.approx(1, abs=1e-5)
    assert not found[1, :2].any() and found[1, 4, 4, 4] < 0
    assert found[2, 2:].std() == pytest.approx(1, abs=1e-5) and not found[2, :2].any()
    assert (found[3].min(), found[3].max()) == (0, 1)
    assert np.array_equal(normalise(images, mask, valid, ("none",) * 4), images)
    assert np.array_equal(normalise(images * 0, mask, valid, ("z_score_nonzero",) * 4), images * 0)


def test_a_normalisation_for_each_channel_or_one_for_all() -> None:
    assert card().grid.normalisations == ("brain", "brain")
    with pytest.raises(ValidationError, match="one for each channel"):
        InputGrid(order=(MRSequence.T1C,), spacing_mm=(1, 1, 1), window=(8, 8, 8), normalisation=("none", "none"))


def test_windows_of_other_tools() -> None:
    assert starts(100, 64, 0.5) == [0, 18, 36]  # evenly, as nnU-Net
    assert starts(100, 64, 0.5, "strided") == [0, 32, 36]  # as MONAI
    assert starts(64, 64, 0.5, "strided") == starts(10, 64, 0.5, "strided") == [0]
    assert starts(5, 1, 0.5) == [0, 1, 2, 3, 4]  # slice by slice
    bell = weights((1, 9, 6), "nnunet")
    assert bell[0, 4, 3] == bell.max() and bell.min() > 0
    assert weights((40, 40, 40), "nnunet").min() < 1e-6 * weights((40, 40, 40), "nnunet").max()
    assert (weights((4, 4, 4), "constant") == 1).all()


def test_windows_are_mirrored_along_axes_before_they_are_joined() -> None:
    ramp = np.arange(8, dtype=np.float32)

    def network(images: np.ndarray) -> np.ndarray:
        return images * ramp  # depends on where along x

    images = RNG.normal(size=(1, 1, 8, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(mirrored(network, [-1])(images), images * 3.5, rtol=1e-5)
    np.testing.assert_allclose(mirrored(network, [-3, -2])(images), network(images), rtol=1e-5)
    np.testing.assert_allclose(mirrored(network, [-1, -2, -3])(images), images * 3.5, rtol=1e-5)
    assert mirrored(network, []) is network


def test_what_is_looked_at_is_the_box_of_what_is_not_zero() -> None:
    seen: list[tuple[int, ...]] = []

    def network(images: np.ndarray) -> np.ndarray:
        seen.append(images.shape)
        return np.concatenate([images, images], axis=1)

    images = np.zeros((2, 20, 20, 20), dtype=np.float32)
    images[0, 5:9, 3:17, 8:13] = RNG.uniform(1, 2, (4, 14, 5))
    one = card(grid={"crop": True, "normalisation": "z_score_foreground"})
    found = channels_of(sampled(images), np.ones((20, 20, 20), dtype=bool), network, one, lambda done: None)
    assert seen == [(1, 2, 8, 8, 8)] * 3  # 14 rows in windows of 8
    assert found.shape == (4, 20, 20, 20)
    assert not found[:, :5].any() and (found.sum(axis=0)[5:9, 3:17, 8:13] > 0.999).all()
    empty = channels_of(sampled(images * 0), np.ones((20, 20, 20), dtype=bool), network, one, lambda done: None)
    assert np.isfinite(empty).all()


def test_argmax_reads_the_highest_channel() -> None:
    probabilities = RNG.dirichlet(np.ones(4), size=(6, 6, 6)).transpose(3, 0, 1, 2).astype(np.float32)
    mask = np.ones((6, 6, 6), dtype=bool)
    label = probabilities.argmax(axis=0)
    found = regions_of(probabilities, mask, card(decision="argmax"))
    for region, labels in zip(TUMOUR_REGIONS, ((1, 2, 3), (2, 3), (3,)), strict=True):
        assert np.array_equal(found[region] >= 0.5, np.isin(label, labels))
    added = regions_of(probabilities, mask, card())
    np.testing.assert_allclose(added[Region.WT], 1 - probabilities[0], atol=1e-6)
    with pytest.raises(ValidationError, match="argmax"):
        card(decision="argmax", activation="sigmoid")


@pytest.mark.parametrize("nesting", ["outer", "inner"])
def test_which_region_gives_way(nesting: str) -> None:
    outputs = tuple(Output(region=region, channels=(k,)) for k, region in enumerate(TUMOUR_REGIONS))
    probabilities = np.array([0.2, 0.9, 0.6], dtype=np.float32).reshape(3, 1, 1, 1)
    one = card(activation="sigmoid", outputs=outputs, nesting=nesting)
    found = [regions_of(probabilities, np.ones((1, 1, 1), dtype=bool), one)[region].item() for region in TUMOUR_REGIONS]
    assert found == pytest.approx([0.2, 0.2, 0.2] if nesting == "outer" else [0.9, 0.9, 0.6])


def test_an_image_is_smoothed_along_the_axes_on_which_the_grid_is_coarser() -> None:
    image = sitk.GetImageFromArray(RNG.normal(size=(20, 20, 20)).astype(np.float32))
    grid = sitk.Image(20, 20, 4, sitk.sitkUInt8)
    grid.SetSpacing((1, 1, 5))
    grid.SetOrigin((0, 0, 2))
    thick = sample(image, sitk.Transform(), grid)
    planes = sitk.GetArrayFromImage(image).reshape(4, 5, 20, 20).mean(axis=1)
    assert np.corrcoef(thick.ravel(), planes.ravel())[0, 1] > 0.85


def test_the_windows_overlap_less_with_a_step_for_each_axis() -> None:
    calls: list[tuple[int, ...]] = []

    def network(images: np.ndarray) -> np.ndarray:
        calls.append(images.shape)
        return images

    images = RNG.normal(size=(1, 3, 12, 8)).astype(np.float32)
    found = predict(images, (1, 8, 8), 0.5, network, importance="nnunet")
    assert calls == [(1, 1, 1, 8, 8)] * 6
    np.testing.assert_allclose(found, images, atol=1e-5)
