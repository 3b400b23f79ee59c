"""The durable workflows; importing this package makes them known to DBOS."""

from pipeline.jobs.workflows import (
    accept,
    check,
    corrections,
    course,
    deliver,
    edit,
    fetch,
    finetune,
    intake,
    notify,
    priors,
    retention,
    segment,
    syslog,
)  # fmt: skip

__all__ = [
    "accept", "check", "corrections", "course", "deliver", "edit", "fetch", "finetune", "intake", "notify", "priors",
    "retention", "segment", "syslog",
]  # fmt: skip
