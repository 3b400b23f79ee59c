"""What MONAI's own classes give, and what comes of a network of its here."""

import numpy as np
import pytest

from pipeline.inference.channels import raw_outputs
from pipeline.inference.normalise import normalise
from pipeline.names import MRSequence
from pipeline.registry import InputGrid
from tests.unit.conversion.folders import torch

inferers = pytest.importorskip("monai.inferers")
transforms = pytest.importorskip("monai.transforms")


@pytest.mark.parametrize("mode", ["constant", "gaussian"])
@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.625])
@pytest.mark.parametrize("shape", [(16, 12, 20), (33, 12, 25), (31, 40, 21), (17, 24, 40)])
def test_windows_are_joined_as_by_sliding_window_inferer(
    shape: tuple[int, int, int], overlap: float, mode: str
) -> None:
    torch.manual_seed(1)
    # An answer that depends on where in the window a voxel lies, as that of a network with padding does.
    network = torch.nn.Sequential(torch.nn.Conv3d(2, 4, 7, padding=3), torch.nn.ReLU(), torch.nn.Conv3d(4, 3, 1))
    images = np.random.default_rng(2).standard_normal((2, *shape)).astype(np.float32)
    window = (16, 12, 20)
    with torch.no_grad():
        theirs = inferers.SlidingWindowInferer(window, 1, overlap, mode=mode)(torch.from_numpy(images[None]), network)
        grid = InputGrid(
            order=(MRSequence.T1, MRSequence.T2),
            spacing_mm=(1, 1, 1),
            window=window,
            multiple=1,
            fixed=True,
            overlap=overlap,
            importance=mode,
            placement="strided",
        )
        ours = raw_outputs(images, grid, lambda one: network(torch.from_numpy(one)).numpy())
    np.testing.assert_allclose(ours, theirs[0].numpy(), atol=2e-4)


@pytest.mark.parametrize("nonzero", [True, False])
def test_intensities_are_normalised_and_padded_as_by_normalize_intensity(nonzero: bool) -> None:
    """A window that reaches beyond the image is filled with zeros after the normalisation, not before."""
    rng = np.random.default_rng(3)
    image = np.where(rng.random((3, 9, 8, 7)) < 0.6, rng.gamma(3, 50, (3, 9, 8, 7)), 0).astype(np.float32)
    image[2] = 0
    normal = transforms.NormalizeIntensity(nonzero=nonzero, channel_wise=True)(torch.from_numpy(image))
    padding = [(0, 0), (3, 4), (0, 0), (1, 2)]
    padded, valid = np.pad(image, padding), np.pad(np.ones(image.shape, dtype=bool), padding)
    how = "z_score_nonzero" if nonzero else "z_score"
    ours = normalise(padded, np.ones(padded.shape[1:], dtype=bool), valid, [how] * 3)
    np.testing.assert_allclose(ours, np.pad(np.asarray(normal), padding), atol=1e-5)
