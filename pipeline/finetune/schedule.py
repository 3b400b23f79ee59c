"""Which corrections may be learnt from, and when there are enough of them. No torch and no numpy here."""

from collections.abc import Sequence as Ordered
from datetime import datetime
from typing import Any

from pipeline.corrections.record import CaseRecord
from pipeline.corrections.store import FeedbackStore
from pipeline.settings.finetune import FinetunePolicy


def usable(policy: FinetunePolicy, store: FeedbackStore) -> list[CaseRecord]:
    """Cases that may be learnt from or judged by: the newest version of each study, oldest first."""
    return [case for case in store.newest() if case.trusted or policy.learn_from == "all"]


def due(policy: FinetunePolicy, store: FeedbackStore, runs: Ordered[dict[str, Any]]) -> bool:
    """Whether enough new corrections came since the last fine-tuning was queued."""
    if not policy.after_corrections or any(run["state"] in ("queued", "running") for run in runs):
        return False
    since = datetime.fromisoformat(runs[0]["created"]) if runs else None
    new = [
        case
        for case in usable(policy, store)
        if case.kind == "corrected" and (since is None or datetime.fromisoformat(case.received) > since)
    ]
    return len(new) >= policy.after_corrections
