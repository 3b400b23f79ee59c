"""A destination that misbehaves at first: an SCP of our own in front of the workstation, to which it passes on."""

import threading
import time
from collections import Counter
from typing import Final

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.events import Event

from pipeline.node import LOOPBACK, NodeConfiguration, free_port

_OUT_OF_RESOURCES: Final = 0xA700
_SLOW_SECONDS: Final = 6.0
_KINDS: Final = ("RT Structure", "Segmentation", "SR", "Secondary Capture")


class Destination:
    """Fails the first times as told, then hands on what comes.

    Parameters
    ----------
    behaviour
        ``aborts``, ``failure status`` or ``slow``.
    times
        How often.
    behind
        The workstation that gets what was accepted.
    """

    def __init__(self, behaviour: str, times: int, behind: NodeConfiguration) -> None:
        self.port = free_port()
        self._behaviour, self._left, self._behind = behaviour, times, behind
        self._accepted: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._ae = AE("WORKSTATION")
        self._ae.supported_contexts = [
            context
            for context in AllStoragePresentationContexts
            if any(kind in str(context.abstract_syntax.name) for kind in _KINDS)  # type: ignore[union-attr]
        ]

    def start(self) -> None:
        """Listen."""
        handlers = [(evt.EVT_C_STORE, self._store)]
        self._server = self._ae.start_server((LOOPBACK, self.port), block=False, evt_handlers=handlers)

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()

    def check(self) -> None:
        """Every object was accepted once."""
        assert self._accepted, "nothing was accepted"
        assert max(self._accepted.values()) == 1, f"accepted more than once: {self._accepted}"

    def _store(self, event: Event) -> int:
        with self._lock:
            misbehaves, self._left = self._left > 0, self._left - 1
        if misbehaves and self._behaviour == "aborts":
            event.assoc.abort()
            return _OUT_OF_RESOURCES
        if misbehaves and self._behaviour == "failure status":
            return _OUT_OF_RESOURCES
        if misbehaves:
            time.sleep(_SLOW_SECONDS)
        self._accepted[str(event.request.AffectedSOPInstanceUID)] += 1
        return self._pass_on(event)

    def _pass_on(self, event: Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        ae = AE("GLIOLOOP")
        ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
        association = ae.associate(LOOPBACK, self._behind.dicom_port, ae_title=self._behind.aet)
        status = association.send_c_store(dataset)
        association.release()
        return int(status.Status)
