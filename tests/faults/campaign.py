"""The campaign as data: every fault with how it strikes, how it is mended, and how each stage may end under it.

A cell is a row of a fault's ``ends``: a stage, and the ends that are right there. A stage that a fault can't
touch has the reason instead (``NotApplicable``), and is written into the table as such.
"""

import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pydicom
from pydicom.uid import generate_uid

from tests.faults.destination import Destination
from tests.faults.gates import END, START
from tests.faults.site import Layout, Site, fill, small_disk, take_memory, tries
from tests.orthanc.conftest import send, wait_for

INTAKE, FINETUNE, PROMOTE = "intake", "fine-tune", "promote"
CLINICAL: Final = ("identify", "load", "infer", "write", "store", "forward")
STAGES: Final = (INTAKE, *CLINICAL, FINETUNE, PROMOTE)

DONE: Final = "done"


def failed(*codes: str) -> tuple[str, ...]:
    """Ends that are stated failures; after the fault is mended, a retry must be done once."""
    return tuple(f"failed: {code}" for code in codes)


def refused(code: str) -> tuple[str, ...]:
    """The end that is a refusal: there is nothing to retry."""
    return (f"refused: {code}",)


@dataclass(frozen=True)
class NotApplicable:
    """Why a fault has no meaning at a stage."""

    reason: str


Ends = tuple[str, ...] | NotApplicable
OpenGate = Callable[[], None]
#: Puts things right again; called before the retry, or at the end.
Mend = Callable[[], None]


def nothing() -> None:
    """Nothing to mend."""


def _no_environment(_: Layout) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    Attributes
    ----------
    name
        As the table has it.
    strike
        Called with the site while the worker waits at the gate, and with what opens the gate; opens it
        itself where the fault lasts beyond it. Returns what mends it.
    ends
        For each stage the ends that are right.
    moments
        Where in the stage it strikes: at its start, at its end (all done, nothing noted yet), or both.
    settings
        Of the node.
    surroundings
        What the site needs around it, for example a small disk.
    separate_worker
        Whether the worker is not Orthanc's child.
    node_loses_result
        Whether the fault takes the result from the archive.
    """

    name: str
    strike: Callable[[Site, OpenGate], Mend]
    ends: Mapping[str, Ends]
    moments: tuple[str, ...] = (START,)
    settings: Mapping[str, object] = field(default_factory=dict)
    environment: Callable[[Layout], dict[str, str]] = _no_environment
    surroundings: Callable[[Layout], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    separate_worker: bool = False
    node_loses_result: bool = False

    @property
    def site_kind(self) -> tuple[object, ...]:
        """What a site must have in common with another fault's to serve both."""
        return repr(self.settings), self.environment, self.surroundings, self.separate_worker


def at(stages: tuple[str, ...], ends: Ends) -> dict[str, Ends]:
    """The same ends at several stages."""
    return dict.fromkeys(stages, ends)


_ONCE: Final = (DONE,)
_LEARNING: Final = (FINETUNE, PROMOTE)


# --- processes ---


def _kill_worker(site: Site, gate: OpenGate) -> Mend:
    site.kill_worker()
    gate()
    return nothing


def _halt_worker(site: Site, gate: OpenGate) -> Mend:
    pid = site.worker_pid()
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 60, "the halted worker's end")
    gate()
    return nothing


def _hang_stage(site: Site, gate: OpenGate) -> Mend:
    pid = site.worker_pid()
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 120, "the hanging worker's end")
    gate()
    return nothing


def _take_memory(site: Site, gate: OpenGate) -> Mend:
    give_back = take_memory(site.worker_pid(), spare_bytes=1 << 20)
    gate()
    return give_back


def _kill_orthanc(site: Site, gate: OpenGate) -> Mend:
    with site.prober.pause():
        site.pair.node.kill()
        gate()
        time.sleep(3)  # the worker finds nobody there, time and again
        site.pair.node.start()
    return nothing


def _power_cut(site: Site, gate: OpenGate) -> Mend:
    with site.prober.pause():
        site.power_cut()
        gate()
        site.pair.node.start()
    return nothing


# --- disks ---


