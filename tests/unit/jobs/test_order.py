"""Which of a study's jobs is the latest."""

from pathlib import Path

import sqlalchemy

from pipeline.case.identity import study_prefix
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.request import JobRequest
from pipeline.settings import Settings


def test_of_two_jobs_of_one_second_the_one_that_went_on_is_the_latest(tmp_path: Path) -> None:
    """As where a person cancels a job and has the study done otherwise at once."""
    queue = JobQueue(Settings(state_folder=tmp_path).queue_database_url)
    queue.make_tables()
    request = JobRequest(
        study="s", study_instance_uid="1.2", decision={}, instances={}, model="m", destinations=None, origin="rest"
    )
    jobs = [study_prefix("s") + one * (32 - len(study_prefix("s"))) for one in "abc"]
    for job in jobs:
        queue.enqueue_job(job, request)
    for last in jobs:
        with queue.engine.begin() as connection:
            connection.execute(sqlalchemy.text("UPDATE workflow_status SET created_at = 1000, updated_at = 1000"))
            later = sqlalchemy.text("UPDATE workflow_status SET updated_at = 9000 WHERE workflow_uuid = :job")
            connection.execute(later, {"job": last})
        assert queue.jobs("s")[0].id == last
    queue.close()
