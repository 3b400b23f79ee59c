"""Rendered patients at five time points on two real Orthancs: identities of lesions, ml of change against the truth.

Usage: python -m benchmarks.follow [--patients N] [--json]

A focus in the right half grows, shrinks and is resected but for its rim; one in the left half stays, has a new one
beside it, and merges with that. Each scan has its own noise and coil, the head lies otherwise; there is no mass effect.
The first two studies lie in the other Orthanc, as in a PACS, and are fetched; the node is sent the others. A focus that
the network misses has no identity and is counted apart.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom

from benchmarks.environment import shared_data
from pipeline.node import LOOPBACK
from pipeline.node.demo.sender import send_study, study_in_folder
from pipeline.training.synthesis.heads import head_paths
from pipeline.training.synthesis.study import Focus, place_in_scan, write_study
from pipeline.training.synthesis.tumour import TumourKind
from tests.orthanc.conftest import Pair, make_pair, send
from tests.patience import wait_for

SEED: Final = 20_263
#: Radii in mm of the three foci at each time point; 0: not there. The first is resected at the end.
RADII: Final = ((11, 10, 0), (15, 10, 0), (10, 10, 8), (10, 13, 12), (12, 13, 12))
RESECTED, MERGED = 4, 3
#: From a focus to a point inside its lesion, before and from the merger on.
_REACH_MM: Final = (15.0, 25.0)
PLACES: Final = ((0.62, 0.32, 0.28), (0.62, 0.60, 0.74), (0.62, 0.47, 0.72))
KINDS: Final = (TumourKind.RING, TumourKind.SOLID, TumourKind.SOLID)
REGIONS: Final = ("WT", "TC", "ET")
IN_PACS: Final = 2
#: A change is right within either.
SHARE, ML = 0.10, 1.0


@dataclass(frozen=True)
class Rendered:
    """A study: its folder, its true volumes in ml, and where its foci lie, LPS mm."""

    folder: Path
    volumes: dict[str, float]
    foci: dict[int, tuple[float, float, float]]


def render(head: Path, folder: Path, seed: int) -> list[Rendered]:
    """Render a patient's five studies, ninety days apart."""
    found = []
    for number, radii in enumerate(RADII):
        foci = {
            place: Focus(PLACES[place], float(radius), TumourKind.CAVITY if (place, number) == (0, RESECTED) else kind)
            for place, (radius, kind) in enumerate(zip(radii, KINDS, strict=True))
            if radius
        }
        out = folder / str(number + 1)
        truth = write_study(head, out, seed, scan=number + 1, foci=foci)
        day = f"{date(2026, 1, 5) + timedelta(days=90 * number):%Y%m%d}"
        for path in out.glob("*/*.dcm"):
            dataset = pydicom.dcmread(path)
            dataset.PatientID = f"FOLLOW-{seed}"
            for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
                setattr(dataset, keyword, day)
            dataset.save_as(path, enforce_file_format=True)
        at = {place: place_in_scan(head, seed, number + 1, one.centre) for place, one in foci.items()}
        found.append(Rendered(out, truth["volumes_ml"], at))  # type: ignore[arg-type]
    return found


def run(pair: Pair, studies: list[Rendered], patient: str) -> list[dict[str, Any]]:
    """Have a patient's studies followed; returns the course's."""
    to = pair.workstation.configuration
    for one in studies[:IN_PACS]:
        send_study(study_in_folder(one.folder), LOOPBACK, to.dicom_port, calling_aet="GLIOLOOP", called_aet=to.aet)
    for place, one in enumerate(studies[IN_PACS:], start=IN_PACS + 1):
        send(pair, one.folder)
        wait_for(
            lambda place=place: len(_course(pair, patient)) == place,  # type: ignore[misc]
            900,
            lambda place=place: f"{place} studies in the course; {pair.get('/glioloop/jobs')[:2]}",  # type: ignore[misc]
        )
    return _course(pair, patient)