def _fill(folder: Path, site: Site, gate: OpenGate) -> Mend:
    filler = fill(folder)
    gate()
    return lambda: filler.unlink(missing_ok=True)


def _fill_state(site: Site, gate: OpenGate) -> Mend:
    return _fill(site.layout.state, site, gate)


def _fill_archive(site: Site, gate: OpenGate) -> Mend:
    """Room comes back by itself after a while, as when somebody deletes something."""
    filler = fill(site.layout.archive)
    gate()
    threading.Timer(6, filler.unlink).start()
    return nothing


# --- the clock ---


def _fake_clock(layout: Layout) -> dict[str, str]:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        import pytest  # noqa: PLC0415

        pytest.skip("a clock that jumps needs Debian's libfaketime")
    layout.root.mkdir(parents=True, exist_ok=True)
    (layout.root / "clock").write_text("+0")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(layout.root / "clock"),
        "FAKETIME_CACHE_DURATION": "1",
        # What jumps is the wall clock; times of files are the kernel's.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def _jump(site: Site, gate: OpenGate) -> Mend:
    """A day ahead while the stage is at work; at its end a day back."""
    clock = site.layout.root / "clock"
    clock.write_text("+0" if clock.read_text() == "+1d" else "+1d")
    time.sleep(2.5)  # every process has read it
    gate()
    return nothing


# --- the study ---


def _delete_study(site: Site, gate: OpenGate) -> Mend:
    site.delete_study()
    gate()
    return site.send_study


def _send_series(site: Site, gate: OpenGate) -> Mend:
    """A series that arrives late; afterwards it is taken away again."""
    folder = site.layout.root / f"late-{time.time_ns()}"
    folder.mkdir()
    uid = generate_uid()
    for path in sorted((site.study_files / "t1").iterdir()):
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID, dataset.SeriesDescription = uid, "T1 SE AX REPEAT"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.save_as(folder / path.name)
    send(site.pair, folder)
    gate()
    return nothing


# --- models ---


def _model_file(site: Site) -> Path:
    return site.layout.models / "bright" / "1.0.0" / "model.onnx"


def _change_model(site: Site, gate: OpenGate) -> Mend:
    path = _model_file(site)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    gate()
    return lambda: _put_back(path, whole)


def _remove_model(site: Site, gate: OpenGate) -> Mend:
    path = _model_file(site)
    whole = path.read_bytes()
    path.unlink()
    gate()
    return lambda: _put_back(path, whole)


def _put_back(path: Path, content: bytes) -> None:
    path.write_bytes(content)


# --- the queue's database ---


def _lock_database(site: Site, gate: OpenGate) -> Mend:
    with _exclusive(site.layout.state / "queue.sqlite"):
        gate()
        time.sleep(15)
    return nothing


