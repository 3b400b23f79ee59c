"""What fine-tuning on corrections gains, forgets, costs, and whether it can be poisoned.

Twelve synthetic cases of one kind of tumour, rendered from head label maps that the network was not trained on. Six
are learnt from, six further ones are held back. The reference set is the shipped one. Runs:

- ``missed``: the kind that the network in use does worst at (chosen on cases of their own), with the true contours
- ``shuffled``: the same cases with their masks shuffled among them: it must not pass
- ``grown``: ring tumours, each whole tumour grown by 2 mm: a site that draws otherwise than the reference set
- ``cavities``: what was cut out is drawn as part of whole tumour and core, a systematic correction; best with
  ``--kind cavity``

``python -m benchmarks.finetune [--runs missed shuffled grown cavities] [--kind cavity] [--steps 100] [--json]``
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy import ndimage

from benchmarks.environment import shared_data
from pipeline.cli.console import live_progress
from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.record import CaseRecord, RegionDifference
from pipeline.corrections.store import CorrectionStore
from pipeline.database.engine import database_in, database_of
from pipeline.evaluation.cases import find_cases
from pipeline.evaluation.evaluate import evaluate_case
from pipeline.finetune.blend import REPORT
from pipeline.finetune.direct import plan_of, register, run_phases
from pipeline.finetune.reference import write_study
from pipeline.names import TUMOUR_REGIONS, Region
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.settings.corrections import CorrectionPolicy
from pipeline.settings.finetune import FinetunePolicy
from pipeline.training.synthesis.heads import head_paths, load_head
from pipeline.training.synthesis.render import RenderedStudy, draw_study
from pipeline.training.synthesis.tumour import TumourKind

GROWTH_MM: Final = 2.0
SPACING_MM: Final = 2
CASES: Final = 12
LEAST_ML: Final = 5.0
#: Seeds of the cases that are learnt from and judged by, and of those that the kind is chosen by.
SEED, CHOICE_SEED = 4_242, 5_151
CHOICE_CASES: Final = 2
KINDS: Final = (
    TumourKind.RING, TumourKind.SOLID, TumourKind.PATCHY, TumourKind.MIXED, TumourKind.LOW_GRADE,
    TumourKind.MULTIFOCAL, TumourKind.CAVITY,
)  # fmt: skip
#: Regions that the radiologist draws, where not all of them.
DRAWN: Final = {"grown": frozenset({"WT"}), "cavities": frozenset({"WT", "TC"})}
NAMES: Final = {
    "missed": "the kind it misses",
    "shuffled": "the same, masks shuffled",
    "grown": f"WT grown by {GROWTH_MM:g} mm",
    "cavities": "cavities drawn as tumour",
}


def draw(heads: Path, cache: Path, kind: TumourKind, count: int, seed: int) -> list[RenderedStudy]:
    """Cases whose tumour is of one kind and not tiny."""
    _, held_out = head_paths(heads)
    studies: list[RenderedStudy] = []
    number = 0
    while len(studies) < count:
        head = load_head(held_out[number % len(held_out)], SPACING_MM, False, cache)
        study = draw_study(np.random.default_rng([seed, number]), head, kind)
        number += 1
        if study.regions[1].sum() * SPACING_MM**3 / 1000 > LEAST_ML:
            studies.append(study)
    return studies


def worst_kind(options: argparse.Namespace, work: Path) -> tuple[TumourKind, dict[str, float]]:
    """The kind of tumour whose whole the network in use finds worst, and its mean Dice on each."""
    model = Registry(options.models.resolve(), work / "none", database_in(work / "none")).get(options.model or None)
    means = {}
    for kind in KINDS:
        scores = []
        for number, study in enumerate(draw(options.heads, options.cache, kind, CHOICE_CASES, CHOICE_SEED)):
            write_study(study, work / f"{kind}-{number}")
            (case,) = find_cases(work / f"{kind}-{number}")
            scores.append(evaluate_case(case, model).scores[Region.WT].dice)
        means[kind] = round(float(np.mean(scores)), 3)
        print(f"{kind}: WT {means[kind]:.3f}", file=sys.stderr, flush=True)
    return min(KINDS, key=lambda kind: means[kind]), {kind.value: mean for kind, mean in means.items()}


def corrected(studies: list[RenderedStudy], run: str) -> list[RenderedStudy]:
    """The cases with the masks that the radiologist sends back."""
    if run == "missed":
        return studies
    if run == "shuffled":
        # By two, so that masks stay among the cases that are learnt from, and among those held back.
        others = studies[2:] + studies[:2]
        return [
            RenderedStudy(study.images, np.concatenate([study.regions[:1], other.regions[1:]]))
            for study, other in zip(studies, others, strict=True)
        ]
    change = _grown if run == "grown" else _with_cavity
    return [RenderedStudy(study.images, change(study)) for study in studies]


def _with_cavity(study: RenderedStudy) -> np.ndarray:
    brain, whole, core, enhancing = study.regions
    cavity = brain & study.cavity
    return np.stack([brain, whole | cavity, core | cavity, enhancing])


def _grown(study: RenderedStudy) -> np.ndarray:
    regions = study.regions
    distance = ndimage.distance_transform_edt(~regions[1], sampling=SPACING_MM)
    return np.stack([regions[0], (distance <= GROWTH_MM) & regions[0], *regions[2:]])


def fill(store: CorrectionStore, studies: list[RenderedStudy], drawn: frozenset[str], work: Path) -> None:
    """Keep the cases as corrections, every second one held back."""
    for number, study in enumerate(studies):
        target = work / f"case-{number}"
        write_study(study, target)
        for path in target.glob("*.nii.gz"):
            path.rename(target / path.name.removeprefix(f"{target.name}_"))
        store.keep(_record(number, _patient(store, number), drawn), target)


def _patient(store: CorrectionStore, number: int) -> str:
    """Pseudonym of a patient whom this store's key holds back if the number is odd, and lets be learnt from if even."""
    pseudonyms = Pseudonyms.of_installation(store.database)
    drawn_by_lot = (f"{number * 1000 + one:016x}" for one in range(1000))
    return next(
        one for one in drawn_by_lot if (pseudonyms.share(one) < store.policy.held_back_share) == bool(number % 2)
    )


