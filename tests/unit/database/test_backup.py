"""The day's copy of the database holds what the node remembers."""

import shutil
import stat
from pathlib import Path

import sqlalchemy

from pipeline.audit import AuditTrail
from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.database.backup import back_up
from pipeline.database.engine import database_in


def test_a_copy_takes_the_place_of_the_database(tmp_path: Path) -> None:
    state = tmp_path / "state"
    engine = database_in(state)
    AuditTrail(engine).append("asked", "before", "node")
    name = Pseudonyms.of_installation(engine).patient("PAT-1")
    with engine.connect() as writer:  # somebody writes meanwhile
        writer.execute(sqlalchemy.text("BEGIN IMMEDIATE"))
        assert back_up(engine, state) == back_up(engine, state)
    copy = state / "backup" / "queue.sqlite"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [path.name for path in copy.parent.iterdir()] == ["queue.sqlite"]
    AuditTrail(engine).append("asked", "after", "node")
    for path in state.glob("queue.sqlite*"):
        path.unlink()
    shutil.copy2(copy, state)
    trail = AuditTrail(engine)
    assert [one.subject for one in trail.entries()] == ["before"]
    assert trail.verify() == []
    assert Pseudonyms.of_installation(engine).patient("PAT-1") == name
