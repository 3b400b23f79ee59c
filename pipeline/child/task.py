"""What a worker sends to a child, and what comes back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

#: Exit status of a child that had no memory left to say so.
STARVED_STATUS: Final = 71

#: Told how much of its work a function has done, from 0 to 1.
Report = Callable[[float], None]


@dataclass(frozen=True)
class Task:
    """A piece of work; everything in it can be pickled.

    Attributes
    ----------
    job
        Id of the job or look, for the log.
    stage
        What it is called in the log and in errors.
    function
        Of a module; called with a :data:`Report` and the arguments.
    """

    job: str
    stage: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Progress:
    """A fraction of the work is done."""

    fraction: float


class StopAskedError(Exception):
    """Asks a task to come to its end; raised where the task reports its progress."""


@dataclass(frozen=True)
class Done:
    """The work is done."""

    value: Any