def _record(number: int, patient: str, drawn: frozenset[str]) -> CaseRecord:
    regions = {
        region.value: RegionDifference(
            dice=0, hd95_mm=None, added_ml=1, removed_ml=0, automatic_ml=0, corrected_ml=1, drawn=region in drawn
        )
        for region in TUMOUR_REGIONS
    }
    return CaseRecord(
        id="", patient=patient, study=f"{number:016x}", kind="corrected", trusted=True,
        received=f"2026-01-01T00:00:{number:02d}+00:00", model="", job="0" * 32, source_kind="rtstruct",
        source_sop_instance_uid=f"1.2.{number}", source_hash="0", fingerprint=str(number), regions=regions,
        spacing_mm=(SPACING_MM,) * 3,
    )  # fmt: skip


def measure(options: argparse.Namespace, studies: list[RenderedStudy], run: str, folder: Path) -> dict[str, Any]:
    """One fine-tuning with its guard."""
    chosen = {
        name: value
        for name, value in (
            ("steps", options.steps), ("learning_rate", options.rate), ("replay_cases", options.replay),
        )
        if value is not None
    }  # fmt: skip
    settings = Settings(
        state_folder=folder / "state",
        models_folder=options.models.resolve(),
        feedback=CorrectionPolicy(held_back_share=0.5),
        finetune=FinetunePolicy(head_label_maps=options.heads.resolve(), **chosen),
    )
    kept = folder / "state" / "finetune"
    kept.mkdir(parents=True)
    (kept / "heads").symlink_to(options.cache.resolve())
    store = CorrectionStore(settings.feedback_folder, database_of(settings), settings.feedback)
    drawn = DRAWN.get(run, frozenset(region.value for region in TUMOUR_REGIONS))
    fill(store, corrected(studies, run), drawn, folder)
    plan = plan_of(settings, "finetune-0000000000aa", options.model or None, {})
    plan = plan.model_copy(update={"niceness": 0})
    plan.write()
    start = time.monotonic()
    with live_progress() as progress:
        phases = run_phases(plan, progress.report)
    seconds = time.monotonic() - start
    return register(plan, promote=False).as_json() | {
        "run": run,
        "policy": plan.policy.model_dump(mode="json", exclude={"head_label_maps"}),
        "learn": len(plan.learn),
        "blend": json.loads((plan.folder / REPORT).read_text()),
        "seconds": round(seconds, 1),
        "processor_seconds": round(sum(one.processor_seconds for one in phases.values()), 1),
        "phases": {phase.value: one.as_json() for phase, one in phases.items()},
        "peak_mb": max(one.peak_mb for one in phases.values()),
    }


def table(result: dict[str, Any]) -> str:
    """A run's figures as a Markdown table."""
    rows = ["| run | set | region | n | before | after | change | 95 % interval |", "| --- " * 8 + "|"]
    name, decision = NAMES[result["run"]], result["decision"]
    sets = (
        ("held back", {"mean": decision["corrections"]} | decision["corrections_per_region"]),
        ("reference", decision["reference"]),
    )
    for label, changes in sets:
        for region, one in changes.items():
            low, high = one["ci95"]
            rows.append(
                f"| {name} | {label} | {region} | {one['n']} | {one['before']:.3f} | {one['after']:.3f} "
                f"| {one['change']:+.3f} | {low:+.3f} to {high:+.3f} |"
            )
    verdict = "passed" if decision["passed"] else "not passed"
    times = ", ".join(f"{phase} {one['processor_seconds']:.0f} s" for phase, one in result["phases"].items())
    rows.append(
        f"\n{result['parent']}, {name}: {verdict}. {decision['reason']} Share of the learnt weights: "
        f"{result['blend']['share']:g}. {result['seconds']:.0f} s, of processors {result['processor_seconds']:.0f} s "
        f"({times}); {result['peak_mb']:.0f} MiB.\n"
    )
    return "\n".join(rows)


def main() -> None:
    """Run the fine-tunings and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", choices=list(NAMES), default=["missed", "shuffled"])
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--model", default="", help="name@version; default: the one in use")
    parser.add_argument("--heads", type=Path, help="folder of head label maps; default: GLIOLOOP_SHARED's")
    parser.add_argument("--kind", type=TumourKind, help="default: the one that the network does worst at")
    parser.add_argument("--steps", type=int, help="these three: default as the product's settings")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--replay", type=int)
    parser.add_argument("--cache", type=Path, help="folder for tissue fractions, to be used again")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.heads = options.heads or shared_data("head-label-maps")
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="glioloop-finetune-") as name:
        work = Path(name)
        options.cache = options.cache or work / "heads"
        options.cache.mkdir(parents=True, exist_ok=True)
        kind, means = (options.kind, {}) if options.kind else worst_kind(options, work / "choice")
        results = []
        for run in options.runs:
            studies = draw(options.heads, options.cache, TumourKind.RING if run == "grown" else kind, CASES, SEED)
            results.append(measure(options, studies, run, work / run))
            print(table(results[-1]), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"kind": kind, "dice_by_kind": means, "runs": results}, indent=1))
    else:
        print(f"kind: {kind} {means}\n\n" + "\n".join(table(result) for result in results))


if __name__ == "__main__":
    main()
