"""Rendered patients over time on two real Orthancs: identities of lesions, ml of change against the truth.

Usage: python -m benchmarks.follow [--truth] [--patients N] [--only PLACE …] [--folder FOLDER] [--json]

The stories (benchmarks/courses.py): growth, shrinkage, new lesions near and far, mergers, splits, resection but for the
rim and wholly, mass effect, brain shift, vanishing and return. Each scan has its own noise, coil and slices, the head
lies otherwise. The first two studies lie in the other Orthanc, as in a PACS, and are fetched; the node is sent the
others. By the network as it is; or, with ``--truth``, what is true is sent to the node over DICOM as a person's
correction of every study, so that what is left is the course's own: where lesions lie, who is who, and what changed.
"""

import argparse
import itertools
import json
import sys
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
import SimpleITK as sitk

from benchmarks.courses import STORIES, Mask, Scanned, reference_files, render
from benchmarks.environment import shared_data
from pipeline.course.scans import masks_of
from pipeline.names import MRSequence, Region
from pipeline.node import LOOPBACK
from pipeline.node.demo.sender import send_study, study_in_folder
from pipeline.objects.provenance import Provenance
from pipeline.objects.seg.sop import TumourSegmentation
from pipeline.settings import load_settings
from pipeline.training.synthesis.heads import head_paths
from pipeline.volume import read_volume
from tests.orthanc.conftest import Pair, make_pair, send
from tests.orthanc.corrections import send_back
from tests.patience import wait_for
from tests.unit.corrections.phantom import write_threshold_model

SEED: Final = 20_263
REGIONS: Final = (Region.WT, Region.TC, Region.ET)
IN_PACS: Final = 2
#: A change is right within either.
SHARE, ML = 0.10, 1.0
#: A region is delineated right from this Dice on.
RIGHT_DICE: Final = 0.9
#: Grid of the heads: that of a network's studies is finer, since it looks at the images.
SPACING_MM: Final = {True: 1.5, False: 1.0}
#: Standard deviations that nothing reaches: with ``--truth`` the network draws nothing, and a person does.
_NOTHING: Final = 90.0


@dataclass(frozen=True)
class Part:
    """A true lesion in a scan, and what the course has for it.

    Attributes
    ----------
    scan
        From 0.
    foci
        What it is made of.
    volume_ml
        Of the truth on the slices.
    uid
        Tracking UID of the course's lesion that lies in it; empty where there is none.
    unsure
        Whether the course says that this may be another.
    """

    scan: int
    foci: frozenset[int]
    volume_ml: float
    uid: str
    unsure: bool


def run(pair: Pair, scans: list[Scanned], patient: str, truth: bool) -> tuple[list[dict[str, Any]], list[Scanned]]:
    """Have a patient's studies followed; returns the course's, and the scans without those that the node refused."""
    to = pair.workstation.configuration
    for one in scans[:IN_PACS]:
        send_study(study_in_folder(one.folder), LOOPBACK, to.dicom_port, calling_aet="GLIOLOOP", called_aet=to.aet)
    used = scans[:IN_PACS]
    waiting = list(used)
    for one in scans[IN_PACS:]:
        job = pair.wait_job("done", "refused", study=send(pair, one.folder), seconds=1800)
        if job["state"] == "refused":
            continue
        used, waiting = [*used, one], [*waiting, one]
        _wait(pair, patient, len(used), "")
        if truth:
            for scanned in waiting:
                send_back(pair, drawn(scanned))
            _wait(pair, patient, len(used), "corrected")
        waiting = []
    return _course(pair, patient), used


def _wait(pair: Pair, patient: str, count: int, source: str) -> None:
    def there() -> bool:
        found = _course(pair, patient)
        return len(found) == count and all(source in ("", study["source"]) for study in found)

    wait_for(there, 900, lambda: f"{count} studies {source} in the course; {pair.get('/glioloop/jobs')[:2]}")


def _course(pair: Pair, patient: str) -> list[dict[str, Any]]:
    with pair.node.client() as client:
        answer = client.get(f"/glioloop/patients/{patient}/course")
    return list(answer.json()["studies"]) if answer.is_success else []


def drawn(scanned: Scanned) -> pydicom.Dataset:
    """What is true of a scan as a segmentation that a person has sent."""
    files = reference_files(scanned)
    volume = read_volume(files)
    regions = {}
    for region, mask in scanned.masks.items():
        regions[region] = sitk.GetImageFromArray(mask.astype(np.uint8))
        regions[region].CopyInformation(volume.image)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    return TumourSegmentation(headers, volume, regions, Provenance("truth@1"))


def found_masks(pair: Pair, study: dict[str, Any], scanned: Scanned) -> dict[Region, Mask]:
    """What the network drew, on the reference series' slices."""
    query = {"Level": "Instance", "Query": {"Modality": "SEG", "StudyInstanceUID": study["study_instance_uid"]}}
    with pair.node.client() as client:
        (found,) = client.post("/tools/find", json=query).raise_for_status().json()
        content = client.get(f"/instances/{found}/file").raise_for_status().content
    volume = read_volume(reference_files(scanned))
    return masks_of(pydicom.dcmread(BytesIO(content)), volume, MRSequence.T1C, load_settings())


