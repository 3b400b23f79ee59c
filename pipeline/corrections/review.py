"""What people made of the results: the review state of a study, and agreement over time."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Ordered
from datetime import datetime
from enum import StrEnum
from statistics import fmean, median
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge

from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.record import CaseRecord
from pipeline.corrections.store import FeedbackStore
from pipeline.errors import GlioLoopError
from pipeline.names import TUMOUR_REGIONS

#: Corrections that the agreement shown as a metric is taken over.
RECENT: Final = 20


class ReviewState(StrEnum):
    """How far a study's contours have come."""

    NONE = "none"
    AUTOMATIC = "automatic"
    SENT = "sent"
    CORRECTED = "corrected"
    ACCEPTED = "accepted"


def review_of(
    store: FeedbackStore, orthanc_id: str, study_instance_uid: str, jobs: Ordered[Mapping[str, Any]]
) -> dict[str, Any]:
    """Derive the review state of a study.

    Parameters
    ----------
    store
        The store of corrections.
    orthanc_id, study_instance_uid
        The study's two names.
    jobs
        Its jobs, latest first, as :func:`pipeline.jobs.view.job_view` shows them.

    Returns
    -------
    dict
        ``state``, ``since``, ``model``, ``trusted``, and the study's cases with their differences. Contours
        that a later job drew have not been reviewed, whatever was said of earlier ones.
    """
    cases = store.of_study(orthanc_id, study_instance_uid)
    job = next((one for one in jobs if one["result"] and one["result"].get("objects")), None)
    newest = cases[0] if cases else None
    view: dict[str, Any] = {
        "state": ReviewState.NONE.value,
        "since": None,
        "model": None,
        "trusted": None,
        "feedback": [case_view(case) for case in cases],
    }
    if newest is not None and (job is None or newest.job == job["id"] or _after(newest.received, str(job["created"]))):
        state = ReviewState(newest.kind)
        return view | {
            "state": state.value, "since": newest.received, "model": newest.model, "trusted": newest.trusted,
        }  # fmt: skip
    if job is not None:
        sent = any(delivery["state"] == "done" for delivery in job["deliveries"].values())
        state = ReviewState.SENT if sent else ReviewState.AUTOMATIC
        return view | {"state": state.value, "since": job["updated"], "model": job["model"]}
    return view


def reviews_of(store: FeedbackStore, jobs: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Derive how far the contours of each of many jobs have come, for lists.

    Parameters
    ----------
    store
        The store of corrections; only cases of these jobs' studies are read.
    jobs
        As :func:`pipeline.jobs.view.job_view` shows them.

    Returns
    -------
    dict
        ``state`` and ``trusted`` by job id. A correction counts for the job that drew what it corrects.
    """
    versions = store.versions()
    pseudonyms = Pseudonyms.of_installation(store.database) if versions else None
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        if not (job["result"] and job["result"].get("objects")):
            found[job["id"]] = {"state": ReviewState.NONE.value, "trusted": None}
            continue
        sent = any(delivery["state"] == "done" for delivery in job["deliveries"].values())
        found[job["id"]] = {"state": (ReviewState.SENT if sent else ReviewState.AUTOMATIC).value, "trusted": None}
        keys = {pseudonyms.study(str(job[name])) for name in ("study", "study_instance_uid")} if pseudonyms else ()
        case = _correction(store, [one for key in keys for one in versions.get(key, ())], job["id"])
        if case is not None:
            found[job["id"]] = {"state": case.kind, "trusted": case.trusted}
    return found


def _correction(store: FeedbackStore, identities: Iterable[str], job: str) -> CaseRecord | None:
    for identity in identities:
        try:
            case = store.case(identity)
        except (GlioLoopError, OSError, ValueError):
            continue  # deleted a moment ago, or damaged: the list of jobs goes on without it
        if case.job == job:
            return case
    return None


def _after(one: str, other: str) -> bool:
    return datetime.fromisoformat(one) > datetime.fromisoformat(other)


def case_view(case: CaseRecord) -> dict[str, Any]:
    """Return a case as REST shows it."""
    return case.model_dump(mode="json", exclude={"files", "fingerprint"})


def agreement(cases: Iterable[CaseRecord]) -> dict[str, Any]:
    """Agreement between automatic and reviewed contours, in the order of time, per region and model version.

    Only regions that were drawn count: one taken over from the automatic result agrees by construction.

    Returns
    -------
    dict
        ``points``: one for each case and region, with the mean Dice of the same model and region up to it
        (``dice_recent``, over :data:`RECENT` cases at most); ``summary``: per model and region number of
        cases, mean and median Dice, median HD95, and share left unchanged.
    """
    points: list[dict[str, Any]] = []
    recent: dict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
    for case in sorted(cases, key=lambda one: one.received):
        for name, region in case.regions.items():
            if region.drawn:
                last = recent[case.model, name]
                last.append(region.dice)
                points.append(
                    {
                        "at": case.received,
                        "case": case.id,
                        "model": case.model,
                        "region": name,
                        "kind": case.kind,
                        "trusted": case.trusted,
                        "dice": region.dice,
                        "dice_recent": round(fmean(last), 4),
                        "hd95_mm": region.hd95_mm,
                        "added_ml": region.added_ml,
                        "removed_ml": region.removed_ml,
                    }
                )
    return {"points": points, "summary": _summary(points)}


def _summary(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for point in points:
        groups[point["model"], point["region"]].append(point)
    rows = []
    for (model, region), members in sorted(groups.items()):
        distances = [one["hd95_mm"] for one in members if one["hd95_mm"] is not None]
        rows.append(
            {
                "model": model,
                "region": region,
                "n": len(members),
                "dice_mean": round(fmean(one["dice"] for one in members), 4),
                "dice_median": round(median(one["dice"] for one in members), 4),
                "hd95_mm_median": round(median(distances), 2) if distances else None,
                "unchanged": round(fmean(one["added_ml"] + one["removed_ml"] == 0 for one in members), 3),
                "first": members[0]["at"],
                "last": members[-1]["at"],
            }
        )
    return rows


def collect_metrics(store: FeedbackStore, registry: CollectorRegistry) -> None:
    """Add the loop's figures to Prometheus metrics."""
    cases = store.cases()
    kept = Gauge("glioloop_feedback_cases", "Cases in the store of corrections", ["kind"], registry=registry)
    for kind in ("corrected", "accepted"):
        kept.labels(kind).set(sum(case.kind == kind for case in cases))
    Gauge("glioloop_feedback_bytes", "Size of the store of corrections", registry=registry).set(store.size_bytes())
    dice = Gauge(
        "glioloop_feedback_dice",
        f"Mean Dice of automatic and reviewed contours over the last {RECENT} cases",
        ["region", "model"],
        registry=registry,
    )
    recent: dict[tuple[str, str], list[float]] = defaultdict(list)
    for case in cases:
        for region in TUMOUR_REGIONS:
            found = case.regions.get(region.value)
            if found is not None and found.drawn and len(recent[region.value, case.model]) < RECENT:
                recent[region.value, case.model].append(found.dice)
    for (name, model), values in recent.items():
        dice.labels(name, model).set(fmean(values))
