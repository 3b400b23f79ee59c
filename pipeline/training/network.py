"""The network: a U-Net that works at half resolution between a space-to-depth stem and a depth-to-space head.

Each 2x2x2 block of voxels becomes one position with eight times the channels, so that a whole brain fits in one
pass on a CPU; a small convolution at full resolution, which sees the input again, sharpens the result. The idea
is sub-pixel convolution (Shi et al., CVPR 2016) on a U-Net (Çiçek et al., MICCAI 2016).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class NetworkShape:
    """Size of a network.

    Attributes
    ----------
    inputs, outputs
        Channels.
    features
        Channels of each level, finest (half resolution) first.
    refine
        Channels of the convolution at full resolution.
    """

    inputs: int = 4
    outputs: int = 4
    features: tuple[int, ...] = (32, 64, 128, 160)
    refine: int = 12

    @property
    def multiple(self) -> int:
        """Spatial sizes must be multiples of this."""
        return 1 << len(self.features)


TUMOUR_SHAPE = NetworkShape(outputs=5)
BRAIN_SHAPE = NetworkShape(outputs=1, features=(16, 32, 64, 96), refine=8)


def space_to_depth(x: Tensor) -> Tensor:
    """(b, c, z, y, x) to (b, 8c, z/2, y/2, x/2)."""
    b, c, z, y, w = x.shape
    x = x.reshape(b, c, z // 2, 2, y // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(b, c * 8, z // 2, y // 2, w // 2)


def depth_to_space(x: Tensor) -> Tensor:
    """(b, 8c, z, y, x) to (b, c, 2z, 2y, 2x)."""
    b, c, z, y, w = x.shape
    x = x.reshape(b, c // 8, 2, 2, 2, z, y, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(b, c // 8, z * 2, y * 2, w * 2)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv3d(channels, outputs, 3, padding=1, bias=False),
            nn.InstanceNorm3d(outputs, affine=True),
            nn.LeakyReLU(0.01),
        ]
    return nn.Sequential(*layers)


class HalfResolutionUNet(nn.Module):
    """Maps (b, inputs, z, y, x) to logits (b, outputs, z, y, x); sizes are multiples of ``shape.multiple``."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        features = shape.features
        self.encoder = nn.ModuleList()
        channels = shape.inputs * 8
        for width in features:
            self.encoder.append(_block(channels, width))
            channels = width
        self.decoder = nn.ModuleList(
            _block(features[k] + features[k + 1], features[k]) for k in range(len(features) - 1)
        )
        self.head = nn.Conv3d(features[0], shape.refine * 8, 1)
        self.refine = nn.Sequential(
            nn.Conv3d(shape.refine + shape.inputs, shape.refine, 3, padding=1),
            nn.LeakyReLU(0.01),
            nn.Conv3d(shape.refine, shape.outputs, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits of every output at every voxel."""
        return self.decode(images)[0]

    def decode(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits, and what the decoder's levels (finest first) hold: shape (b, features, z / 2, …), (…, z / 4, …)."""
        x = space_to_depth(images)
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            if level:
                x = functional.max_pool3d(x, 2)
            x = block(x)
            skips.append(x)
        levels: list[Tensor] = []
        for level in range(len(self.decoder) - 1, -1, -1):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.decoder[level](torch.cat([x, skips[level]], 1))
            levels.insert(0, x)
        x = depth_to_space(self.head(x))
        return self.refine(torch.cat([x, images], 1)), levels


class SideHeads(nn.Module):
    """Logits at the decoder's two finest levels, for training alone: deep supervision (Lee et al., AISTATS 2015)."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv3d(width, shape.outputs, 1) for width in shape.features[:2])

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Logits (b, outputs, …) at a half and a quarter of the images' resolution."""
        return [head(level) for head, level in zip(self.heads, levels, strict=False)]
