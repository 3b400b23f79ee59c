"""The durable workflows; importing this package makes them known to DBOS."""

from pipeline.jobs.workflows import (
    check,
    corrections,
    course,
    deliver,
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
    "check", "corrections", "course", "deliver", "fetch", "finetune", "intake", "notify", "priors", "retention",
    "segment", "syslog",
]  # fmt: skip
