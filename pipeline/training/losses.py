"""Soft Dice and cross entropy."""

import torch
from torch import Tensor
from torch.nn import functional


def dice_and_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean over outputs of (1 - soft Dice) + binary cross entropy.

    Soft Dice with squared denominators (Milletari et al., 3DV 2016); an empty target is scored by a smoothing
    term worth a tenth of a ml at 1.5 mm.

    Parameters
    ----------
    logits, target
        Shape (b, outputs, z, y, x); target in 0..1.
    weights
        Shape (outputs,), the share of each output in the mean.
    """
    probability = torch.sigmoid(logits)
    axes = (0, 2, 3, 4)
    overlap = (probability * target).sum(axes)
    size = (probability**2).sum(axes) + (target**2).sum(axes)
    dice = 1 - (2 * overlap + 25) / (size + 25)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(axes)
    return ((dice + 4 * entropy) * weights).sum() / weights.sum()


def deep_loss(logits: Tensor, sides: list[Tensor], target: Tensor, weights: Tensor) -> Tensor:
    """Loss of the result plus the coarser levels', each worth half of the one before.

    Parameters
    ----------
    logits
        Shape (b, outputs, z, y, x).
    sides
        Logits at a half, a quarter, … of the resolution.
    target
        Shape of ``logits``, in 0..1; the coarser targets are its means.
    weights
        As for :func:`dice_and_cross_entropy`.
    """
    total = dice_and_cross_entropy(logits, target, weights)
    for level, side in enumerate(sides, 1):
        coarse = functional.avg_pool3d(target, 2**level)
        total = total + 0.5**level * dice_and_cross_entropy(side.float(), coarse, weights)
    return total
