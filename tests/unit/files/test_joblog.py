"""A job's own log: its lines and no others, whole lines only, bounded, and never in the way."""

from pathlib import Path

from pipeline.files.joblog import FILE, JobLog, read_log

JOB = "0" * 31 + "1"


def test_a_line_that_names_a_job_is_kept_with_it(tmp_path: Path) -> None:
    log = JobLog(tmp_path)
    line = {"event": "stage done", "job": JOB, "stage": "load", "seconds": 1.5}
    assert log(None, "info", dict(line)) == line
    log(None, "info", {"event": "worker ready"})
    log(None, "info", {"event": "elsewhere", "job": "../../etc"})
    assert read_log(tmp_path / JOB) == [{"event": "stage done", "stage": "load", "seconds": 1.5}]
    assert [path.name for path in tmp_path.iterdir()] == [JOB]
    assert (tmp_path / JOB / FILE).stat().st_mode & 0o077 == 0


def test_a_torn_line_and_a_job_never_taken_up(tmp_path: Path) -> None:
    JobLog(tmp_path)(None, "info", {"event": "whole", "job": JOB})
    with (tmp_path / JOB / FILE).open("a") as file:
        file.write('{"event": "to')
    assert [one["event"] for one in read_log(tmp_path / JOB)] == ["whole"]
    assert read_log(tmp_path / "nothing") == []


def test_it_neither_fills_the_disk_nor_stops_the_work(tmp_path: Path) -> None:
    log = JobLog(tmp_path)
    for _ in range(50):
        log(None, "info", {"event": "x" * 10_000, "job": JOB})
    assert (tmp_path / JOB / FILE).stat().st_size < 300_000
    (tmp_path / "file").write_text("")
    assert log(None, "info", {"event": "no folder", "job": JOB}) is not None
    assert JobLog(tmp_path / "file")(None, "info", {"event": "no folder", "job": JOB})["job"] == JOB
