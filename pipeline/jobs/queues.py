"""Names of the queues and workflows, as DBOS knows them."""

from typing import Final

APPLICATION: Final = "glioloop"
#: A whole number, raised when what is queued, or the steps of a workflow, are no longer what the version before knows:
#: its workers then leave alone what this one queues (pipeline/jobs/versions.py). Not when results change: a job that
#: waits through an update is done by the new pipeline.
WORKFLOWS_VERSION: Final = "4"
JOBS_QUEUE: Final = "glioloop-jobs"
INTAKE_QUEUE: Final = "glioloop-intake"
DELIVERY_QUEUE: Final = "glioloop-delivery"
CORRECTIONS_QUEUE: Final = "glioloop-feedback"
TRAINING_QUEUE: Final = "glioloop-training"
CHECK_QUEUE: Final = "glioloop-check"
PRIORS_QUEUE: Final = "glioloop-priors"
NOTIFY_QUEUE: Final = "glioloop-notify"
FETCH_QUEUE: Final = "glioloop-fetch"
QUEUES: Final = (
    JOBS_QUEUE, INTAKE_QUEUE, DELIVERY_QUEUE, CORRECTIONS_QUEUE, TRAINING_QUEUE, CHECK_QUEUE, PRIORS_QUEUE,
    NOTIFY_QUEUE, FETCH_QUEUE,
)  # fmt: skip

SEGMENT_WORKFLOW: Final = "segment"
INTAKE_WORKFLOW: Final = "intake"
RESCAN_WORKFLOW: Final = "rescan"
DELIVER_WORKFLOW: Final = "deliver"
CORRECTIONS_WORKFLOW: Final = "feedback"
ACCEPT_WORKFLOW: Final = "accept"
EDIT_WORKFLOW: Final = "edit"
FINETUNE_WORKFLOW: Final = "finetune"
CHECK_WORKFLOW: Final = "check"
RETENTION_WORKFLOW: Final = "retention"
COURSE_WORKFLOW: Final = "course"
PRIORS_WORKFLOW: Final = "priors"
NOTIFY_WORKFLOW: Final = "notify"
WATCH_WORKFLOW: Final = "watch"
DIGEST_WORKFLOW: Final = "digest"
AUDIT_WORKFLOW: Final = "audit-syslog"
FETCH_WORKFLOW: Final = "fetch"
FETCH_SCHEDULE_WORKFLOW: Final = "fetch-scheduled"

#: Clinical jobs run before fine-tuning; DBOS takes the lowest number first.
DEFAULT_PRIORITY: Final = 100
#: Studies that a site's rule puts before all others.
URGENT_PRIORITY: Final = 10
#: Earlier studies that are delineated again wait for every other one.
LOW_PRIORITY: Final = 5000

#: What asked for a job that began before its study was stable.
READY: Final = "ready"
#: What asked for a job of a run over the whole archive: it is no news to anybody.
ARCHIVE: Final = "archive"
