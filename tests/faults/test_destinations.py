"""Several destinations: one that is down, and one that accepts and never answers, cost the others nothing."""

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

from pipeline.audit import AuditTrail
from pipeline.database.engine import database_in
from pipeline.node import LOOPBACK, free_port
from tests.faults.site import Layout, Site, structure_sets
from tests.patience import wait_for

SERVED_WITHIN = 10
_NAMES = ("dead", "hanging", "workstation")


def _hang(server: socket.socket) -> None:
    """Accept every connection and say nothing, for ever."""
    held = []
    while True:
        try:
            held.append(server.accept()[0])
        except OSError:
            return


def _delivery(site: Site, job: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = site.job(job)["deliveries"].get(name, {})
    return found


def test_the_living_one_is_served_at_once(tmp_path: Path, small_study: Path) -> None:
    """Five studies in a row, with a worker killed in between; then the dead one comes to life and gets all."""
    settings = {"Destinations": [{"Modality": name} for name in _NAMES], "ForwardRetrySeconds": [1, 2, 3600]}
    with socket.create_server((LOOPBACK, 0)) as server, Site(Layout(tmp_path), small_study, settings) as site:
        threading.Thread(target=_hang, args=(server,), daemon=True).start()
        with site.pair.node.client() as client:
            for name, port in (("dead", free_port()), ("hanging", server.getsockname()[1])):
                modality = {"AET": name.upper(), "Host": LOOPBACK, "Port": port, "Timeout": 8}
                client.put(f"/modalities/{name}", json=modality).raise_for_status()
        jobs = []
        for number in range(5):
            job = site.process()
            jobs.append(job)
            wait_for(lambda one=job: bool(_delivery(site, one, "workstation")), 120, "the result")  # type: ignore[misc]
            wait_for(
                lambda one=job: _delivery(site, one, "workstation")["state"] == "done",  # type: ignore[misc]
                SERVED_WITHIN,
                "the living destination",
            )
            if number == 1:
                os.kill(site.worker_pid(), signal.SIGKILL)
        assert len(structure_sets(site.pair.workstation)) == 5
        for job in jobs:
            wait_for(
                lambda one=job: _delivery(site, one, "dead").get("next_in_seconds") == 3600,  # type: ignore[misc]
                60,
                lambda one=job: f"the last wait for the dead one: {_delivery(site, one, 'dead')}",  # type: ignore[misc]
            )
            assert _delivery(site, job, "dead")["error"]["code"] == "FORWARD_FAILED"
            assert _delivery(site, job, "dead")["next_try"] > "2000"
        assert all(site.job(job)["state"] == "running" for job in jobs)

        # A person does not wait for the hour: stop waiting, send again.
        workstation = site.pair.workstation.configuration.dicom_port
        with site.pair.node.client() as client:
            for name in ("dead", "hanging"):
                modality = {"AET": "WORKSTATION", "Host": LOOPBACK, "Port": workstation}
                client.put(f"/modalities/{name}", json=modality).raise_for_status()
        assert site.pair.post(f"/glioloop/jobs/{jobs[0]}/cancel").status_code == 200
        assert site.job(jobs[0])["state"] == "cancelled"
        site.retry(jobs[0])
        site.pair.post(f"/glioloop/jobs/{jobs[0]}/retry")  # twice
        done = site.wait_end(jobs[0])
        assert done["state"] == "done", done
        assert done["deliveries"]["dead"]["attempts"] == 1
        entries = list(AuditTrail(database_in(site.layout.state)).entries())
        sent = [one.data["to"] for one in entries if one.event == "forwarded" and one.subject == jobs[0]]
        assert sorted(sent) == sorted(_NAMES)
        site.check_answers()
