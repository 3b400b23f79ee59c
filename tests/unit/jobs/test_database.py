"""The node's tables on both databases: made once whoever comes first, and what is asked of them afterwards."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy

from pipeline.audit import AuditTrail
from pipeline.case.identity import content_of, job_id
from pipeline.corrections.review import ReviewState
from pipeline.corrections.store import CorrectionStore
from pipeline.database.engine import database_in, database_of
from pipeline.database.tables import CASES, MIGRATED, MIGRATIONS, TAKEN_OVER
from pipeline.jobs.changes import ChangeCursor, read_cursor
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.request import DeliveryTry, JobRequest
from pipeline.jobs.workflows.retention import clean
from pipeline.jobs.worklist import Order, WorklistQuery
from pipeline.names import JobState
from pipeline.node import LOOPBACK, free_port
from pipeline.registry import Registry
from pipeline.settings import load_settings
from tests.unit.database.former import FACTS, unpack

_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A server of this test's own, on loopback."""
    if not _POSTGRES:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory() as folder:
        yield from _served(Path(folder), free_port())


def _served(folder: Path, port: int) -> Iterator[str]:
    # PostgreSQL refuses to run as root; pytest's own folders let no other user in.
    other = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if other:
        shutil.chown(folder, "postgres")
    made = subprocess.run(
        [*other, _POSTGRES[-1] / "initdb", "-D", folder / "data", "-A", "trust", "-U", "glioloop", "-N"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if made.returncode:
        pytest.skip(f"PostgreSQL cannot be set up here: {made.stderr[-200:]}")
    options = ["-c", f"port={port}", "-c", f"listen_addresses={LOOPBACK}", "-c", f"unix_socket_directories={folder}"]
    with subprocess.Popen(
        [*other, _POSTGRES[-1] / "postgres", "-D", folder / "data", "-F", *options], cwd="/", stderr=subprocess.DEVNULL
    ) as server:
        try:
            ready = [_POSTGRES[-1] / "pg_isready", "-q", "-h", LOOPBACK, "-p", str(port)]
            while subprocess.run(ready, check=False).returncode and server.poll() is None:
                time.sleep(0.2)
            yield f"postgresql://glioloop@{LOOPBACK}:{port}/glioloop"
        finally:
            server.terminate()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'queue.sqlite'}"
    server = sqlalchemy.make_url(request.getfixturevalue("postgres"))
    everything = server.set(drivername="postgresql+psycopg", database="postgres")
    administration = sqlalchemy.create_engine(everything, isolation_level="AUTOCOMMIT")
    name = f"glioloop_{uuid.uuid4().hex}"
    with administration.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    administration.dispose()
    return server.set(database=name).render_as_string()


def _request(images: list[str], model: str = "net@1") -> JobRequest:
    return JobRequest(
        study="study",
        study_instance_uid="1.2",
        decision={},
        instances={"1.2.3": images},
        model=model,
        destinations=None,
        origin="stable",
        content=content_of(images),
    )


def test_workers_that_start_at_once_and_what_they_then_share(url: str, tmp_path: Path) -> None:
    queues = [JobQueue(url) for _ in range(3)]
    threads = [threading.Thread(target=one.make_tables) for one in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue, other, _ = queues
    other.require_tables()
    with queue.engine.connect() as connection:
        assert list(connection.execute(sqlalchemy.select(MIGRATED.c.version)).scalars()) == [
            number + 1 for number in range(len(MIGRATIONS))
        ]

    class _Nothing:
        def get(self, _path: str) -> object:
            return {"Changes": [], "Done": True, "Last": 0}

        def post(self, _path: str, _body: str | bytes) -> object:
            return None

    cursor = ChangeCursor(queue.engine, _Nothing())
    cursor.move(5)
    cursor.move(9)
    cursor.note_inspection("study", 12)
    assert read_cursor(other.engine) == 9

    identity = job_id("study", ["a", "b"], "net@1", {})
    queue.enqueue_job(identity, _request(["a", "b"]))
    assert other.same_input(_request(["b", "a"], "net@2")) == identity
    assert other.same_input(_request(["a"])) is None
    one = DeliveryTry(job=identity, destination="w", resources=["a"])
    queue.client.enqueue(one.options(3600), one.model_dump())
    queue.cancel(identity)
    settings = load_settings({"StateFolder": str(tmp_path), "Retention": {"JobDays": 1, "LookDays": 1}})
    done = clean(settings, other, AuditTrail(database_in(tmp_path)), time.time() + 2 * 86_400)
    assert done["jobs"] == 1
    assert queue.job(identity) is None and not queue.client.list_workflows(workflow_ids=[f"{identity}.w.1"])
    assert queue.same_input(_request(["a", "b"], "net@3")) == identity
    for each in queues:
        each.close()


#: What a process on a host writes: events of its own, events that only one host may write, a network put to use.
_HOST = """
import sys
from pathlib import Path
from pipeline.audit import AuditTrail
from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.database.engine import database_of
from pipeline.database.installation import installation_id
from pipeline.registry import Registry
from pipeline.registry import Registry
from pipeline.settings import load_settings
from tests.unit.database.former import FACTS, unpack
settings = load_settings()
database = database_of(settings)
trail = AuditTrail(database)
for number in range(20):
    trail.append("asked", f"{settings.state_folder.name}-{number}", "host")
    trail.append("ended", f"shared-{number}", "host", once="x")
print(Pseudonyms.of_installation(database).patient("GLIOLOOP-SAMPLE"), installation_id(database))
"""


def test_hosts_that_share_nothing_but_the_database(url: str, tmp_path: Path) -> None:
    """Two hosts begin at once; the first had an earlier version, and so had the other."""
    folders = [unpack(tmp_path / name) for name in ("a", "b")]
    for other in ("audit/trail.jsonl", "audit/head.json", "feedback/pseudonym.key"):
        (folders[1] / other).unlink()
    AuditTrail(database_in(tmp_path / "c")).append("asked", "elsewhere", "node")
    (folders[1] / "audit" / "trail.jsonl").write_text("\n".join(AuditTrail(database_in(tmp_path / "c")).lines()) + "\n")
    (folders[1] / "models" / "current.json").write_text('[{"model": "other@1", "at": "2026-01-01T00:00:00+00:00"}]')
    settings = [load_settings({"StateFolder": str(folder), "DatabaseUrl": url}) for folder in folders]
    database_of(settings[0])
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", _HOST],
            env=os.environ | {"GLIOLOOP_STATE_FOLDER": str(folder), "GLIOLOOP_DATABASE_URL": url},
            stdout=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    said = [host.communicate()[0] for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0]
    assert said[0] == said[1] and said[0].startswith(FACTS["pseudonym_of"]["patient"])
    for one in settings:
        engine = database_of(one)
        trail = AuditTrail(engine)
        assert trail.verify() == []
        assert len(list(trail.entries())) == FACTS["audit_lines"] + 2 * 20 + 20
        assert Registry(one.models_folder, one.state_folder, engine).get(None).card.identity == FACTS["current"]
        assert len(CorrectionStore(one.feedback_folder, engine).cases()) == len(FACTS["cases"])
    with engine.connect() as connection:
        left = [row.file for row in connection.execute(sqlalchemy.select(TAKEN_OVER)) if "left" in row.what]
    assert sorted(left) == ["audit/trail.jsonl", "models/current.json"]


def test_lists_of_jobs_are_searched_and_sorted(url: str) -> None:
    queue = JobQueue(url)
    queue.make_tables()
    queue.make_tables()
    for number in range(3):
        queue.enqueue_job(f"{number:032x}", _request([]).model_copy(update={"study": f"study-{number}"}), 100 - number)
    record = {"job": f"{1:032x}", "kind": "corrected", "received": "2026-01-02T00:00:00+00:00"}
    row = {"id": "a-v1", "patient": "p", "study": "s", "fingerprint": "f", "bytes": 1, "record": json.dumps(record)}
    with queue.engine.begin() as connection:
        connection.execute(sqlalchemy.insert(CASES).values(**row))
    found = {order: queue.worklist.page(WorklistQuery(), order, 9, 0, lambda _: {}) for order in Order}
    assert all(sorted(one) == [f"{number:032x}" for number in range(3)] for one in found.values())
    assert found[Order.PRIORITY][0] == f"{2:032x}"
    everything = WorklistQuery(
        study="study-1", studies=("study-1", "study-2"), since=date(2020, 1, 1), until=date(2090, 1, 1), urgent=True,
        states=tuple(JobState), reviews=tuple(ReviewState),
    )  # fmt: skip
    assert [one.job for one in queue.worklist.rows(everything)] == [f"{1:032x}"]
    assert queue.worklist.counts(everything).states == {JobState.QUEUED: 1}
    assert queue.worklist.page(WorklistQuery(flag="any", least_ml=1, most_ml=2), Order.DATE, 9, 0, lambda _: {}) == []
    assert queue.worklist.page(WorklistQuery(flag="none", studies=()), Order.URGENT, 9, 0, lambda _: {}) == []
    queue.close()
