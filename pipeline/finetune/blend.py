"""The end of phase ``learn``: how much of what was learnt is taken over.

Between the weights of the network in use and those that were learnt lie networks that keep most of the old
and have most of the new (WiSE-FT: Wortsman et al., CVPR 2022). Which of them is taken is chosen on the
corrections that were learnt from and on replayed cases that were not: never on what the guard judges by.
"""

import copy
import json
import math
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from pipeline.child.task import Report
from pipeline.evaluation.evaluate import as_source, identity_alignment
from pipeline.evaluation.metrics import dice
from pipeline.finetune.learn import LEARNT, learn
from pipeline.finetune.plan import FinetunePlan
from pipeline.finetune.prepare import CORRECTION, PER_CASE, REPLAY, read_samples, set_aside
from pipeline.names import TUMOUR_REGIONS, Region
from pipeline.registry import ModelCard
from pipeline.restore import restore_case
from pipeline.training.checkpoints import averaged_network, save_average
from pipeline.training.learner import has_bfloat16, mean_of, tensors
from pipeline.training.network import HalfResolutionUNet
from pipeline.training.samples import Sample
from pipeline.training.weights import mix, networks_of
from pipeline.volume.boxes import whole

BLENDED: Final = "blended.pt"
REPORT: Final = "blend.json"
#: Shares of the learnt weights that are tried.
_SHARES: Final = (1.0, 0.75, 0.5, 0.25)
#: Dice per sample and region; not a number where the truth says too little.
Scores = NDArray[np.float64]
#: Of the phase's time, roughly.
_STEPS_SHARE: Final = 0.85
#: Smaller regions say nothing: a few voxels decide between a Dice of 0 and 1.
_LEAST_VOXELS: Final = 12


@dataclass(frozen=True)
class Blend:
    """A network between the one in use and the learnt one.

    Attributes
    ----------
    share
        Of the learnt weights.
    gain
        Change of mean Dice on the corrections that were learnt from.
    loss
        How much mean Dice the region that lost most did lose on replayed cases that were not learnt from.
    """

    share: float
    gain: float
    loss: float


def choose(tried: list[Blend], tolerance: float) -> Blend:
    """Return the blend that gains most among those that lose no more than ``tolerance``.

    Where every one loses more, the one that loses least: the guard has the last word.
    """
    kept = [one for one in tried if one.loss <= tolerance]
    return max(kept, key=lambda one: one.gain) if kept else min(tried, key=lambda one: one.loss)


def learn_and_blend(plan: FinetunePlan, between: Report) -> None:
    """Phase ``learn``: the steps, then the blend."""
    learn(plan, lambda fraction: between(_STEPS_SHARE * fraction))
    blend(plan, lambda fraction: between(_STEPS_SHARE + (1 - _STEPS_SHARE) * fraction))


def blend(plan: FinetunePlan, between: Report) -> None:
    """Choose a blend and keep its weights; ``blend.json`` tells what was tried.

    Parameters
    ----------
    plan
        The fine-tuning, with what it learnt.
    between
        Called between two blends with the fraction done; may raise to stop.
    """
    if (plan.folder / BLENDED).exists():
        return
    if plan.policy.threads:
        torch.set_num_threads(plan.policy.threads)
    model = plan.parent_model()
    parent, *others = networks_of(model)
    learnt = averaged_network(plan.folder / LEARNT)
    corrections, tuning = read_samples(plan, CORRECTION)[::PER_CASE], set_aside(read_samples(plan, REPLAY))
    chosen = Blend(1.0, 0.0, 0.0)
    tried: list[Blend] = []
    if tuning:
        sets = (corrections, tuning)
        before = [_dice((parent, *others), samples, model.card) for samples in sets]
        for number, share in enumerate(_SHARES):
            between(number / len(_SHARES))
            after = [_dice((mix(parent, learnt, share), *others), samples, model.card) for samples in sets]
            gained, kept = (new - old for new, old in zip(after, before, strict=True))
            tried.append(Blend(share, _mean(gained), -_worst(kept)))
        chosen = choose(tried, plan.policy.margin / 2)
    taken = mix(parent, learnt, chosen.share)
    report = {"share": chosen.share, "tried": [asdict(one) for one in tried], "tuning": len(tuning)}
    (plan.folder / REPORT).write_text(json.dumps(report, indent=1))
    save_average(plan.folder / BLENDED, taken)


@torch.no_grad()
def _dice(networks: tuple[HalfResolutionUNet, ...], samples: list[Sample], card: ModelCard) -> Scores:
    """Dice of WT, TC and ET, shape (samples, 3); not a number where the truth is (nearly) empty.

    Where there is no tumour at all, nothing found is worth 1 and a false tumour 0.
    Cleaned up as a clinical result is: what is dropped there as doubtful was not learnt.
    """
    channels = {one.region: one.channels[0] for one in card.outputs}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    moved = [
        copy.deepcopy(network).to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        for network in networks
    ]
    rows = []
    for sample in samples:
        images, _ = tensors(sample.images.astype(np.float32), sample.regions, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
            logits = mean_of([network(images).float() for network in moved])
        found = torch.sigmoid(logits)[0].cpu().numpy()
        images_of = {region: _image(found[channels[region]], card) for region in TUMOUR_REGIONS}
        shown = zip(card.grid.order, sample.images.astype(np.float32), strict=True)
        volumes = {sequence: as_source(_image(values, card), sequence.value) for sequence, values in shown}
        still = dict.fromkeys(volumes, identity_alignment())
        masks = restore_case(images_of, volumes, still, card.grid.order[0], card).masks
        row = []
        for region in TUMOUR_REGIONS:
            mask = sitk.GetArrayFromImage(whole(masks[region], images_of[region])) > 0
            truth = sample.regions[channels[region]] > 0
            row.append(_score(mask, truth, region))
        rows.append(row)
    return np.array(rows, dtype=np.float64)


def _score(mask: NDArray[np.bool_], truth: NDArray[np.bool_], region: Region) -> float:
    free = region is Region.WT and not truth.any()
    return dice(mask, truth) if free or truth.sum() >= _LEAST_VOXELS else math.nan


def _image(values: NDArray[np.float32], card: ModelCard) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(card.grid.spacing_mm)
    return image


def _mean(change: Scores) -> float:
    return round(float(np.nanmean(change)), 5) if np.isfinite(change).any() else 0.0


def _worst(change: Scores) -> float:
    """Mean change of the region that lost most, of those that occur at all; 0 where none does."""
    there = [column[np.isfinite(column)] for column in change.T if np.isfinite(column).any()]
    return round(min((float(column.mean()) for column in there), default=0.0), 5)