@contextlib.contextmanager
def _exclusive(database: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


# --- destinations ---


def _workstation_down(site: Site, gate: OpenGate) -> Mend:
    """Down for the first tries."""
    site.pair.workstation.kill()
    gate()
    wait_for(lambda: tries(site) >= 2, 60, "two tries in vain")
    site.pair.workstation.start()
    return nothing


def _workstation_gone(site: Site, gate: OpenGate) -> Mend:
    """Down for all tries."""
    site.pair.workstation.kill()
    gate()
    return lambda: site.pair.workstation.start() and None  # type: ignore[func-returns-value]


def _behind(behaviour: str, times: int) -> Callable[[Site, OpenGate], Mend]:
    """Put a destination that misbehaves so many times between the node and the workstation."""

    def strike(site: Site, gate: OpenGate) -> Mend:
        destination = Destination(behaviour, times, site.pair.workstation.configuration)
        destination.start()
        site.send_to(destination.port)
        gate()

        def mend() -> None:
            site.send_to(site.pair.workstation.configuration.dicom_port)
            destination.stop()
            destination.check()

        return mend

    return strike


# --- the table ---

_WHOLE_PROCESS: Final = at((INTAKE, *CLINICAL, *_LEARNING), _ONCE)
_NOBODY_SENDS: Final = NotApplicable("nothing is sent to a destination here")
_NO_NETWORK_READ: Final = NotApplicable("the network is not read here")
_FORWARD_ONLY: Final = at(STAGES, _NOBODY_SENDS) | {"forward": _ONCE}

FAULTS: Final = (
    Fault("worker kill -9", _kill_worker, _WHOLE_PROCESS, moments=(START, END)),
    Fault("worker halted (SIGSTOP)", _halt_worker, _WHOLE_PROCESS, settings={"WorkerSilenceSeconds": 10}),
    Fault("stage hangs", _hang_stage, _WHOLE_PROCESS, settings={"StageDeadlineSeconds": 12}),
    Fault(
        "out of memory (RLIMIT_DATA)",
        _take_memory,
        at((INTAKE, *CLINICAL), (DONE, *failed("OUT_OF_MEMORY")))
        | at(_LEARNING, (DONE, *failed("OUT_OF_MEMORY", "FINETUNE_FAILED"))),
    ),
    Fault(
        "Orthanc kill -9, worker lives on", _kill_orthanc, _WHOLE_PROCESS, separate_worker=True, moments=(START, END)
    ),
    Fault("power cut of both", _power_cut, _WHOLE_PROCESS, moments=(START, END)),
    Fault(
        "state folder's disk full",
        _fill_state,
        at((INTAKE, *CLINICAL), (DONE, *failed("DISK_FULL"))) | at(_LEARNING, (DONE, *failed("DISK_FULL"))),
        surroundings=lambda layout: small_disk(layout.state, 96),
    ),
    Fault(
        "Orthanc's disk full",
        _fill_archive,
        at((INTAKE, *CLINICAL), _ONCE) | at(_LEARNING, NotApplicable("the archive is not written to here")),
        surroundings=lambda layout: small_disk(layout.archive, 96),
    ),
    Fault(
        "clock jumps a day ahead and back",
        _jump,
        _WHOLE_PROCESS,
        moments=(START, END),
        environment=_fake_clock,
    ),
    Fault(
        "study deleted",
        _delete_study,
        at((INTAKE, "identify", "load", "infer", "write", "store"), refused("STUDY_GONE"))
        | at(("forward",), (DONE, *refused("STUDY_GONE")))
        | at(_LEARNING, NotApplicable("learns from its own store of corrections, not from the archive")),
        node_loses_result=True,
    ),
    Fault(
        "new series arrives",
        _send_series,
        at((INTAKE, *CLINICAL), _ONCE)
        | at(_LEARNING, NotApplicable("a new series is a clinical job: see `test_learning.py`")),
        settings={"Automatic": True},
    ),
    Fault(
        "model file changed",
        _change_model,
        at((INTAKE, "identify", "load", "infer", "write"), failed("MODEL_DAMAGED"))
        | at(("store", "forward"), _NO_NETWORK_READ)
        | at(_LEARNING, failed("MODEL_DAMAGED")),
    ),
    Fault(
        "model file missing",
        _remove_model,
        at((INTAKE, "identify", "load", "infer", "write"), failed("MODEL_DAMAGED"))
        | at(("store", "forward"), _NO_NETWORK_READ)
        | at(_LEARNING, failed("MODEL_DAMAGED")),
    ),
    Fault("queue locked for 15 s", _lock_database, _WHOLE_PROCESS),
    Fault("destination down for the first tries", _workstation_down, _FORWARD_ONLY),
    Fault(
        "destination down for every try",
        _workstation_gone,
        _FORWARD_ONLY | {"forward": failed("FORWARD_FAILED")},
        settings={"ForwardRetrySeconds": [1]},
    ),
    Fault("destination aborts the association", _behind("aborts", 2), _FORWARD_ONLY),
    Fault("destination answers a failure status", _behind("failure status", 2), _FORWARD_ONLY),
    Fault("destination slow", _behind("slow", 2), _FORWARD_ONLY),
)

#: Faults that end in a repair by hand, each with a test of its own (`test_last_resorts.py`).
DAMAGED: Final = "queue damaged"

#: Every row of the table.
ROWS: Final[dict[str, Mapping[str, Ends]]] = {fault.name: fault.ends for fault in FAULTS} | {
    DAMAGED: at((INTAKE, *CLINICAL), _ONCE)
    | at(_LEARNING, NotApplicable("found by the worker itself, whatever it is at: as at infer")),
}
