"""The audit trail: events once, in order, and every kind of tampering found at its line."""

import hashlib
import json
import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, update
from typer.testing import CliRunner

from pipeline.audit import AuditTrail
from pipeline.cli.application import app
from pipeline.cli.audit import TAMPERED
from pipeline.database.engine import database_in
from pipeline.database.tables import AUDIT, AUDIT_HEAD
from pipeline.database.transactions import Tables, writing


def _filled(state: Path, count: int = 6) -> AuditTrail:
    trail = AuditTrail(database_in(state))
    for number in range(count):
        trail.append("received", f"study-{number}", "node", {"uid": f"1.2.{number}"})
    return trail


def test_whole_trail(tmp_path: Path) -> None:
    trail = _filled(tmp_path / "state")
    assert trail.verify() == []
    assert [entry.number for entry in trail.entries()] == [1, 2, 3, 4, 5, 6]
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    files = list((tmp_path / "state").iterdir())
    assert files and {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_written_once(tmp_path: Path) -> None:
    first, second = AuditTrail(database_in(tmp_path)), AuditTrail(database_in(tmp_path))
    assert first.append("stored", "job", "node", once="1.2.3") is not None
    assert second.append("stored", "job", "node", once="1.2.3") is None
    assert second.append("stored", "job", "node", once="1.2.4") is not None
    assert first.append("forwarded", "job", "node", once="1.2.3") is not None
    assert [entry.event for entry in first.entries()] == ["stored", "stored", "forwarded"]
    assert first.verify() == []


def test_writers_at_once(tmp_path: Path) -> None:
    def write(name: str) -> None:
        trail = AuditTrail(database_in(tmp_path))
        for number in range(25):
            trail.append("asked", f"{name}-{number}", name)
            trail.append("ended", f"shared-{number}", name, once="x")

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trail = AuditTrail(database_in(tmp_path))
    assert trail.verify() == []
    assert sum(1 for _ in trail.entries()) == 3 * 25 + 25


def _change(lines: list[str]) -> int:
    lines[2] = lines[2].replace("1.2.2", "1.2.9")
    return 3


def _change_and_rehash(lines: list[str]) -> int:
    from pipeline.audit import Entry  # noqa: PLC0415

    entry = Entry(**json.loads(lines[2]) | {"who": "nobody"})
    lines[2] = Entry(**json.loads(entry.as_line()) | {"digest": entry.computed_digest()}).as_line()
    return 4


def _remove(lines: list[str]) -> int:
    del lines[2]
    return 3


def _swap(lines: list[str]) -> int:
    lines[2], lines[3] = lines[3], lines[2]
    return 3


def _cut(lines: list[str]) -> int:
    del lines[-2:]
    return 5


def _garble(lines: list[str]) -> int:
    lines[4] = "{}"
    return 5


def _cut_in_a_line(lines: list[str]) -> int:
    lines[-1] = lines[-1][:40]
    return 6


def _insert(lines: list[str]) -> int:
    lines.insert(3, lines[2])
    return 4


def _empty(lines: list[str]) -> int:
    lines.clear()
    return 1


def _rewrite(state: Path, lines: list[str]) -> None:
    """What somebody can do who may write to the database."""
    with database_in(state).begin() as connection:
        connection.execute(delete(AUDIT))
        for number, line in enumerate(lines, 1):
            connection.execute(insert(AUDIT).values(number=number, line=line))


@pytest.mark.parametrize(
    "tamper", [_change, _change_and_rehash, _remove, _swap, _cut, _garble, _cut_in_a_line, _insert, _empty]
)
def test_tampering(tmp_path: Path, tamper: object, monkeypatch: pytest.MonkeyPatch) -> None:
    trail = _filled(tmp_path)
    lines = list(trail.lines())
    line = tamper(lines)  # type: ignore[operator]
    _rewrite(tmp_path, lines)
    (fault,) = trail.verify()
    assert fault.line == line
    monkeypatch.setenv("GLIOLOOP_STATE_FOLDER", str(tmp_path))
    result = CliRunner().invoke(app, ["audit", "verify"])
    assert result.exit_code == TAMPERED
    assert f"line {line}:" in result.stderr


def test_a_row_that_lacks(tmp_path: Path) -> None:
    trail = _filled(tmp_path)
    with database_in(tmp_path).begin() as connection:
        connection.execute(delete(AUDIT).where(AUDIT.c.number == 3))
    (fault,) = trail.verify()
    assert fault.line == 3


def test_lines_as_they_were_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program needs SHA-256 and JSON, and nothing of ours."""
    _filled(tmp_path)
    monkeypatch.setenv("GLIOLOOP_STATE_FOLDER", str(tmp_path))
    previous = "0" * 64
    assert CliRunner().invoke(app, ["audit", "export", str(tmp_path / "trail")]).exit_code == 0
    for line in (tmp_path / "trail").read_text().splitlines():
        content = json.loads(line)
        digest = content.pop("digest")
        assert content["previous"] == previous
        previous = hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        assert digest == previous


def test_changed_head(tmp_path: Path) -> None:
    trail = _filled(tmp_path)
    with database_in(tmp_path).begin() as connection:
        connection.execute(update(AUDIT_HEAD).values(digest="ab" * 32))
    (fault,) = trail.verify()
    assert fault.line == 7


def test_what_is_not_done_is_not_on_record(tmp_path: Path) -> None:
    trail = _filled(tmp_path)
    with pytest.raises(RuntimeError), writing(database_in(tmp_path), Tables.PROMOTIONS) as connection:
        trail.append("promoted", "net@1", "node", within=connection)
        raise RuntimeError
    assert trail.verify() == [] and len(list(trail.entries())) == 6


def test_unknown_event(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="invented"):
        AuditTrail(database_in(tmp_path)).append("invented", "job", "node")


def test_cut_lines_are_not_covered_up_by_the_next(tmp_path: Path) -> None:
    """The node goes on writing after its trail was cut: the cut stays visible."""
    trail = _filled(tmp_path)
    _rewrite(tmp_path, list(trail.lines())[:3])
    trail.append("ended", "job", "node")
    (fault,) = trail.verify()
    assert fault.line == 4
    assert "3 lines" in fault.what
