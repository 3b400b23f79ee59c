"""What an evaluation says: every case, and each group and all together with intervals."""

from collections.abc import Sequence as Listing
from dataclasses import asdict, dataclass
from typing import TypedDict

import numpy as np
from scipy.stats import spearmanr

from pipeline.evaluation.metrics import RegionScore, bootstrap_interval
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region


@dataclass(frozen=True)
class Refused:
    """A case that the network's stages refused.

    Attributes
    ----------
    name
        Of the case.
    reason
        Code, message and detail.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class CaseResult:
    """One case's scores.

    Attributes
    ----------
    name
        Of the case.
    scores
        Per tumour region.
    missing
        Sequences that the case lacks.
    seconds
        Of inference and restoration.
    uncertainty, brain_ml
        As inference gave them.
    group
        Name of the folder it lies in.
    """

    name: str
    scores: dict[Region, RegionScore]
    missing: tuple[MRSequence, ...]
    seconds: float
    uncertainty: float
    brain_ml: float
    group: str = ""


class Means(TypedDict):
    """Of a region over cases; ``ci95`` is of the mean Dice, lesions are counted."""

    dice: float
    median: float
    worst: float
    hd95_mm: float
    hd95_median_mm: float
    surface_dice: float
    volume_error_ml: float
    ci95: list[float]
    lesions: int
    lesions_found: int
    false_lesions: int
    lesion_dice: float
    lesion_hd95_mm: float


class Part(TypedDict):
    """Cases that were not refused; ``doubt`` is Spearman's correlation of uncertainty and Dice of the whole tumour."""

    n: int
    mean: dict[str, Means]
    doubt: float | None


class Summary(Part):
    """``evaluation.json``."""

    model: str
    groups: dict[str, Part]
    cases: list[dict[str, object]]
    refused: list[dict[str, str]]


def summarise(identity: str, results: Listing[CaseResult], refused: Listing[Refused] = ()) -> Summary:
    """Means with bootstrap intervals, and every case, as one JSON-serialisable document."""
    names = dict.fromkeys(result.group for result in results)
    groups = {name: [result for result in results if result.group == name] for name in names}
    return {
        "model": identity,
        **_of_all(results),
        "groups": {name: _of_all(members) for name, members in groups.items()},
        "cases": [_row(result) for result in results],
        "refused": [{"id": one.name, "reason": one.reason} for one in refused],
    }


def _of_all(results: Listing[CaseResult]) -> Part:
    regions = TUMOUR_REGIONS if results else ()
    mean = {region.value: _means([result.scores[region] for result in results]) for region in regions}
    return {"n": len(results), "mean": mean, "doubt": _doubt(results)}


def _means(scores: list[RegionScore]) -> Means:
    dices = [s.dice for s in scores]
    low, high = bootstrap_interval(dices)
    return {
        "dice": round(float(np.mean(dices)), 4),
        "median": round(float(np.median(dices)), 4),
        "worst": round(min(dices), 4),
        "hd95_mm": round(float(np.mean([s.hd95_mm for s in scores])), 2),
        "hd95_median_mm": round(float(np.median([s.hd95_mm for s in scores])), 2),
        "surface_dice": round(float(np.mean([s.surface_dice for s in scores])), 4),
        "volume_error_ml": round(float(np.mean([s.volume_error_ml for s in scores])), 2),
        "ci95": [round(low, 4), round(high, 4)],
        "lesions": sum(s.lesions for s in scores),
        "lesions_found": sum(s.lesions_found for s in scores),
        "false_lesions": sum(s.false_lesions for s in scores),
        "lesion_dice": round(float(np.mean([s.lesion_dice for s in scores])), 4),
        "lesion_hd95_mm": round(float(np.mean([s.lesion_hd95_mm for s in scores])), 2),
    }


def _doubt(results: Listing[CaseResult]) -> float | None:
    uncertainties = [result.uncertainty for result in results]
    dices = [result.scores[Region.WT].dice for result in results]
    if len(set(uncertainties)) < 3 or len(set(dices)) < 3:
        return None
    return round(float(spearmanr(uncertainties, dices).statistic), 3)


def _row(result: CaseResult) -> dict[str, object]:
    return {
        "id": result.name,
        "group": result.group,
        **{r.value: {k: round(v, 4) for k, v in asdict(s).items()} for r, s in result.scores.items()},
        "missing": [s.value for s in result.missing],
        "seconds": round(result.seconds, 2),
        "uncertainty": round(result.uncertainty, 4),
        "brain_ml": round(result.brain_ml, 1),
    }
