"""A fine-tuning outside the queue, for the command line and the benchmarks; the same phases, the same guard."""

import hashlib
from collections.abc import Callable, Mapping

from pipeline.corrections.store import CorrectionStore
from pipeline.database.engine import database_of
from pipeline.errors import GlioLoopError
from pipeline.finetune.phases import Phase, tidy
from pipeline.finetune.plan import FinetunePlan, make_plan
from pipeline.finetune.supervise import PhaseOutcome, run_phase
from pipeline.finetune.verdict import Judgement, Registered
from pipeline.names import Progress
from pipeline.registry import CARD, ModelCard, Registry
from pipeline.settings import ROOT, Settings, load_settings


class Learnt(Registered):
    """The candidate, what each phase took, and the ids of the corrections."""

    phases: dict[Phase, PhaseOutcome]
    learn: tuple[str, ...]
    held_back: tuple[str, ...]


def finetune_now(
    event: str, model: str | None, asked: Mapping[str, object], promote: bool, progress: Progress
) -> Learnt:
    """Fine-tune with this installation's settings and corrections, and wait for the end.

    Raises
    ------
    GlioLoopError
        NOTHING_TO_LEARN, MODEL_UNKNOWN, MODEL_NOT_TRAINABLE, FINETUNE_FAILED.
    """
    settings = load_settings()
    identity = f"finetune-{hashlib.sha256(event.encode()).hexdigest()[:12]}"
    plan = plan_of(settings, identity, model, asked)
    try:
        phases = run_phases(plan, progress)
    finally:
        tidy(plan.folder)
    registered = register(plan, promote)
    return Learnt(**dict(registered), phases=phases, learn=plan.learn, held_back=plan.held_back)


def plan_of(settings: Settings, identity: str, model: str | None, asked: Mapping[str, object]) -> FinetunePlan:
    """Write the plan of a fine-tuning with the settings, changed where that was asked."""
    registry = Registry(settings.models_folder, settings.state_folder, database_of(settings))
    plan = make_plan(
        identity,
        registry.get(model or settings.model or None),
        settings.finetune.model_copy(update=dict(asked)),
        CorrectionStore(settings.feedback_folder, database_of(settings), settings.feedback),
        registry,
        settings.models_folder,
        settings.state_folder,
        ROOT / "samples",
        settings.queue_database_url,
    )
    plan.write()
    return plan


def run_phases(plan: FinetunePlan, progress: Progress) -> dict[Phase, PhaseOutcome]:
    """Run every phase."""
    outcome = {}
    for phase in Phase:
        progress(phase.value, None)
        outcome[phase] = run_phase(
            plan.folder, phase, waits_for=lambda: None, cancelled=lambda: False, report=_reporter(phase, progress)
        )
    return outcome


def _reporter(phase: Phase, show: Progress) -> Callable[..., None]:
    def report(progress: float | None = None, **_: object) -> None:
        if progress is not None:
            show(phase.value, progress)

    return report


def register(plan: FinetunePlan, promote: bool) -> Registered:
    """Install the candidate, and put it to use where the guard let it pass and that is wanted.

    A network that somebody promoted meanwhile stays in use: the candidate was judged against its parent.

    Raises
    ------
    GlioLoopError
        MODEL_INVALID where another network is installed under the candidate's version: the verdict is not about that;
        CORRECTION_WITHDRAWN.
    """
    plan.require_cases()
    card = ModelCard.model_validate_json((plan.candidate_folder / CARD).read_text())
    decision = Judgement.model_validate_json((plan.folder / "decision.json").read_text())
    registry = plan.registry()
    installed = {one.card.identity: one.card for one in registry.installed()}.get(card.identity)
    if installed is None:
        registry.import_model(plan.candidate_folder)
    elif installed.files != card.files:
        raise GlioLoopError("MODEL_INVALID", f"{card.identity} is installed already and is another network")
    in_use = registry.get(None).card.identity
    wanted = bool(promote and decision.passed)
    if wanted and in_use == plan.parent:
        registry.promote(card.identity)
    # In use already where the worker died between the promotion and its own note of it.
    promoted = wanted and in_use in (plan.parent, card.identity)
    return Registered(model=card.identity, parent=plan.parent, promoted=promoted, decision=decision)
