"""What fine-tuning on corrections gains, forgets, costs, and whether it can be poisoned.

Ten synthetic cases of one kind of tumour, rendered from head label maps that the network was not trained
on; on each the whole tumour is corrected in the same way: grown by 2 mm. Five are learnt from, five are held
back. The reference set is the product's own: synthetic cases of all kinds with their true contours, and the
shipped study. The second run learns from the same cases with their masks shuffled among them.

``python benchmarks/finetune.py --models models --heads FOLDER [--steps 60] [--json]``
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.environment import shared_data
from pipeline.console import live_progress
from pipeline.feedback.policy import FeedbackPolicy, FinetunePolicy
from pipeline.feedback.store import CaseRecord, FeedbackStore, RegionDifference
from pipeline.finetune.direct import plan_of, register, run_phases
from pipeline.finetune.reference import write_study
from pipeline.names import TUMOUR_REGIONS
from pipeline.settings import Settings
from pipeline.training.synthesis.heads import head_paths, load_head
from pipeline.training.synthesis.render import RenderedStudy, draw_study
from pipeline.training.synthesis.tumour import TumourKind

GROWTH_MM = 2.0
SPACING_MM = 2
CASES = 10
SEED = 4_242


def corrected(study: RenderedStudy) -> NDArray[np.bool_]:
    """The whole tumour with a margin."""
    distance = ndimage.distance_transform_edt(~study.regions[1], sampling=SPACING_MM)
    return np.asarray((distance <= GROWTH_MM) & study.regions[0])


def draw(heads: Path, kind: TumourKind, cache: Path) -> list[RenderedStudy]:
    """Cases whose tumour is of one kind and not tiny."""
    _, held_out = head_paths(heads)
    studies: list[RenderedStudy] = []
    number = 0
    while len(studies) < CASES:
        head = load_head(held_out[number % len(held_out)], SPACING_MM, False, cache)
        study = draw_study(np.random.default_rng([SEED, number]), head, kind)
        number += 1
        if study.regions[1].sum() * 0.008 > 5:
            studies.append(study)
    return studies


def fill(store: FeedbackStore, studies: list[RenderedStudy], shuffled: bool, work: Path, model: str) -> None:
    """Keep the cases as corrections of WT, every second one held back."""
    for number, study in enumerate(studies):
        source = studies[(number + 2) % len(studies)] if shuffled else study
        target = work / f"case-{number}"
        write_study(
            RenderedStudy(study.images, np.concatenate([study.regions[:1], source.regions[1:]])),
            target,
            corrected(source),
        )
        for path in target.glob("*.nii.gz"):
            path.rename(target / path.name.removeprefix(f"{target.name}_"))
        store.keep(_record(number, model), target)


def _record(number: int, model: str) -> CaseRecord:
    regions = {
        region.value: RegionDifference(
            dice=0, hd95_mm=None, added_ml=1, removed_ml=0, automatic_ml=0, corrected_ml=1, drawn=region == "WT"
        )
        for region in TUMOUR_REGIONS
    }
    return CaseRecord(
        id="", patient=f"{number:016x}", study=f"{number:016x}", kind="corrected", trusted=True,
        received=f"2026-01-01T00:00:{number:02d}+00:00", model=model, job="0" * 32, source_kind="rtstruct",
        source_sop_instance_uid=f"1.2.{number}", source_hash="0", fingerprint=str(number), regions=regions,
        spacing_mm=(SPACING_MM,) * 3,
    )  # fmt: skip


def measure(options: argparse.Namespace, studies: list[RenderedStudy], shuffled: bool, folder: Path) -> dict[str, Any]:
    """One fine-tuning with its guard."""
    settings = Settings(
        state_folder=folder / "state",
        models_folder=options.models.resolve(),
        feedback=FeedbackPolicy(held_back_share=0.5),
        finetune=FinetunePolicy(
            head_label_maps=options.heads.resolve(),
            steps=options.steps,
            learning_rate=options.rate,
            replay_cases=options.replay,
            reference_cases=options.reference,
        ),
    )
    store = FeedbackStore(settings.feedback_folder, settings.feedback)
    fill(store, studies, shuffled, folder, "")
    plan = plan_of(settings, "finetune-0000000000aa", options.model or None, {})
    plan = plan.model_copy(update={"niceness": options.nice})
    plan.write()
    start = time.monotonic()
    with live_progress() as progress:
        phases = run_phases(plan, progress.report)
    seconds = time.monotonic() - start
    outcome = register(plan, promote=False)
    return outcome | {
        "shuffled": shuffled,
        "learn": len(plan.learn),
        "seconds": round(seconds, 1),
        "phases": phases,
        "peak_mb": max(one["peak_mb"] for one in phases.values()),
    }


def table(results: list[dict[str, Any]]) -> str:
    """Results as a Markdown table."""
    rows = ["| run | set | region | n | before | after | change | 95 % interval |", "| --- " * 8 + "|"]
    for result in results:
        name = "masks shuffled" if result["shuffled"] else f"WT grown by {GROWTH_MM:g} mm"
        decision = result["decision"]
        for label, changes in (
            ("held-back corrections", decision["corrections_per_region"]),
            ("reference", decision["reference"]),
        ):
            for region, one in changes.items():
                low, high = one["ci95"]
                rows.append(
                    f"| {name} | {label} | {region} | {one['n']} | {one['before']:.3f} | {one['after']:.3f} "
                    f"| {one['change']:+.3f} | {low:+.3f} to {high:+.3f} |"
                )
        verdict = "passed" if decision["passed"] else "not passed"
        rows.append(
            f"\n{name}: {verdict}. {decision['reason']} {result['seconds']:.0f} s, {result['peak_mb']:.0f} MB.\n"
        )
    return "\n".join(rows)


def main() -> None:
    """Run both fine-tunings and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--model", default="", help="name@version; default: the newest shipped")
    parser.add_argument("--heads", type=Path, help="folder of head label maps; default: GLIOLOOP_SHARED's")
    parser.add_argument("--kind", type=TumourKind, default=TumourKind.RING)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--replay", type=int, default=8)
    parser.add_argument("--reference", type=int, default=4)
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="folder for the heads' tissue fractions, to be used again")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.heads = options.heads or shared_data("head-label-maps")
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="glioloop-finetune-") as name:
        studies = draw(options.heads, options.kind, options.cache or Path(name) / "heads")
        results = []
        for shuffled in (False, True):
            folder = Path(name) / ("shuffled" if shuffled else "grown")
            (folder / "state" / "finetune").mkdir(parents=True)
            if options.cache:
                (folder / "state" / "finetune" / "heads").symlink_to(options.cache.resolve())
            results.append(measure(options, studies, shuffled, folder))
            print(table(results[-1:]), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps(results, indent=1))
        return
    print(table(results))
    print(f"peak of any child process: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
