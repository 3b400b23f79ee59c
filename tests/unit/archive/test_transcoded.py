"""What goes into a folder lies in that folder, whatever its headers say."""

from pathlib import Path

import pytest

from pipeline.archive.transcoded import file_name_of


@pytest.mark.parametrize("uid", ["../../etc/cron.d/x", "..", ".", "/etc/passwd", "", "1.2\0.3", "1.2/3", "a" * 300])
def test_what_is_no_uid_leads_nowhere(uid: str, tmp_path: Path) -> None:
    path = tmp_path / file_name_of(uid)
    assert path.resolve().parent == tmp_path.resolve()
    assert path.resolve() != tmp_path.resolve()
    path.touch()


def test_a_uid_is_its_name() -> None:
    assert file_name_of("1.2.840.10008.5") == "1.2.840.10008.5"
