"""The durable workflow that tells the audit trail to a syslog server: what it has not taken is told the next minute."""

from datetime import datetime
from typing import Any, Final

import structlog
from dbos import DBOS

from pipeline.database.installation import noted
from pipeline.errors import GlioLoopError
from pipeline.jobs.queues import AUDIT_WORKFLOW
from pipeline.jobs.resources import settings
from pipeline.jobs.workflows.resources import audit, database
from pipeline.jobs.workflows.schedules import schedule
from pipeline.jobs.workflows.steps import step
from pipeline.notify.syslog import send

log = structlog.get_logger()

_EVERY_MINUTE: Final = "* * * * *"
_AT_ONCE: Final = 500
_TOLD: Final = "audit_syslog"


@step("audit-syslog")
def _tell() -> int:
    """Tell what was not told yet; returns the number of entries."""
    told = 0
    try:
        while entries := audit().after(int(noted(database(), _TOLD) or 0), _AT_ONCE):
            send(entries, settings().audit_syslog)
            noted(database(), _TOLD, str(entries[-1].number))
            told += len(entries)
    except GlioLoopError as error:
        log.warning("audit messages not told", code=error.code, detail=error.detail)
    return told


@DBOS.workflow(name=AUDIT_WORKFLOW)
def audit_syslog(_at: datetime, _context: Any) -> None:
    """Tell the audit trail's news."""
    if settings().audit_syslog.host:
        _tell()


def schedule_audit_syslog() -> None:
    """Tell it every minute, where somebody wants to know."""
    if settings().audit_syslog.host:
        schedule("glioloop-audit-syslog", audit_syslog, _EVERY_MINUTE)
