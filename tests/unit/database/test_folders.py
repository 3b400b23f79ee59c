"""Folders that hosts with disks of their own need of each other."""

from pathlib import Path

from pipeline.database.engine import database_in
from pipeline.database.folders import SharedFolders


def _host(tmp_path: Path, name: str, shared: bool = True) -> SharedFolders:
    return SharedFolders(tmp_path / name, shared, lambda: database_in(tmp_path / "database"))


def _write(host: SharedFolders, name: str, **files: str) -> None:
    for file, text in files.items():
        path = host.root / name / "inside" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_what_one_host_gives_another_finds(tmp_path: Path) -> None:
    one, other = _host(tmp_path, "one"), _host(tmp_path, "other")
    _write(one, "jobs/1", a="A", b="B")
    assert not other.folder("jobs/1").exists()
    one.give("jobs/1")
    assert (other.folder("jobs/1") / "inside" / "a").read_text() == "A"
    assert other.names("jobs/") == ["jobs/1"]
    assert not other.file("jobs/1", "inside/c").exists()


def test_some_files_are_given_anew_and_complete_a_folder_that_is_there(tmp_path: Path) -> None:
    one, other = _host(tmp_path, "one"), _host(tmp_path, "other")
    _write(one, "jobs/1", a="old")
    one.give("jobs/1")
    _write(one, "jobs/1", a="new", b="left out")
    one.give("jobs/1", [one.root / "jobs/1/inside/a"])
    _write(other, "jobs/1", log="its own")
    assert other.file("jobs/1", "inside/a").read_text() == "new"
    assert sorted(path.name for path in (other.root / "jobs/1/inside").iterdir()) == ["a", "log"]


def test_what_is_taken_back_is_not_found_any_more(tmp_path: Path) -> None:
    one = _host(tmp_path, "one")
    _write(one, "cases/1", a="A")
    one.give("cases/1")
    with one.database().begin() as connection:
        one.forget_within(connection, "cases/1")
    assert not _host(tmp_path, "other").folder("cases/1").exists()


def test_a_host_of_its_own_packs_nothing(tmp_path: Path) -> None:
    alone = _host(tmp_path, "alone", shared=False)
    _write(alone, "jobs/1", a="A")
    alone.give("jobs/1")
    assert _host(tmp_path, "other").names("") == []