def parts_of(course: list[dict[str, Any]], scans: list[Scanned]) -> list[Part]:
    """The true lesions of every scan beside what the course has; of a focus in several pieces the largest."""
    found: list[Part] = []
    for scan, (study, one) in enumerate(zip(course, scans, strict=True)):
        there: dict[int, dict[str, Any]] = {}
        for lesion in study["lesions"]:
            if lesion["region"] == Region.TC.value:
                index = one.lesions.labels.TransformPhysicalPointToIndex(lesion["inside"])
                there.setdefault(one.lesions.labels.GetPixel(index), lesion)
        for label, (foci, true) in enumerate(zip(one.foci, one.lesions.lesions, strict=True), start=1):
            if any(part.scan == scan and part.foci == foci for part in found):
                continue
            lesion = there.get(label, {"tracking_uid": "", "unsure": False})
            found.append(Part(scan, foci, true.volume_ml, lesion["tracking_uid"], lesion["unsure"]))
    return found


def wrong_identities(parts: list[Part]) -> list[str]:
    """What contradicts the truth: one name for two, two names for one, a merged lesion under a stranger's name."""
    named = [part for part in parts if part.uid]
    wrong = []
    for one, other in itertools.combinations(named, 2):
        if one.uid == other.uid and not one.foci & other.foci:
            wrong.append(f"{_told(one)} and {_told(other)} bear one name")
        if one.uid != other.uid and one.foci == other.foci and len(one.foci) == 1:
            wrong.append(f"{_told(one)} and {_told(other)} bear two names")
    for part in named:
        before = {one.uid for one in named if one.scan < part.scan and one.foci & part.foci}
        if len(part.foci) > 1 and before and part.uid not in before:
            wrong.append(f"{_told(part)} bears none of its parts' names")
    return wrong


def _told(part: Part) -> str:
    sure = ", told as unsure" if part.unsure else ""
    return f"{'+'.join(map(str, sorted(part.foci)))} of scan {part.scan + 1} ({part.volume_ml:.2f} ml{sure})"


def changes_of(
    course: list[dict[str, Any]], scans: list[Scanned], dice: list[dict[Region, float]]
) -> list[dict[str, Any]]:
    """Every change of volume from scan to scan beside the true one."""
    changes = []
    for region, place in itertools.product(REGIONS, range(1, len(scans))):
        then, now = scans[place - 1].volumes[region.value], scans[place].volumes[region.value]
        seen = [course[one]["regions"][region.value]["volume_ml"] for one in (place - 1, place)]
        error = seen[1] - seen[0] - (now - then)
        changes.append(
            {
                "region": region.value,
                "to": place + 1,
                "true_ml": round(now - then, 2),
                "found_ml": round(seen[1] - seen[0], 2),
                "right": bool(abs(error) <= max(ML, SHARE * abs(now - then))),
                "dice": [dice[one][region] for one in (place - 1, place)],
            }
        )
    return changes


def _dice(found: Mask, true: Mask) -> float:
    both = int(found.sum() + true.sum())
    return round(2 * float((found & true).sum()) / both, 3) if both else 1.0


def follow(pair: Pair, scans: list[Scanned], patient: str, truth: bool) -> dict[str, Any]:
    """Follow one patient and judge what came of it."""
    count = len(scans)
    course, scans = run(pair, scans, patient, truth)
    parts = parts_of(course, scans)
    masks = [one.masks if truth else found_masks(pair, study, one) for study, one in zip(course, scans, strict=True)]
    dice = [{r: _dice(found[r], one.masks[r]) for r in REGIONS} for found, one in zip(masks, scans, strict=True)]
    return {
        "patient": patient,
        "refused": count - len(scans),
        "lesions": len(parts),
        "missed": [_told(part) for part in parts if not part.uid],
        "unsure": [_told(part) for part in parts if part.unsure],
        "wrong_identities": wrong_identities(parts),
        "changes": changes_of(course, scans, dice),
        "names": [[[*sorted(p.foci)], p.uid[-5:]] for p in parts],
        "events": [[e["kind"] for e in s["events"] if e["region"] == Region.TC.value] for s in course],
        "flags": [[f"{flag['code']} {flag['detail']}" for flag in study["flags"]] for study in course],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", action="store_true", help="correct every study to what is true")
    parser.add_argument("--patients", type=int, default=len(STORIES))
    parser.add_argument("--only", type=int, nargs="+", help="places of the stories that are run")
    parser.add_argument("--folder", type=Path, help="where rendered studies are kept and taken from")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    learnt, held_out = head_paths(shared_data("head-label-maps"))
    heads = [*held_out, *learnt] if options.truth else held_out
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder, settings = Path(name), {}
        if options.truth:
            write_threshold_model(folder / "models", _NOTHING, _NOTHING, brain=False)
            settings = {"ModelsFolder": str(folder / "models")}
        pair = make_pair(folder / "servers", Priors={"From": ["workstation"], "Days": 0}, Destinations=[], **settings)
        with pair.workstation, pair.node:
            pair.wait_ready(600)
            for number in options.only or range(options.patients):
                story, head = STORIES[number % len(STORIES)], heads[number % len(heads)]
                kept, patient = (options.folder or folder) / str(number), f"FOLLOW-{number}"
                scans = render(story, head, kept, patient, SEED + number, SPACING_MM[options.truth])
                results.append({"story": story.name, **follow(pair, scans, patient, options.truth)})
                print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps(results, indent=1))
        return
    changes = [one for each in results for one in each["changes"]]
    fitting = [one for one in changes if min(one["dice"]) >= RIGHT_DICE]
    print(
        f"lesions found: {sum(each['lesions'] - len(each['missed']) for each in results)} of "
        f"{sum(each['lesions'] for each in results)}"
    )
    right = sum(not each["wrong_identities"] for each in results)
    print(f"patients whose identities are right: {right} of {len(results)}")
    print(
        f"changes within 10 % or 1 ml: {sum(one['right'] for one in changes)} of {len(changes)}; where both "
        f"delineations have a Dice of {RIGHT_DICE}: {sum(one['right'] for one in fitting)} of {len(fitting)}"
    )


if __name__ == "__main__":
    main()
