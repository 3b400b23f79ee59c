"""What waits for quiet hours: where they end first, it is put off once more; a person may end the waiting."""

import time
from datetime import datetime

import pytest

from pipeline.errors import GlioLoopError
from pipeline.jobs.finetuning import FinetuneBody, FinetuneOptions, FinetuneRuns
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import LOW_PRIORITY
from pipeline.jobs.quiet import put_off
from pipeline.jobs.request import JobRequest
from pipeline.names import Wait
from pipeline.settings.turns import Turns

HOUR = datetime.now().hour
#: Hours that do not come soon, and those that last.
FAR = Turns(quiet_hours=((HOUR + 12) % 24, (HOUR + 13) % 24))
NOW = Turns(quiet_hours=((HOUR + 22) % 24, (HOUR + 4) % 24))


def _enqueue(queue: JobQueue, number: int, priority: int, quiet_in: float | None) -> str:
    request = JobRequest(
        study=f"s{number}", study_instance_uid="1", decision={}, instances={}, model="m@1", destinations=None,
        origin="archive",
    )  # fmt: skip
    identity = f"{number:032x}"
    queue.enqueue_job(identity, request, priority, quiet_in)
    return identity


def _statuses(queue: JobQueue) -> dict[str, tuple[str, float]]:
    """DBOS's status, and the seconds until it is due, by id."""
    now = time.time()
    found = queue.client.list_workflows()
    return {
        one.workflow_id: (one.status, round((one.delay_until_epoch_ms or now * 1000) / 1000 - now)) for one in found
    }


def test_where_quiet_hours_end_nothing_more_is_begun(queue: JobQueue) -> None:
    archived, clinical, later = (
        _enqueue(queue, 1, LOW_PRIORITY, 0.0),
        _enqueue(queue, 2, 100, None),
        _enqueue(queue, 3, LOW_PRIORITY, 600),
    )
    learning = FinetuneRuns(queue, NOW).enqueue("night", quiet=True)
    asked = FinetuneRuns(queue, NOW).enqueue("day")
    assert put_off(queue.client, NOW.seconds_to_quiet(datetime.now())) == 0
    assert queue.waiting(put_off=False) == 2
    assert put_off(queue.client, 3600) == 2
    assert put_off(queue.client, 3600) == 0
    assert _statuses(queue) == {
        archived: ("DELAYED", 3600),
        clinical: ("ENQUEUED", 0),
        later: ("DELAYED", 600),
        learning: ("DELAYED", 3600),
        asked: ("ENQUEUED", 0),
    }
    # What has to wait for hours holds no learning up that a person asked for.
    assert (queue.waiting(), queue.waiting(put_off=False)) == (3, 1)

    queue.hasten(archived)
    queue.hasten(clinical)
    assert _statuses(queue)[archived] == ("DELAYED", 0)  # which DBOS takes for due
    queue.client._sys_db.transition_delayed_workflows()
    assert put_off(queue.client, 3600) == 0

    # One that a person has done again is not put off either.
    queue.cancel(later)
    queue.retry(later)
    assert put_off(queue.client, 3600) == 0


def test_a_fine_tuning_tells_what_it_waits_for(queue: JobQueue) -> None:
    body = FinetuneBody.model_validate({"steps": 5, "quiet": True})
    assert body.options == FinetuneOptions(steps=5)
    runs = FinetuneRuns(queue, FAR)
    night = runs.enqueue("night", body.options, quiet=body.quiet)
    day = runs.enqueue("day", asked_by="ann")
    seen = runs.run(night)
    assert (seen.state, seen.quiet, seen.asked_by, seen.waits_for, seen.paused) == (
        "queued", True, "", Wait.QUIET_HOURS, False,
    )  # fmt: skip
    assert seen.waits_until is not None
    until = datetime.fromisoformat(seen.waits_until).astimezone()
    assert (until.hour, until.minute) == ((HOUR + 12) % 24, 0)
    asked = runs.run(day)
    assert (asked.quiet, asked.asked_by, asked.waits_for, asked.waits_until) == (False, "ann", None, None)

    # At work, it looks again and again what comes first.
    assert (runs.waits_for(night), runs.waits_for(day)) == (Wait.QUIET_HOURS, None)
    assert FinetuneRuns(queue, NOW).waits_for(night) is None
    job = _enqueue(queue, 1, LOW_PRIORITY, 600)
    assert runs.waits_for(day) is None
    queue.hasten(job)
    queue.client._sys_db.transition_delayed_workflows()
    assert (runs.waits_for(day), runs.waits_for(night)) == (Wait.JOBS, Wait.QUIET_HOURS)

    runs.hasten(night)
    seen = runs.run(night)
    assert (seen.quiet, runs.waits_for(night)) == (False, Wait.JOBS)
    runs.cancel(night)
    with pytest.raises(GlioLoopError, match="JOB_STATE"):
        runs.hasten(night)
