"""Destinations that misbehave: an SCP of our own in the workstation's place."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.events import Event

from pipeline.node import LOOPBACK
from tests.faults.conftest import MakeSite, Record

OUT_OF_RESOURCES = 0xA700


class Destination:
    """Fails the first times as told, then takes what comes."""

    def __init__(self, how: str, times: int) -> None:
        self.how, self.left = how, times
        self.received: list[str] = []

    def store(self, event: Event) -> int:
        """Answer a C-STORE."""
        if self.left > 0:
            self.left -= 1
            if self.how == "aborts":
                event.assoc.abort()
                return OUT_OF_RESOURCES
            if self.how == "failure status":
                return OUT_OF_RESOURCES
            time.sleep(8)
        self.received.append(str(event.request.AffectedSOPInstanceUID))
        return 0


@contextmanager
def serving(destination: Destination, port: int) -> Iterator[None]:
    ae = AE("WORKSTATION")
    ae.supported_contexts = [
        one for one in AllStoragePresentationContexts if one.abstract_syntax and _wanted(one.abstract_syntax.name)
    ]
    server = ae.start_server((LOOPBACK, port), block=False, evt_handlers=[(evt.EVT_C_STORE, destination.store)])
    try:
        yield
    finally:
        server.shutdown()


def _wanted(name: str) -> bool:
    return any(one in name for one in ("RT Structure", "Segmentation", "SR", "Secondary Capture"))


@pytest.mark.parametrize(("how", "times"), [("aborts", 2), ("failure status", 2), ("slow", 4)])
def test_destination(make_site: MakeSite, record: Record, how: str, times: int) -> None:
    """Tried again with its waits; in the end each object is there once."""
    site = make_site(ForwardRetrySeconds=[1, 1, 1, 1, 1])
    port = site.pair.workstation.configuration.dicom_port
    site.pair.workstation.stop()
    destination = Destination(how, times)
    with serving(destination, port):
        job = site.wait_end(site.process())
        assert job["state"] == "done", job["error"]
    sent = {one["sop_instance_uid"] for one in job["result"]["objects"].values()}
    assert set(destination.received) == sent
    delivery = job["deliveries"]["workstation"]
    record(f"destination {how}", "forward", "every object arrived", delivery["attempts"])
    site.check(workstation=False)


def test_destination_down_for_good(make_site: MakeSite, record: Record) -> None:
    site = make_site(ForwardRetrySeconds=[1])
    site.pair.workstation.stop()
    job = site.wait_end(site.process())
    assert job["error"]["code"] == "FORWARD_FAILED"
    site.pair.workstation.start()
    assert site.pair.post(f"/glioloop/jobs/{job['id']}/retry").status_code == 202
    again = site.wait_end(job["id"])
    assert again["state"] == "done", again["error"]
    record("destination down", "forward", "failed: FORWARD_FAILED; up and retry: sent once", 2)
    site.check()