def _course(pair: Pair, patient: str) -> list[dict[str, Any]]:
    with pair.node.client() as client:
        answer = client.get(f"/glioloop/patients/{patient}/course")
    return list(answer.json()["studies"]) if answer.is_success else []


def judged(course: list[dict[str, Any]], studies: list[Rendered]) -> dict[str, Any]:
    """Identities by focus and time point, and every change of volume beside the true one."""
    names = [
        {place: _lesion_at(study, point, _REACH_MM[number >= MERGED]) for place, point in one.foci.items()}
        for number, (study, one) in enumerate(zip(course, studies, strict=True))
    ]
    missed = sum(not uid for found in names for uid in found.values())
    # The foci beside each other are one lesion from the merger on; which of the two names goes on is told by size.
    alone = [names, names, names[:3]]
    wrong = [
        {"focus": place, "uids": [uid[-5:] for uid in uids]}
        for place, found in enumerate(alone)
        if len(uids := list(dict.fromkeys(one[place] for one in found if one.get(place)))) > 1
    ]
    before = {uid for found in names[:2] for uid in found.values() if uid}
    if names[2][2] in before:
        wrong.append({"focus": 2, "uids": [names[2][2][-5:]]})
    if len({names[place][focus] for place in (3, 4) for focus in (1, 2) if names[place][focus]} | {""}) > 2:
        wrong.append({"focus": 1, "uids": ["not merged"]})
    changes = []
    for region in REGIONS:
        for before in range(len(studies) - 1):
            true = studies[before + 1].volumes[region] - studies[before].volumes[region]
            seen = [course[place]["regions"][region]["volume_ml"] for place in (before, before + 1)]
            error = abs(seen[1] - seen[0] - true)
            changes.append(
                {
                    "region": region,
                    "to": before + 2,
                    "true_ml": round(true, 2),
                    "found_ml": round(seen[1] - seen[0], 2),
                    "right": bool(error <= max(ML, SHARE * abs(true))),
                    "delineated": all(_fits(seen[k], studies[before + k].volumes[region]) for k in (0, 1)),
                }
            )
    return {
        "missed_foci": missed,
        "wrong_identities": wrong,
        "changes": changes,
        "events": [[e["kind"] for e in s["events"] if e["region"] == "TC"] for s in course],
    }


def _fits(found: float, true: float) -> bool:
    return abs(found - true) <= max(ML, SHARE * true)


def _lesion_at(study: dict[str, Any], point: tuple[float, float, float], reach_mm: float) -> str:
    """Tracking UID of the core's lesion whose inside is nearest to a focus and within reach; empty where none is."""
    near = [
        (float(np.linalg.norm(np.array(one["inside"]) - point)), one["tracking_uid"])
        for one in study["lesions"]
        if one["region"] == "TC"
    ]
    distance, uid = min(near, default=(np.inf, ""))
    return uid if distance <= reach_mm else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    _, held_out = head_paths(shared_data("head-label-maps"))
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rendered = [
            render(held_out[number % len(held_out)], folder / f"patient-{number}", SEED + number)
            for number in range(options.patients)
        ]
        pair = make_pair(folder / "servers", Priors={"From": ["workstation"], "Days": 0}, Destinations=[])
        with pair.workstation, pair.node:
            pair.wait_ready(300)
            for number, studies in enumerate(rendered):
                course = run(pair, studies, f"FOLLOW-{SEED + number}")
                results.append({"patient": number, **judged(course, studies)})
                print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps(results, indent=1))
        return
    changes = [one for each in results for one in each["changes"]]
    fitting = [one for one in changes if one["delineated"]]
    print(
        f"patients with a wrong identity: {sum(bool(each['wrong_identities']) for each in results)} of {len(results)}"
    )
    print(
        f"changes within 10 % or 1 ml: {sum(one['right'] for one in changes)} of {len(changes)}, "
        f"{sum(one['right'] for one in fitting)} of {len(fitting)} where both volumes are"
    )


if __name__ == "__main__":
    main()
