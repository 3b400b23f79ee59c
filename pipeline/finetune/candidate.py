"""Phases ``export`` and ``judge``: the learnt weights as a network with its card, and the guard's decision."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipeline.child.task import Report
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import Case, find_cases
from pipeline.evaluation.evaluate import evaluate_case
from pipeline.evaluation.labels import OWN, LabelScheme
from pipeline.finetune.blend import BLENDED
from pipeline.finetune.guard import decide, scored
from pipeline.finetune.plan import FinetunePlan
from pipeline.finetune.verdict import Change, Judgement
from pipeline.names import TUMOUR_REGIONS, Region
from pipeline.registry import CARD, InstalledModel, Lineage, Metric, ModelCard, NetworkFile, TrainingSource
from pipeline.training.checkpoints import averaged_network
from pipeline.training.export import OPSET, export_network

#: A region whose truth is smaller says nothing: one voxel of it decides between a Dice of 0 and 1.
_LEAST_TRUTH_ML: Final = 0.1

Scores = dict[str, dict[str, float]]


def export(plan: FinetunePlan, between: Report) -> None:
    """Write the chosen weights as ONNX, checked against PyTorch, with the card of a descendant."""
    between(0.0)
    parent = plan.parent_model()
    folder = plan.candidate_folder
    if (folder / CARD).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    name = parent.card.file.name
    export_network(averaged_network(plan.folder / BLENDED), len(parent.card.grid.order), folder / name)
    for file in parent.card.files:
        if file.name != name:
            shutil.copyfile(parent.path(file), folder / file.name)
    _write_card(folder, _descendant(parent.card, plan, NetworkFile.of(folder / name)))


def _descendant(card: ModelCard, plan: FinetunePlan, file: NetworkFile) -> ModelCard:
    learnt = TrainingSource(
        name=f"Corrections of this installation, on top of {card.identity}",
        source="its store of corrections; cases by pseudonym in the lineage",
        licence="the site's own",
        cases=len(plan.learn),
    )
    return card.model_copy(
        update={
            "version": plan.version,
            "created": datetime.now(UTC).date(),
            "description": card.description.partition(" (fine-tuned")[0] + " (fine-tuned on corrections)",
            "opset": OPSET,
            "file": file,
            "training": (*card.training, learnt),
            "metrics": (),
            "lineage": Lineage(parent=card.identity, cases=plan.learn),
        }
    )


def _write_card(folder: Path, card: ModelCard) -> None:
    part = folder / f"{CARD}.part"
    part.write_text(card.model_dump_json(indent=2) + "\n")
    part.rename(folder / CARD)


def judge(plan: FinetunePlan, between: Report) -> None:
    """Score the candidate and the network in use, decide, and write the decision into the card."""
    reference, corrections = find_cases(plan.reference_set), _held_back(plan)
    candidate = _candidate(plan)
    models = (plan.parent_model(), candidate)
    total = len(models) * (len(reference) + len(corrections))
    done = 0
    scores: dict[str, list[Scores]] = {"corrections": [], "reference": []}
    for model in models:
        for name, cases in (("corrections", corrections), ("reference", reference)):
            found: Scores = {}
            for case in cases:
                between(done / total)
                # The reference set may be of the site, by any scheme.
                found[case.name] = _score(plan, case, model, OWN if name == "corrections" else None)
                done += 1
            scores[name].append(found)
    decision = decide(
        plan.policy,
        (scores["corrections"][0], scores["corrections"][1]),
        _drawn(plan, (scores["corrections"][0], scores["corrections"][1])),
        (scores["reference"][0], scores["reference"][1]),
    )
    _write_card(plan.candidate_folder, _judged(plan, candidate.card, decision))
    part = plan.folder / "decision.json.part"
    part.write_text(json.dumps(decision.as_json(), indent=1))
    part.rename(plan.folder / "decision.json")


def _held_back(plan: FinetunePlan) -> list[Case]:
    store = plan.store()
    return [case for identity in plan.held_back for case in find_cases(store.check(store.case(identity)))]


def _drawn(plan: FinetunePlan, scores: tuple[Scores, Scores]) -> dict[str, frozenset[str]]:
    """Regions of each held-back case that a person drew and that can be scored."""
    drawn = {}
    for identity, names in scored(scores).items():
        regions = plan.store().case(identity).regions
        # Emptied by the reviewer: every region counts, and what is still found counts against it.
        drawn[identity] = frozenset(name for name in names if regions[name].drawn) or names
    return drawn


def _candidate(plan: FinetunePlan) -> InstalledModel:
    card = ModelCard.model_validate_json((plan.candidate_folder / CARD).read_text())
    return InstalledModel(card, plan.candidate_folder)


def _score(plan: FinetunePlan, case: Case, model: InstalledModel, scheme: LabelScheme | None) -> dict[str, float]:
    """Dice per region, from the run's folder where it was scored before a restart."""
    path = plan.folder / "scores" / f"{case.name}-{model.card.sha256[:12]}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    try:
        result = evaluate_case(case, model, scheme)
        scores = {region.value: one for region, one in result.scores.items()}
    except GlioLoopError as error:
        if error.code != "BRAIN_NOT_FOUND":
            raise
        scores = {}
    large = [name for name, one in scores.items() if one.truth_ml >= _LEAST_TRUTH_ML]
    found = {name: round(scores[name].dice, 5) for name in large or scores}
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found))
    part.rename(path)
    return found


def _judged(plan: FinetunePlan, card: ModelCard, decision: Judgement) -> ModelCard:
    metrics = []
    if decision.corrections_per_region:
        metrics.append(
            _metric("held-back corrections of this installation", "validation", decision.corrections_per_region)
        )
    if decision.reference:
        shipped = plan.policy.reference_set is None
        name, use = ("shipped reference set", "synthetic") if shipped else ("site's reference set", "validation")
        metrics.append(_metric(name, use, decision.reference))
    lineage = card.lineage.model_copy(update={"decision": decision.reason}) if card.lineage else None
    return card.model_copy(update={"metrics": tuple(metrics), "lineage": lineage})


def _metric(dataset: str, use: Any, changes: dict[str, Change]) -> Metric:
    return Metric(
        dataset=dataset,
        use=use,
        n=max(change.n for change in changes.values()),
        dice={region: changes[region.value].after for region in _regions(changes)},
    )


def _regions(changes: dict[str, Change]) -> list[Region]:
    return [region for region in TUMOUR_REGIONS if region.value in changes]
