"""The node's database as a file: whole, damaged, no database at all."""

from pathlib import Path

import pytest

from pipeline.database.engine import database_of, require_readable, require_whole
from pipeline.errors import GlioLoopError
from pipeline.settings import Settings


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    settings = Settings(state_folder=tmp_path)
    require_whole(settings)  # there is none yet
    database_of(settings)
    require_whole(settings)
    require_readable(settings)
    for path in tmp_path.glob("queue.sqlite*"):
        path.write_bytes(b"\xff" * path.stat().st_size)
    for require in (require_readable, require_whole):
        with pytest.raises(GlioLoopError, match="QUEUE_DAMAGED"):
            require(settings)


def test_damage_in_the_middle(tmp_path: Path) -> None:
    settings = Settings(state_folder=tmp_path)
    database_of(settings)
    file = tmp_path / "queue.sqlite"
    pages = bytearray(file.read_bytes())
    pages[4096 : len(pages) - 4096] = b"\xff" * (len(pages) - 8192)
    file.write_bytes(pages)
    with pytest.raises(GlioLoopError, match="QUEUE_DAMAGED"):
        require_whole(settings)
