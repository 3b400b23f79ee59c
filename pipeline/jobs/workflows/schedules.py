"""Workflows that begin by the clock."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from dbos import DBOS


def schedule(name: str, function: Callable[[datetime, Any], None], rhythm: str, context: str | None = None) -> None:
    """Have a workflow begun again and again.

    Parameters
    ----------
    name
        Of the schedule.
    rhythm
        As cron writes it.
    context
        Given to the workflow beside the time.
    """
    DBOS.apply_schedules([{"schedule_name": name, "workflow_fn": function, "schedule": rhythm, "context": context}])


def daily(at: str) -> str:
    """Return the rhythm of every day at a time, ``HH:MM``.

    Examples
    --------
    >>> daily("06:05")
    '5 6 * * *'
    """
    hour, minute = at.split(":")
    return f"{int(minute)} {int(hour)} * * *"
