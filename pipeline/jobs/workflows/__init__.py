"""The durable workflows; importing this package makes them known to DBOS."""

from pipeline.jobs.workflows import check, corrections, course, deliver, finetune, intake, priors, retention, segment

__all__ = ["check", "corrections", "course", "deliver", "finetune", "intake", "priors", "retention", "segment"]
