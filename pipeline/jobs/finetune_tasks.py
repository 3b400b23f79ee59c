"""What the workflow of a fine-tuning has a child do beside its phases: see :mod:`pipeline.jobs.tasks`."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.child.task import Report
from pipeline.finetune.verdict import Registered
from pipeline.jobs.resources import settings

if TYPE_CHECKING:
    from pipeline.finetune.plan import FinetunePlan
    from pipeline.jobs.finetuning import FinetuneOptions


def plan(_report: Report, identity: str, options: "FinetuneOptions") -> "FinetunePlan":
    """Write the plan of a fine-tuning."""
    from pipeline.finetune.direct import plan_of

    asked = {key: value for key, value in (("steps", options.steps), ("learn_from", options.learn_from)) if value}
    return plan_of(settings(), identity, options.model, asked)


def register(_report: Report, folder: Path) -> Registered:
    """Install the candidate; put it to use only where the guard let it pass and the site wants that unasked."""
    from pipeline.finetune.direct import register
    from pipeline.finetune.plan import FinetunePlan

    return register(FinetunePlan.read(folder), settings().finetune.automatic_promotion)
