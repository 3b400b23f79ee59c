"""Faults that do not pass: a stated reason after bounded tries, the next study is done, and a repair helps."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.campaign import CLINICAL, DAMAGED, INTAKE
from tests.faults.gates import START
from tests.faults.site import Layout, Site, forget_queue
from tests.patience import PATIENCE, wait_for


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "site")


def test_stage_never_ends(layout: Layout, small_study: Path) -> None:
    """Inference that never ends: given up after two tries, with its reason; the next study is done."""
    with Site(layout, small_study, {"StageDeadlineSeconds": 12}) as site:
        hung, behind = site.process(model="bright@0.0.1"), site.process()
        job = site.wait_end(hung)
        assert job["state"] == "failed"
        assert job["error"]["code"] == "STAGE_TIMEOUT"
        after = site.wait_end(behind)
        assert after["state"] == "done", after["error"]
        site.check(after)


def test_look_never_ends(layout: Layout, small_study: Path) -> None:
    """A look at a study that hangs each time: given up after two tries, as a job that says so."""
    with Site(layout, small_study, {"StageDeadlineSeconds": 8}) as site:
        site.gates.shut(INTAKE, START)
        queue = site.queue()
        queue.enqueue_intake(site.study, "hangs", "stable")
        queue.close()
        wait_for(lambda: bool(site.ask("/glioloop/jobs")), 120, "a job that says why there is none")
        site.gates.open_all()
        (job,) = site.ask("/glioloop/jobs")
        ended = site.wait_end(job["id"])
        assert (ended["state"], ended["error"]["code"]) == ("failed", "STAGE_TIMEOUT")
        after = site.wait_end(site.process())
        assert after["state"] == "done", after["error"]
        site.check(after)


def test_worker_dies_at_every_try(layout: Layout, small_study: Path) -> None:
    """What kills the worker at every try (as the kernel does for want of memory) ends as a stated failure."""
    with Site(layout, small_study) as site:
        site.gates.shut("infer", START)
        job = site.process()

        def killed_until_ended() -> bool:
            if site.gates.waits("infer", START):
                site.gates.shut("infer", START)  # for the next worker
                os.kill(site.worker_pid(), signal.SIGKILL)
            return site.job(job)["state"] in ("failed", "done")

        wait_for(killed_until_ended, 300, "the end of the tries")
        ended = site.job(job)
        assert (ended["state"], ended["error"]["code"]) == ("failed", "WORKER_DIED")
        site.gates.open_all()
        site.retry(job)
        again = site.wait_end(job)
        assert again["state"] == "done", again["error"]
        site.check(again)


def test_child_dies_at_every_try(layout: Layout, small_study: Path) -> None:
    """What kills the child that computes, time and again, ends as a stated failure; the worker lives on."""
    with Site(layout, small_study) as site:
        worker = site.worker_pid()
        site.gates.shut("infer", START)
        job = site.process()

        def killed_until_ended() -> bool:
            if site.gates.waits("infer", START):
                child = site.gates.holder()
                site.gates.shut("infer", START)  # for the next child
                os.kill(child, signal.SIGKILL)
            return site.job(job)["state"] in ("failed", "done")

        wait_for(killed_until_ended, 300, "the end of the tries")
        ended = site.job(job)
        assert (ended["state"], ended["error"]["code"]) == ("failed", "WORKER_DIED")
        assert "signal 9" in ended["error"]["detail"]
        site.gates.open_all()
        site.retry(job)
        again = site.wait_end(job)
        assert again["state"] == "done", again["error"]
        assert site.worker_pid() == worker
        site.check(again)


def test_job_is_cancelled_at_work(layout: Layout, small_study: Path) -> None:
    """The child is ended at once; a retry goes on with the stage that it was in."""
    with Site(layout, small_study) as site:
        site.gates.shut("infer", START)
        job = site.process()
        site.wait_at("infer", START)
        child = site.gates.holder()
        assert site.pair.post(f"/glioloop/jobs/{job}/cancel").status_code == httpx.codes.OK
        wait_for(lambda: not Path(f"/proc/{child}").exists(), 60, "the child's end")
        assert site.job(job)["state"] == "cancelled"
        site.gates.open_all()
        site.retry(job)
        again = site.wait_end(job)
        assert again["state"] == "done", again["error"]
        site.check(again)


def test_delivery_is_cancelled(layout: Layout, small_study: Path) -> None:
    """A delivery that waits for its next try can be given up, and be asked for again."""
    with Site(layout, small_study, {"ForwardRetrySeconds": [300]}) as site:
        site.pair.workstation.kill()
        job = site.process()
        wait_for(lambda: site.job(job)["deliveries"].get("workstation", {}).get("state") == "waiting", 90, "the wait")
        assert site.pair.post(f"/glioloop/jobs/{job}/cancel").status_code == httpx.codes.OK
        assert site.job(job)["state"] == "cancelled"
        site.pair.workstation.start(60 * PATIENCE)
        site.retry(job)
        again = site.wait_end(job)
        assert again["state"] == "done", again["error"]
        site.check(again)


@pytest.mark.parametrize("stage", (INTAKE, *CLINICAL))
def test_queue_damaged(layout: Layout, small_study: Path, stage: str, record_cell: Callable[..., Any]) -> None:
    """Told as such while the node runs and when it starts; after the documented repair each study is done once."""
    with record_cell(DAMAGED, stage) as outcome, Site(layout, small_study) as site:
        site.gates.shut(stage, START)
        queue = site.queue()
        queue.enqueue_intake(site.study, "before", "stable")
        queue.close()
        site.wait_at(stage, START)
        for database in layout.state.glob("queue.sqlite*"):
            with database.open("r+b") as file:
                file.write(b"\xff" * database.stat().st_size)
        site.gates.open_all()

        def told() -> bool:
            return bool((site.health().get("error") or {}).get("code") == "QUEUE_DAMAGED")

        wait_for(told, 60, "the reason in the node's health")
        with site.pair.node.client() as client:
            assert client.get("/glioloop/health").status_code == httpx.codes.SERVICE_UNAVAILABLE
        with site.prober.pause():
            site.pair.node.stop()
            forget_queue(layout.state)
            site.pair.node.start(60 * PATIENCE)
        site.pair.wait_ready(120)
        time.sleep(1)
        answer = site.pair.post(f"/glioloop/studies/{site.study}/process", {})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        job = site.wait_end(answer.json()["id"])
        assert job["state"] == "done", job["error"]
        outcome("told: QUEUE_DAMAGED; repaired and asked again: done")
        site.check(job)
