"""What tests of the queue have in common."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.jobs.queue import JobQueue


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    """An empty queue of its own."""
    made = JobQueue(f"sqlite:///{tmp_path / 'queue.sqlite'}")
    made.make_tables()
    yield made
    made.close()
