"""A database server that is restarted is waited for; what waiting cannot change is told at once."""

from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from pipeline.database.engine import awaited
from pipeline.errors import GlioLoopError
from pipeline.errors.resources import coded


def test_a_server_that_comes_back_is_waited_for() -> None:
    there = Mock()
    answers: list[Any] = [psycopg.OperationalError("refused"), psycopg.errors.CannotConnectNow("starting"), there]
    connect = Mock(side_effect=answers)
    assert awaited(connect, pause=0) is there
    assert connect.call_count == len(answers)


def test_one_that_stays_away_or_refuses_the_password_is_told() -> None:
    with pytest.raises(psycopg.OperationalError):
        awaited(Mock(side_effect=psycopg.OperationalError("refused")), seconds=-1, pause=0)
    refused = Mock(side_effect=psycopg.errors.InvalidPassword("no"))
    with pytest.raises(psycopg.errors.InvalidPassword):
        awaited(refused)
    assert refused.call_count == 1


def test_a_connection_that_breaks_off_has_a_code_that_passes() -> None:
    with pytest.raises(GlioLoopError) as told, coded("load"):
        raise OperationalError("SELECT", {}, Exception("gone"), connection_invalidated=True)
    assert told.value.code == "DATABASE_AWAY"
    assert told.value.reason.transient
