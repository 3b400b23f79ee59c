"""The log of a process of the node: one JSON object a line on standard error, and no patient's name in it."""

import contextlib
import logging
import sys
import warnings
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from pipeline.errors.resources import trace_of
from pipeline.files.joblog import JobLog
from pipeline.settings import Settings


class _Log:
    """Standard error, whose disk may be full: what can't be said is no reason to stop working."""

    def write(self, words: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(words)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def _place_only(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The same for the lines of our own."""
    error = line.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        line["where"] = trace_of(error)
    return line


def configure_logging(settings: Settings) -> None:
    """One JSON object a line on stderr, and no patient's name in it; a job's lines go to its folder too."""
    # DICOM libraries quote the value they wonder at, and that may be a name.
    warnings.simplefilter("ignore")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _place_only,
            JobLog(settings.jobs_folder),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Log())),
    )
