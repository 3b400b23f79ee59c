"""Borders follow the image's own voxels where the model card says so."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.evaluation.evaluate import as_source
from pipeline.evaluation.metrics import dice
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.registry import Sharpening
from pipeline.restore import Cleaning, Restored, Signal, restore
from pipeline.volume.boxes import whole

_RULES = Cleaning(dict.fromkeys(TUMOUR_REGIONS, 0.5), {}, fill_holes=False)
_RULE = Sharpening(sequence=MRSequence.T1C, weight=4, middle=0.4)
_SIZE = 64


def _image(array: np.ndarray, spacing: float) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.float32))
    image.SetSpacing([spacing] * 3)
    image.SetOrigin([(spacing - 1) / 2] * 3)
    return image


def _distance(n: int, spacing: float) -> np.ndarray:
    axis = (np.arange(n) + 0.5) * spacing - _SIZE / 2
    return np.asarray(np.sqrt(sum(one**2 for one in np.meshgrid(axis, axis, axis, indexing="ij"))))


def _found() -> dict[Region, sitk.Image]:
    """At 2 mm, a thin rim drawn too thick inside a whole tumour."""
    radius = _distance(_SIZE // 2, 2)
    rim = 1 / (1 + np.exp((np.abs(radius - 12) - 3) / 0.8))
    tumour = 1 / (1 + np.exp((radius - 20) / 0.8))
    return {region: _image(array, 2) for region, array in zip(TUMOUR_REGIONS, (tumour, tumour, rim), strict=True)}


def _signal(bright: np.ndarray) -> np.ndarray:
    """Twice as bright where told, with noise: what is constant would be taken for background."""
    return np.asarray(100.0 + 100 * bright + np.random.default_rng(0).normal(0, 2, bright.shape))


def _rim() -> np.ndarray:
    return np.asarray(np.abs(_distance(_SIZE, 1) - 12) < 2)


def _mask(restored: Restored, region: Region = Region.ET) -> np.ndarray:
    grid = _image(np.zeros((_SIZE,) * 3), 1)
    return np.asarray(sitk.GetArrayFromImage(whole(restored.masks[region], grid)) > 0)


def _plain(signal: np.ndarray) -> np.ndarray:
    return _mask(restore(_found(), as_source(_image(signal, 1), "t1c"), _RULES))


def _enhancing(signal: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    found = _found()
    reference = as_source(_image(signal, 1), "t1c")
    if valid is not None:
        placed = sitk.GetImageFromArray(valid.astype(np.uint8))
        placed.CopyInformation(reference.image)
        reference = replace(reference, valid=placed)
    signals = {Region.ET: Signal(reference, sitk.Transform(3, sitk.sitkIdentity), _RULE)}
    return _mask(restore(found, reference, _RULES, signals))


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.001, 5.0), (300.0, -4000.0)])
def test_a_thin_rim_is_drawn_thin(gain: float, offset: float) -> None:
    """Whatever a scanner's scale is."""
    signal = _signal(_rim()) * gain + offset
    plain = _plain(signal)
    assert dice(plain, _rim()) < 0.85
    assert dice(_enhancing(signal), _rim()) > 0.95


@pytest.mark.parametrize("level", [100.0, 20.0])
def test_what_does_not_light_up_stays_as_the_network_has_it(level: float) -> None:
    signal = np.where(_rim(), level, 100.0) + _signal(np.zeros(_rim().shape)) / 100
    plain = _plain(signal)
    np.testing.assert_array_equal(_enhancing(signal), plain)


def test_where_the_series_was_not_imaged_the_network_decides() -> None:
    signal = _signal(_rim())
    valid = np.ones(signal.shape, dtype=bool)
    valid[:, :, : _SIZE // 2] = False
    signal[~valid] = 0
    plain = _plain(signal)
    sharp = _enhancing(signal, valid)
    np.testing.assert_array_equal(sharp[:, :, : _SIZE // 2], plain[:, :, : _SIZE // 2])
    assert dice(sharp[:, :, _SIZE // 2 :], _rim()[:, :, _SIZE // 2 :]) > 0.9


def test_inner_regions_stay_inside_the_outer_ones() -> None:
    """The whole tumour follows its own series, and what lies in it follows that."""
    found = _found()
    reference = as_source(_image(_signal(_rim()), 1), "t1c")
    flair = as_source(_image(_signal(_distance(_SIZE, 1) < 9), 1), "flair")
    identity = sitk.Transform(3, sitk.sitkIdentity)
    rule = Sharpening(sequence=MRSequence.FLAIR, weight=8, middle=0.5)
    signals = {Region.WT: Signal(flair, identity, rule), Region.ET: Signal(reference, identity, _RULE)}
    restored = restore(found, reference, _RULES, signals)
    outer, core, enhancing = (_mask(restored, region) for region in TUMOUR_REGIONS)
    assert not (core & ~outer).any()
    assert not (enhancing & ~core).any()
