"""The durable workflows; importing this package makes them known to DBOS."""

from pipeline.jobs.workflows import check, corrections, deliver, finetune, intake, retention, segment

__all__ = ["check", "corrections", "deliver", "finetune", "intake", "retention", "segment"]
