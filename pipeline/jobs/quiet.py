"""What waits for quiet hours: put off when it is queued, put off again where they end before its turn comes."""

import time
from typing import Final

import sqlalchemy
from dbos import DBOSClient

from pipeline.jobs.queues import JOBS_QUEUE, TRAINING_QUEUE

#: Attribute of a workflow: whether it waits for quiet hours. A person may end that.
QUIET: Final = "quiet"


def put_off(client: DBOSClient, seconds: float) -> int:
    """Put off what waits for quiet hours and was not begun in those that are over.

    Parameters
    ----------
    seconds
        Until the next quiet hours; 0 within them.

    Returns
    -------
    int
        How many.
    """
    if not seconds:
        return 0
    database = client._sys_db
    table = database.tables.workflow_status
    # In one statement: what a worker takes out of the queue at the same moment is either begun or put off.
    waits = (
        table.c.status == "ENQUEUED",
        table.c.queue_name.in_((JOBS_QUEUE, TRAINING_QUEUE)),
        table.c.attributes[QUIET].as_boolean(),
    )
    until = int((time.time() + seconds) * 1000)
    change = sqlalchemy.update(table).where(*waits).values(status="DELAYED", delay_until_epoch_ms=until)
    with database.engine.begin() as connection:
        return int(connection.execute(change).rowcount)


def hasten(client: DBOSClient, identity: str) -> None:
    """Have what waits for quiet hours, or was stopped by their end, done as soon as it is its turn."""
    found = client.list_workflows(
        workflow_ids=[identity], status=["ENQUEUED", "DELAYED", "PENDING"], load_input=False, load_output=False
    )
    if found and (found[0].attributes or {}).get(QUIET):
        client.update_workflow_attributes(identity, {QUIET: False}, merge=True)
        client.set_workflow_delay(identity, delay_seconds=0)
