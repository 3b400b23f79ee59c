"""Which corrections may be learnt from, and when there are enough of them. No torch and no numpy here."""

from collections.abc import Collection
from datetime import datetime

from pipeline.corrections.readers import counting
from pipeline.corrections.record import CaseRecord
from pipeline.corrections.store import CorrectionStore
from pipeline.settings.finetune import FinetunePolicy


def usable(policy: FinetunePolicy, store: CorrectionStore) -> list[CaseRecord]:
    """Cases that may be learnt from or judged by, oldest first: of a study the consensus, else the newest version."""
    every = policy.learn_from == "all"
    return counting(store.cases(), lambda case: case.trusted or (every and case.kind != "holes_filled"))


def due(policy: FinetunePolicy, store: CorrectionStore, since: datetime | None, known: Collection[str] = ()) -> bool:
    """Whether there are enough new corrections.

    Parameters
    ----------
    since
        When the last fine-tuning was queued; None where there never was one.
    known
        Ids of those that it had all the same: it may have waited for its hours after it was queued.
    """
    if not policy.after_corrections:
        return False
    new = [
        case
        for case in usable(policy, store)
        if case.kind == "corrected"
        and case.id not in known
        and (since is None or datetime.fromisoformat(case.received) > since)
    ]
    return len(new) >= policy.after_corrections
