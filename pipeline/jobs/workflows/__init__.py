"""The durable workflows; importing this package makes them known to DBOS."""

from pipeline.jobs.workflows import (
    check,
    corrections,
    course,
    deliver,
    finetune,
    intake,
    notify,
    priors,
    retention,
    segment,
)  # fmt: skip

__all__ = [
    "check", "corrections", "course", "deliver", "finetune", "intake", "notify", "priors", "retention", "segment",
]  # fmt: skip
