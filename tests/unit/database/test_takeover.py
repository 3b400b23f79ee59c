"""What an earlier version kept in files is in the tables after the first start: once, all of it or nothing."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Engine, func, select
from typer.testing import CliRunner

from pipeline.audit import AuditTrail
from pipeline.cli.application import app
from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.store import CorrectionStore
from pipeline.database import takeover
from pipeline.database.engine import _prepared, database_in, made_by_worker
from pipeline.database.tables import AUDIT, TAKEN_OVER
from pipeline.errors import GlioLoopError
from pipeline.jobs.changes import read_cursor
from pipeline.jobs.queue import JobQueue
from pipeline.registry import Registry
from pipeline.settings import load_settings
from tests.unit.database.former import FACTS, unpack

FILES = (
    "audit/trail.jsonl", "audit/head.json", "models/current.json", "changes.seq",
    "feedback/pseudonym.key", "feedback/ledger.jsonl", "feedback/seen.jsonl",
)  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return unpack(tmp_path / "state")


#: Fields of a case that came after the files which are taken over.
SINCE = {"notes", "reader", "consensus_of", "agreement"}


def _check(engine: Engine, state: Path) -> None:
    trail = AuditTrail(engine)
    assert trail.verify() == []
    assert (len(list(trail.entries())), trail.head()) == (FACTS["audit_lines"], FACTS["audit_head"])
    registry = Registry(state / "none", state, engine)
    assert registry.get(None).card.identity == FACTS["current"]
    store = CorrectionStore(state / "feedback", engine)
    assert [case.model_dump(mode="json", exclude=SINCE) for case in store.cases()] == FACTS["cases"]
    for case in store.cases():
        assert store.check(case)
    (gone,) = FACTS["ledger"]
    assert [vars(one) for one in store.gone()] == [gone] and store.was_deleted(gone["fingerprint"])
    assert sorted((one.as_json() for one in store.verdicts().values()), key=str) == sorted(FACTS["seen"], key=str)
    pseudonyms = Pseudonyms.of_installation(engine)
    assert pseudonyms.patient("GLIOLOOP-SAMPLE") == FACTS["pseudonym_of"]["patient"]
    assert list(store.of_studies([FACTS["pseudonym_of"]["study"]]))


def test_nothing_is_lost(state: Path) -> None:
    files = {file: (state / file).read_bytes() for file in FILES}
    engine = database_in(state)
    _check(engine, state)
    assert read_cursor(engine) == int(files["changes.seq"])
    assert {file: (state / takeover.KEPT / file).read_bytes() for file in FILES} == files
    assert not any((state / file).exists() for file in FILES)
    # It goes on from there.
    trail = AuditTrail(engine)
    trail.append("ended", "job", "node")
    assert trail.verify() == []
    assert trail.append("corrected", "instance-0", "worker", once="0") is None, "written by the earlier version"
    registry = Registry(state / "none", state, engine)
    assert [registry.rollback().card.identity] == FACTS["promotions"][-2:-1]
    store = CorrectionStore(state / "feedback", engine)
    store.delete_patient(FACTS["pseudonym_of"]["patient"])
    assert [path.name for path in store.cases_folder.iterdir()] == [case.id for case in store.cases()]


def test_jobs_of_the_earlier_version_are_listed(state: Path) -> None:
    queue = JobQueue(f"sqlite:///{state / 'queue.sqlite'}")
    queue.make_tables()
    found = {job["state"]: job for job in (one.as_json() for one in queue.jobs())}
    assert sorted(found) == ["done", "queued", "refused", "running"]
    assert found["done"]["result"]["objects"]["rtstruct"]["sop_instance_uid"]
    assert found["done"]["deliveries"]["workstation"]["state"] == "done"
    assert found["refused"]["error"]["code"] == "SEQUENCE_MISSING"
    queue.close()


def test_once_whoever_comes_first(state: Path) -> None:
    def open_anew(_: int) -> None:
        _prepared.cache_clear()
        database_in(state)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(open_anew, range(4)))
    _check(database_in(state), state)


def test_all_or_nothing(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    last = "feedback/seen.jsonl"
    with monkeypatch.context() as patch, pytest.raises(OSError, match="space"):
        patch.setitem(takeover._FILES, last, fail)
        database_in(state)
    assert all((state / file).exists() for file in FILES)
    plain = sqlalchemy.create_engine(f"sqlite:///{state / 'queue.sqlite'}")
    with plain.connect() as connection:
        assert connection.execute(select(func.count()).select_from(AUDIT)).scalar() == 0
        assert connection.execute(select(func.count()).select_from(TAKEN_OVER)).scalar() == 0
    _check(database_in(state), state)


def test_a_process_that_died_before_it_moved_the_files(state: Path, tmp_path: Path) -> None:
    former = shutil.copytree(state, tmp_path / "former")
    engine = database_in(state)
    store = CorrectionStore(state / "feedback", engine)
    store.delete(store.cases()[0].id)
    left = [case.id for case in store.cases()]
    for file in FILES:
        shutil.copy2(former / file, state / file)
    _prepared.cache_clear()
    assert database_in(state).url == engine.url
    assert [case.id for case in store.cases()] == left, "what was deleted since does not come back"
    assert AuditTrail(engine).verify() == []
    assert not any((state / file).exists() for file in FILES)


def test_the_plugin_waits_for_the_worker(state: Path) -> None:
    settings = load_settings({"StateFolder": str(state)})
    with pytest.raises(GlioLoopError) as early:
        made_by_worker(settings)
    assert early.value.code == "NODE_STARTING"
    database_in(state)
    _check(made_by_worker(settings), state)


def test_a_command_may_come_before_the_node(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIOLOOP_STATE_FOLDER", str(state))
    listed = json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).stdout)
    assert [one["version"] for one in listed if one["current"]] == [FACTS["current"].partition("@")[2]]
    assert json.loads(CliRunner().invoke(app, ["audit", "verify", "--json"]).stdout)["lines"] == FACTS["audit_lines"]


@pytest.mark.parametrize("damage", ["cut", "torn", "changed", "no trail"])
def test_damage_is_taken_over_as_damage(state: Path, damage: str) -> None:
    file = state / "audit" / "trail.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    match damage:
        case "cut":
            file.write_bytes(b"".join(lines[:-3]))
        case "torn":
            file.write_bytes(file.read_bytes()[:-30])
        case "changed":
            file.write_bytes(b"".join([*lines[:4], lines[4].replace(b'"who":"', b'"who":"x'), *lines[5:]]))
        case _:
            file.unlink()
    trail = AuditTrail(database_in(state))
    for _ in range(2):
        (fault, *_rest) = trail.verify()
        assert fault.line == {"cut": 24, "torn": 26, "changed": 5, "no trail": 1}[damage]
        trail.append("ended", "job", "node")


def test_a_killed_process_leaves_nothing_half(state: Path) -> None:
    """Killed in the middle of the transaction."""
    program = (
        "import os, signal, sys; from pathlib import Path; from pipeline.database import takeover, engine;"
        "takeover._FILES['feedback/seen.jsonl'] = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "engine.database_in(Path(sys.argv[1]))"
    )
    assert subprocess.run([sys.executable, "-c", program, str(state)], check=False).returncode == -9
    _check(database_in(state), state)
