"""The campaign as data: every fault with how it strikes, and how each stage may end under it.

A cell is a place of a fault's ``ends``: a stage, and the ends that are right there. A stage that a fault can't
touch has the reason instead (``NotApplicable``), and is written into the table as such.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.faults import strikes
from tests.faults.gates import END, START
from tests.faults.site import Layout, Site

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
    strike: Callable[[Site, strikes.OpenGate], strikes.Mend]
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


# --- the table ---

_WHOLE_PROCESS: Final = at((INTAKE, *CLINICAL, *_LEARNING), _ONCE)
_NOBODY_SENDS: Final = NotApplicable("nothing is sent to a destination here")
_NO_NETWORK_READ: Final = NotApplicable("the network is not read here")
_FORWARD_ONLY: Final = at(STAGES, _NOBODY_SENDS) | {"forward": _ONCE}

FAULTS: Final = (
    Fault("worker kill -9", strikes.kill_worker, _WHOLE_PROCESS, moments=(START, END)),
    Fault(
        "child kill -9",
        strikes.kill_child,
        at((INTAKE, *CLINICAL, PROMOTE), _ONCE)
        | at((FINETUNE,), NotApplicable("the learning process makes way for every study anyway")),
        moments=(START, END),
    ),
    Fault("worker halted (SIGSTOP)", strikes.halt_worker, _WHOLE_PROCESS, settings={"WorkerSilenceSeconds": 10}),
    Fault("stage hangs", strikes.hang_stage, _WHOLE_PROCESS, settings={"StageDeadlineSeconds": 12}),
    Fault(
        "out of memory (RLIMIT_DATA)",
        strikes.take_memory,
        at((INTAKE, *CLINICAL), (DONE, *failed("OUT_OF_MEMORY")))
        | at(_LEARNING, (DONE, *failed("OUT_OF_MEMORY", "FINETUNE_FAILED"))),
    ),
    Fault(
        "Orthanc kill -9, worker lives on",
        strikes.kill_orthanc,
        _WHOLE_PROCESS,
        moments=(START, END),
        separate_worker=True,
    ),
    Fault("power cut of both", strikes.power_cut, _WHOLE_PROCESS, moments=(START, END)),
    Fault(
        "state folder's disk full",
        strikes.fill_state,
        at((INTAKE, *CLINICAL), (DONE, *failed("DISK_FULL"))) | at(_LEARNING, (DONE, *failed("DISK_FULL"))),
        surroundings=lambda layout: strikes.small_disk(layout.state, 192),
    ),
    Fault(
        "Orthanc's disk full",
        strikes.fill_archive,
        at((INTAKE, *CLINICAL), _ONCE) | at(_LEARNING, NotApplicable("the archive is not written to here")),
        surroundings=lambda layout: strikes.small_disk(layout.archive, 96),
    ),
    Fault(
        "clock jumps a day ahead and back",
        strikes.jump,
        _WHOLE_PROCESS,
        moments=(START, END),
        environment=strikes.fake_clock,
    ),
    Fault(
        "study deleted",
        strikes.delete_study,
        at(("identify", "load", "infer", "write", "store"), refused("STUDY_GONE"))
        | at((INTAKE,), NotApplicable("there is no job yet that had to end"))
        | at(("forward",), (DONE, *refused("STUDY_GONE")))
        | at(_LEARNING, NotApplicable("learns from its own store of corrections, not from the archive")),
        node_loses_result=True,
    ),
    Fault(
        "new series arrives",
        strikes.send_series,
        at((INTAKE, *CLINICAL), _ONCE)
        | at(_LEARNING, NotApplicable("a new series is a clinical job: see `test_learning.py`")),
        settings={"Automatic": True},
    ),
    Fault(
        "model file changed",
        strikes.change_model,
        at((INTAKE, "identify", "load", "infer"), failed("MODEL_DAMAGED"))
        | at(("write", "store", "forward"), _NO_NETWORK_READ)
        | at(_LEARNING, failed("MODEL_DAMAGED")),
    ),
    Fault(
        "model file missing",
        strikes.remove_model,
        at((INTAKE, "identify", "load", "infer"), failed("MODEL_DAMAGED"))
        | at(("write", "store", "forward"), _NO_NETWORK_READ)
        | at(_LEARNING, failed("MODEL_DAMAGED")),
    ),
    Fault("queue locked for 15 s", strikes.lock_database, _WHOLE_PROCESS),
    Fault("destination down for the first tries", strikes.workstation_down, _FORWARD_ONLY),
    Fault(
        "destination down for every try",
        strikes.workstation_gone,
        _FORWARD_ONLY | {"forward": failed("FORWARD_FAILED")},
        settings={"ForwardRetrySeconds": [1]},
    ),
    Fault("destination aborts the association", strikes.behind("aborts", 2), _FORWARD_ONLY),
    Fault("destination answers a failure status", strikes.behind("failure status", 2), _FORWARD_ONLY),
    Fault("destination slow", strikes.behind("slow", 2), _FORWARD_ONLY),
)

#: Faults that end in a repair by hand, each with a test of its own (`test_lasting_faults.py`).
DAMAGED: Final = "queue damaged"

#: Every row of the table.
ROWS: Final[dict[str, Mapping[str, Ends]]] = {fault.name: fault.ends for fault in FAULTS} | {
    DAMAGED: at((INTAKE, *CLINICAL), _ONCE)
    | at(_LEARNING, NotApplicable("found by the worker itself, whatever it is at: as at infer")),
}
