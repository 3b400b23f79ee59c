"""Normalisation, shared by training and inference."""

import numpy as np
import pytest

from pipeline.inference.normalise import CLIP, normalise_brain, normalise_head, standardise

RNG = np.random.default_rng(0)


def _image() -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((16, 16, 16), dtype=bool)
    mask[4:12, 4:12, 4:12] = True
    return (RNG.normal(500, 40, mask.shape)).astype(np.float32), mask


def test_scale_and_offset_of_a_scanner_do_not_matter() -> None:
    image, mask = _image()
    np.testing.assert_allclose(standardise(image, mask), standardise(image * 3 + 77, mask), atol=1e-3)


def test_zero_outside_and_standard_inside() -> None:
    image, mask = _image()
    out = normalise_brain(np.stack([image, image * 2]), mask)
    assert not out[:, ~mask].any()
    assert out[:, mask].mean() == pytest.approx(0, abs=0.05)
    assert out[:, mask].std() == pytest.approx(1.0, abs=0.1)


def test_outliers_are_clipped_and_do_not_move_the_rest() -> None:
    image, mask = _image()
    bright = image.copy()
    bright[5, 5, 5] = 1e6
    out = standardise(bright, mask)
    assert out.max() == CLIP[1]
    assert abs(float(np.median(out[mask])) - float(np.median(standardise(image, mask)[mask]))) < 0.02


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_constant_or_missing_sequence_is_zero(value: float) -> None:
    _, mask = _image()
    assert not standardise(np.full(mask.shape, value, dtype=np.float32), mask).any()
    assert not standardise(np.ones(mask.shape, dtype=np.float32), np.zeros_like(mask)).any()


def test_air_of_a_head_is_one_dark_value() -> None:
    image, mask = _image()
    head = np.where(mask, image, 3.0).astype(np.float32)
    out = normalise_head(head[None])[0]
    assert set(out[~mask].tolist()) == {-3.0}
    assert out[mask].mean() == pytest.approx(0, abs=0.1)
    assert not normalise_head(np.zeros((1, 8, 8, 8), dtype=np.float32)).any()


def test_what_was_not_imaged_has_no_say() -> None:
    image, mask = _image()
    images = np.stack([image, image])
    valid = np.ones(images.shape, dtype=bool)
    valid[0, 8:] = False
    cut = images.copy()
    cut[0, 8:] = 0
    out = normalise_brain(cut, mask, valid)
    assert not out[0, 8:].any()
    assert out[0][mask & valid[0]].mean() == pytest.approx(0, abs=0.05)
    assert (normalise_head(cut, valid)[0, 8:] == -3.0).all()
    np.testing.assert_array_equal(out[1], normalise_brain(images, mask)[1])
