"""A backup of a node's state, and its way back."""

from pathlib import Path

import pytest

from pipeline.audit import AuditTrail
from pipeline.database.engine import database_of
from pipeline.errors import GlioLoopError
from pipeline.node.backup import back_up, restore
from pipeline.node.foreground import only_one
from pipeline.settings import Settings

KEPT = {
    "jobs/1/objects/rtstruct.dcm": b"contours",
    "jobs/1/result.json": b"{}",
    "feedback/cases/a/a_t1.nii.gz": b"image",
    "models/own/1.0.0/model.onnx": b"network",
    "configuration/credentials.json": b"{}",
}
LEFT = {
    "jobs/1/volume-t1.mha": b"working file",
    "jobs/1/done-load": b"",
    "jobs/1/source/t1/1.dcm": b"image",
    "logs/orthanc.log": b"log",
    "orthanc/storage/ab/image": b"image",
    "feedback/cases/.b.part/b_t1.nii.gz": b"half",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    state = tmp_path / "state"
    for name, content in (KEPT | LEFT).items():
        path = state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    made = Settings(state_folder=state)
    AuditTrail(database_of(made)).append("received", "subject", "test", {})
    return made


def test_what_is_remembered_comes_back_while_others_write(settings: Settings, tmp_path: Path) -> None:
    with only_one(settings.state_folder):  # the node runs
        made = back_up(settings, tmp_path / "backup.zip")
    assert made.files.keys() == KEPT.keys() | {"queue.sqlite"}
    assert (tmp_path / "backup.zip").stat().st_mode & 0o077 == 0
    again = tmp_path / "again"
    again.mkdir()
    restore(tmp_path / "backup.zip", again)
    assert {name: (again / name).read_bytes() for name in KEPT} == KEPT
    trail = AuditTrail(database_of(Settings(state_folder=again)))
    assert [one.event for one in trail.entries()] == ["received"]
    assert not trail.verify()


def test_the_archive_goes_along_only_while_the_node_is_stopped(settings: Settings, tmp_path: Path) -> None:
    with only_one(settings.state_folder), pytest.raises(GlioLoopError, match="another node runs"):
        back_up(settings, tmp_path / "backup.zip", archive=True)
    back_up(settings, tmp_path / "backup.zip", archive=True)
    restore(tmp_path / "backup.zip", tmp_path / "again")
    assert (tmp_path / "again/orthanc/storage/ab/image").read_bytes() == b"image"


def test_a_folder_that_is_in_use_stays_as_it_is(settings: Settings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "backup.zip")
    with pytest.raises(GlioLoopError, match="not empty"):
        restore(tmp_path / "backup.zip", settings.state_folder)


@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_a_damaged_backup_is_refused_and_leaves_nothing(settings: Settings, tmp_path: Path, harm: str) -> None:
    file = tmp_path / "backup.zip"
    back_up(settings, file)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if harm == "cut" else content.replace(b"contours", b"CONTOURS"))
    with pytest.raises(GlioLoopError) as refused:
        restore(file, tmp_path / "again")
    assert refused.value.code == "BACKUP_UNUSABLE"
    assert not (tmp_path / "again").exists()
    assert not list(tmp_path.glob(".again*"))
