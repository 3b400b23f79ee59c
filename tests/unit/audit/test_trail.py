"""The audit trail: events once, in order, and every kind of tampering found at its line."""

import json
import stat
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.audit import AuditTrail
from pipeline.cli.application import app
from pipeline.cli.audit import TAMPERED


def _filled(state: Path, count: int = 6) -> AuditTrail:
    trail = AuditTrail(state)
    for number in range(count):
        trail.append("received", f"study-{number}", "node", {"uid": f"1.2.{number}"})
    return trail


def test_whole_trail(tmp_path: Path) -> None:
    trail = _filled(tmp_path)
    assert trail.verify() == []
    assert [entry.number for entry in trail.entries()] == [1, 2, 3, 4, 5, 6]
    assert stat.S_IMODE(trail.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(trail.folder.stat().st_mode) == 0o700


def test_written_once(tmp_path: Path) -> None:
    first, second = AuditTrail(tmp_path), AuditTrail(tmp_path)
    assert first.append("stored", "job", "node", once="1.2.3") is not None
    assert second.append("stored", "job", "node", once="1.2.3") is None
    assert second.append("stored", "job", "node", once="1.2.4") is not None
    assert first.append("forwarded", "job", "node", once="1.2.3") is not None
    assert [entry.event for entry in first.entries()] == ["stored", "stored", "forwarded"]
    assert first.verify() == []


def test_writers_at_once(tmp_path: Path) -> None:
    def write(name: str) -> None:
        trail = AuditTrail(tmp_path)
        for number in range(25):
            trail.append("asked", f"{name}-{number}", name)
            trail.append("ended", f"shared-{number}", name, once="x")

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trail = AuditTrail(tmp_path)
    assert trail.verify() == []
    assert sum(1 for _ in trail.entries()) == 3 * 25 + 25


def _change(lines: list[bytes]) -> int:
    lines[2] = lines[2].replace(b"1.2.2", b"1.2.9")
    return 3


def _change_and_rehash(lines: list[bytes]) -> int:
    from pipeline.audit import Entry  # noqa: PLC0415

    entry = Entry(**json.loads(lines[2]) | {"who": "nobody"})
    lines[2] = Entry(**json.loads(entry.as_line()) | {"digest": entry.computed_digest()}).as_line()
    return 4


def _remove(lines: list[bytes]) -> int:
    del lines[2]
    return 3


def _swap(lines: list[bytes]) -> int:
    lines[2], lines[3] = lines[3], lines[2]
    return 3


def _cut(lines: list[bytes]) -> int:
    del lines[-2:]
    return 5


def _garble(lines: list[bytes]) -> int:
    lines[4] = b"{}\n"
    return 5


def _cut_in_a_line(lines: list[bytes]) -> int:
    lines[-1] = lines[-1][:40]
    return 6


def _insert(lines: list[bytes]) -> int:
    lines.insert(3, lines[2])
    return 4


def _empty(lines: list[bytes]) -> int:
    lines.clear()
    return 1


@pytest.mark.parametrize(
    "tamper", [_change, _change_and_rehash, _remove, _swap, _cut, _garble, _cut_in_a_line, _insert, _empty]
)
def test_tampering(tmp_path: Path, tamper: object, monkeypatch: pytest.MonkeyPatch) -> None:
    trail = _filled(tmp_path)
    lines = trail.file.read_bytes().splitlines(keepends=True)
    line = tamper(lines)  # type: ignore[operator]
    trail.file.write_bytes(b"".join(lines))
    (fault,) = AuditTrail(tmp_path).verify()
    assert fault.line == line
    monkeypatch.setenv("GLIOLOOP_STATE_FOLDER", str(tmp_path))
    result = CliRunner().invoke(app, ["audit", "verify"])
    assert result.exit_code == TAMPERED
    assert f"line {line}:" in result.stderr


def test_power_cut_in_a_line(tmp_path: Path) -> None:
    trail = _filled(tmp_path)
    with trail.file.open("ab") as file:
        file.write(b'{"number":7,"at":"20')
    again = AuditTrail(tmp_path)
    again.append("ended", "job", "node")
    assert again.verify() == []
    assert [entry.event for entry in again.entries()][-2:] == ["repaired", "ended"]


def test_changed_head(tmp_path: Path) -> None:
    trail = _filled(tmp_path)
    head = trail.folder / "head.json"
    head.write_text(json.dumps(json.loads(head.read_text()) | {"digest": "ab" * 32}))
    (fault,) = AuditTrail(tmp_path).verify()
    assert fault.line == 7


def test_a_cut_line_is_dropped_but_not_forgotten(tmp_path: Path) -> None:
    """Somebody cuts within the last line; the node goes on writing, and the loss stays visible."""
    trail = _filled(tmp_path)
    trail.file.write_bytes(trail.file.read_bytes()[:-30])
    again = AuditTrail(tmp_path)
    again.append("ended", "job", "node")
    (fault,) = again.verify()
    assert "1 lines" in fault.what


def test_unknown_event(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="invented"):
        AuditTrail(tmp_path).append("invented", "job", "node")


def test_cut_lines_are_not_covered_up_by_the_next(tmp_path: Path) -> None:
    """The node goes on writing after its trail was cut: the cut stays visible."""
    trail = _filled(tmp_path)
    lines = trail.file.read_bytes().splitlines(keepends=True)
    trail.file.write_bytes(b"".join(lines[:3]))
    again = AuditTrail(tmp_path)
    again.append("ended", "job", "node")
    (fault,) = again.verify()
    assert fault.line == 4
    assert "3 lines" in fault.what


def test_power_cut_between_line_and_head(tmp_path: Path) -> None:
    trail = _filled(tmp_path)
    head = (trail.folder / "head.json").read_bytes()
    trail.append("ended", "job", "node")
    (trail.folder / "head.json").write_bytes(head)
    assert AuditTrail(tmp_path).verify() == []
