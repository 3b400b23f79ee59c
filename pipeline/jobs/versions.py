"""What workers of earlier versions queued or began, and what is not for them.

DBOS gives a worker what workers of its own version queued, and what the plugin queued only where its version counts as
the latest. So an earlier version that still runs beside this one ends what it has begun, and takes nothing that it
might not know how to read. This version goes on with all that earlier ones leave.
"""

from typing import Final

import sqlalchemy
from dbos import DBOSClient

from pipeline.jobs.queues import WORKFLOWS_VERSION

#: Every version that there was before this one.
EARLIER: Final = tuple(str(number) for number in range(1, int(WORKFLOWS_VERSION)))
#: Those whose jobs this one takes over.
UNDERSTOOD: Final = (*EARLIER, WORKFLOWS_VERSION)


def adopt_queued(client: DBOSClient) -> None:
    """Make what earlier versions queued, and nobody has begun, this version's own.

    What the plugin queues is for this version from then on, too: for DBOS the one that came last is the latest.
    """
    versions = [one["version_name"] for one in client.list_application_versions()]
    if WORKFLOWS_VERSION in versions and versions[0] in EARLIER:
        client.set_latest_application_version(WORKFLOWS_VERSION)
    table = client._sys_db.tables.workflow_status
    waiting = (table.c.application_version.in_(EARLIER), table.c.status.in_(("ENQUEUED", "DELAYED")))
    with client._sys_db.engine.begin() as connection:
        connection.execute(sqlalchemy.update(table).where(*waiting).values(application_version=WORKFLOWS_VERSION))


def adopt_begun(client: DBOSClient, executor: str) -> None:
    """Make what a worker that is no more began under an earlier version this version's own.

    It is begun anew: this version's steps need not be those that were recorded, and every step may be done twice.
    """
    tables = client._sys_db.tables
    status, steps = tables.workflow_status, tables.operation_outputs
    begun = (
        status.c.application_version.in_(EARLIER),
        status.c.status == "PENDING",
        status.c.executor_id == executor,
    )
    with client._sys_db.engine.begin() as connection:
        found = list(connection.execute(sqlalchemy.select(status.c.workflow_uuid).where(*begun)).scalars())
        connection.execute(sqlalchemy.delete(steps).where(steps.c.workflow_uuid.in_(found)))
        adopted = status.c.workflow_uuid.in_(found)
        connection.execute(sqlalchemy.update(status).where(adopted).values(application_version=WORKFLOWS_VERSION))
