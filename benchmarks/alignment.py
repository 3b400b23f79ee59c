"""Alignment of moved patients: target registration error and time, beside ANTsPy and brainles-preprocessing.

The real study: three sequences registered to the T1c, and to each other, so that the way round (A to B, B to C, C to
A) tells the error without a truth. Displacements: one sequence of a real study moved by a random rigid transform of up
to 40 mm and 25 degrees and, except for half of those of the clinical study, re-sliced obliquely at 1 to 5.5 mm. Truth
is the displacement after the identity for BraTS cases, which come aligned (as well as their makers aligned them), and
after the program's own alignment of the undisplaced sequence for the clinical study: consistency, not accuracy. Beyond:
displacements of 40 to 100 mm and 40 to 150 degrees, which nobody promises to follow: what goes wrong must be refused.

Peers take the real study and every so-manieth displacement; times are per registration, in the same run. Errors are
means over 500 points of the brain.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Listed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from benchmarks.displacements import Displaced, Study, chained, clinical_study, research_studies, target_errors
from benchmarks.environment import peers_python, shared_data
from pipeline.align import align
from pipeline.errors import GlioLoopError
from pipeline.names import MRSequence
from pipeline.volume import SourceVolume

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("ANTsPy", "brainles-preprocessing")
OURS = "GlioLoop"
WRONG_MM = 3.0
ROUNDS = (
    (MRSequence.T1C, MRSequence.T1, MRSequence.T2),
    (MRSequence.T1C, MRSequence.T1, MRSequence.FLAIR),
    (MRSequence.T1C, MRSequence.T2, MRSequence.FLAIR),
)


# Made when it is wanted: a hundred re-sliced volumes would fill the memory.
Pair = Callable[[], tuple[SourceVolume, SourceVolume]]


@dataclass(frozen=True)
class Found:
    """What a program made of it; ``transform`` None where it refused or failed, with the reason."""

    transform: sitk.Transform | None
    seconds: float
    processor_s: float
    reason: str = ""


def ours(pairs: Listed[Pair]) -> list[Found]:
    """Register by the product, one pair after the other on one core."""
    found = []
    for pair in pairs:
        fixed, moving = pair()
        begin, used = time.perf_counter(), time.process_time()
        try:
            aligned = align({MRSequence.T1C: fixed, MRSequence.T2: moving}, MRSequence.T1C)
            transform, reason = aligned[MRSequence.T2].transform, ""
        except GlioLoopError as error:
            transform, reason = None, error.detail
        found.append(Found(transform, time.perf_counter() - begin, time.process_time() - used, reason))
        progress(OURS, len(found), len(pairs))
    return found


def by_peer(peer: str, python: Path, pairs: Listed[Pair]) -> list[Found]:
    """Register by a peer in its own environment, through NIfTI files."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        jobs = [[str(Path(folder) / f"{n}-{role}.nii.gz") for role in ("fixed", "moving")] for n in range(len(pairs))]
        for pair, files in zip(pairs, jobs, strict=True):
            for volume, file in zip(pair(), files, strict=True):
                sitk.WriteImage(volume.image, file)
        (Path(folder) / "jobs.json").write_text(json.dumps(jobs))
        command = [python, "-P", Path(__file__).with_name("registration_peer.py"), peer, Path(folder) / "jobs.json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            for line in process.stdout or ():
                if line.startswith("{"):
                    found.append(_read(json.loads(line)))
                    progress(peer, len(found), len(pairs))
    return found


def _read(answer: dict[str, object]) -> Found:
    if "matrix" not in answer:
        return Found(None, float("nan"), float("nan"), str(answer["error"]))
    matrix = np.array(answer["matrix"])
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return Found(transform, float(str(answer["seconds"])), float(str(answer["processor_s"])))


def progress(who: str, done: int, total: int) -> None:
    print(f"{who}: {done} of {total}", file=sys.stderr, flush=True)


def pairs_of(study: Study) -> dict[tuple[MRSequence, MRSequence], Pair]:
    """Every registration that the ways round need."""
    wanted = {step for a, b, c in ROUNDS for step in ((a, b), (b, c), (a, c))}
    return {(a, b): partial(_two, study.volumes[a], study.volumes[b]) for a, b in sorted(wanted)}


def _two(fixed: SourceVolume, moving: SourceVolume) -> tuple[SourceVolume, SourceVolume]:
    return fixed, moving


def displaced_pair(one: Displaced) -> tuple[SourceVolume, SourceVolume]:
    return one.study.reference, one.moving()


def rounds(study: Study, found: dict[tuple[MRSequence, MRSequence], Found]) -> dict[str, float | None]:
    """Error of the way over a third sequence against the direct way, mm: about 1.7 times that of one registration."""
    errors: dict[str, float | None] = {}
    for a, b, c in ROUNDS:
        steps = [found[step].transform for step in ((a, b), (b, c), (a, c))]
        name = f"{a} - {b} - {c}"
        errors[name] = None
        if steps[0] is not None and steps[1] is not None and steps[2] is not None:
            errors[name] = round(float(target_errors(chained(steps[1], steps[0]), steps[2], study.points).mean()), 2)
    return errors


def error_of(one: Displaced, found: Found, undisplaced: sitk.Transform | None) -> float | None:
    """Mean error over the brain, mm; None where there is no result."""
    if found.transform is None or undisplaced is None:
        return None
    true = chained(one.displacement, undisplaced)
    return float(target_errors(found.transform, true, one.study.points).mean())


def at_rest_of(one: Displaced, rest: Mapping[MRSequence, sitk.Transform | None]) -> sitk.Transform | None:
    """Where the undisplaced sequence lies: as the program found it, or as the data set says."""
    return rest[one.sequence] if one.study.clinical else sitk.Euler3DTransform()


def summary(errors: Listed[float | None], found: Listed[Found]) -> dict[str, object]:
    known = np.array([error for error in errors if error is not None])
    seconds, processor = [one.seconds for one in found], [one.processor_s for one in found]
    return {
        "registrations": len(found),
        "median_mm": round(float(np.median(known)), 3) if known.size else None,
        "p95_mm": round(float(np.percentile(known, 95)), 3) if known.size else None,
        "worst_mm": round(float(known.max()), 3) if known.size else None,
        f"wrong_by_{WRONG_MM:g}mm_and_accepted": int((known > WRONG_MM).sum()),
        "refused": [one.reason for one in found if one.transform is None],
        "seconds": round(float(np.nanmedian(seconds)), 2),
        "processor_seconds": round(float(np.nanmedian(processor)), 2),
    }


def displacements(studies: Listed[Study], count: int) -> list[Displaced]:
    """Two of five of the clinical study, the rest of the research studies in turn."""
    clinical = [study for study in studies if study.clinical]
    research = [study for study in studies if not study.clinical]
    made: dict[str, int] = {}
    chosen = []
    for number in range(count):
        among = clinical if number % 5 < 2 or not research else research
        study = among[(number // 5 * 3 + number % 5 - 2) % len(among)]
        made[study.name] = made.get(study.name, -1) + 1
        chosen.append(Displaced(study, made[study.name]))
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--displacements", type=int, default=100)
    parser.add_argument("--peers-every", type=int, default=12, help="0 for none but the real study")
    parser.add_argument("--beyond", type=int, default=40)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shared = shared_data()
    clinical = clinical_study(shared)
    studies = [clinical, *research_studies(shared)]
    chosen = displacements(studies, options.displacements)
    report: dict[str, Any] = {}
    rest: dict[MRSequence, sitk.Transform | None] = {}
    for who in (*(() if options.no_peers else PEERS), OURS):
        real = pairs_of(clinical)
        taken = chosen if who == OURS else chosen[:: options.peers_every] if options.peers_every else []
        pairs = [*real.values(), *(partial(displaced_pair, one) for one in taken)]
        python = None if who == OURS else peers_python(ROOT / "requirements" / "registration.lock", complete=False)
        found = ours(pairs) if python is None else by_peer(who, python, pairs)
        at_rest = dict(zip(real, found, strict=False))
        moved = found[len(real) :]
        rest = {b: one.transform for (a, b), one in at_rest.items() if a is MRSequence.T1C}
        errors = [error_of(one, result, at_rest_of(one, rest)) for one, result in zip(taken, moved, strict=True)]
        report[who] = {"real study, way round, mm": rounds(clinical, at_rest), "displaced": summary(errors, moved)}
        report[who] |= _parts(taken, errors, moved, options.peers_every or 1) if who == OURS else {}
    far = [replace(one, beyond=True) for one in displacements(studies, options.beyond)]
    found = ours([partial(displaced_pair, one) for one in far])
    errors = [error_of(one, result, at_rest_of(one, rest)) for one, result in zip(far, found, strict=True)]
    report["beyond what is promised"] = summary(errors, found)
    print(json.dumps(report, indent=None if options.json else 1))


def _parts(
    taken: Listed[Displaced], errors: Listed[float | None], found: Listed[Found], every: int
) -> dict[str, object]:
    """The same per kind of study, and over those that the peers get, too."""
    parts: dict[str, object] = {}
    for name in sorted({one.study.name for one in taken}):
        these = [n for n, one in enumerate(taken) if one.study.name == name]
        parts[name] = summary([errors[n] for n in these], [found[n] for n in these])
    parts["displaced, those that the peers get"] = summary(errors[::every], found[::every])
    return {"parts": parts}


if __name__ == "__main__":
    main()
