"""Plugin of coverage.py: measures processes that nobody lets end, and code that Orthanc calls.

``./glioloop test --coverage`` loads it into every Python process that a test starts, the Python inside Orthanc too.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import coverage
from coverage.plugin_support import Plugins

#: A worker is killed in many a test: what is older than this is on the disk by then.
_SAVE_SECONDS: Final = 2.0


def coverage_init(_plugins: Plugins, _options: dict[str, str]) -> None:
    """Be called by coverage.py as it starts in a process."""
    # A child of the worker is forked with its work imported, and begins anew here.
    serve = sys.modules.get("pipeline.child.serve")
    if serve is None:
        threading.Thread(target=_save_again_and_again, name="coverage", daemon=True).start()
    else:
        serve.perform = _saving(serve.perform)
    if "orthanc" in sys.builtin_module_names:
        _measure_what_orthanc_calls()


def _save_again_and_again() -> None:
    while True:
        time.sleep(_SAVE_SECONDS)
        _save()


def _save() -> None:
    measuring = coverage.Coverage.current()
    if measuring is not None:
        measuring.save()


def _saving(perform: Callable[..., Any]) -> Callable[..., Any]:
    """A child saves between its tasks: at work, with threads of its own, it would now and then crash over that."""

    def performed(*called: Any) -> Any:
        try:
            return perform(*called)
        finally:
            _save()

    return performed


def _measure_what_orthanc_calls() -> None:
    """Orthanc's threads are none of Python's, which alone are traced."""
    import orthanc  # noqa: PLC0415 - there is none elsewhere

    for name in ("RegisterRestCallback", "RegisterOnChangeCallback"):
        setattr(orthanc, name, _registering_traced(getattr(orthanc, name)))


def _registering_traced(register: Callable[..., None]) -> Callable[..., None]:
    def registered(*arguments: Any) -> None:
        *others, callback = arguments

        def traced(*called: Any, **named: Any) -> Any:
            sys.settrace(threading.gettrace())
            return callback(*called, **named)

        register(*others, traced)

    return registered
