"""Deaths and hangs of worker and Orthanc, at every stage."""

import signal

import pytest

from tests.faults.conftest import MakeSite, Record
from tests.orthanc.conftest import wait_for

STAGES = ("identify", "load", "align", "infer", "restore", "write", "store", "forward")


@pytest.mark.parametrize("stages", [STAGES[:3], STAGES[3:6], STAGES[6:]], ids="-".join)
def test_worker_killed(make_site: MakeSite, record: Record, stages: tuple[str, ...]) -> None:
    site = make_site()
    for stage in stages:
        job = site.wait_end(site.at_stage(stage, lambda: site.signal_worker(signal.SIGKILL)))
        assert job["state"] == "done", job["error"]
        record("worker kill -9", stage, "done once, after a restart of the worker", job["attempts"])
    site.check()


@pytest.mark.parametrize("stages", [("load", "infer"), ("write", "forward")], ids="-".join)
def test_worker_halted(make_site: MakeSite, record: Record, stages: tuple[str, ...]) -> None:
    """A process that is there and does nothing: killed for its silence, its job done by the next."""
    site = make_site(WorkerSilenceSeconds=10)
    for stage in stages:
        job = site.wait_end(site.at_stage(stage, lambda: site.signal_worker(signal.SIGSTOP)))
        assert job["state"] == "done", job["error"]
        record("worker hangs (halted)", stage, "killed after its silence, done once", job["attempts"])
    site.check()


def test_stage_never_ends(make_site: MakeSite, record: Record) -> None:
    """Inference that never ends: given up after two tries, with its reason; the next study is done."""
    site = make_site(StageDeadlineSeconds=20)
    hung = site.process(model="bright@0.0.1")
    behind = site.process()
    job = site.wait_end(hung)
    assert job["state"] == "failed"
    assert job["error"]["code"] == "STAGE_TIMEOUT"
    after = site.wait_end(behind)
    assert after["state"] == "done", after["error"]
    record("stage never ends", "infer", "failed: STAGE_TIMEOUT; the study behind it done", job["attempts"])
    site.check()


def test_worker_dies_each_time(make_site: MakeSite, record: Record) -> None:
    """What kills the worker at every try (as the kernel does for want of memory) ends as a stated failure."""
    site = make_site()
    queue = site.queue()
    job = site.process()

    def killed_until_ended() -> bool:
        view = queue.job(job) or {}
        if view.get("state") == "running" and view.get("stage") == "infer":
            pids = [one["pid"] for one in site.health()["workers"] if one["pid"]]
            for pid in pids:
                signal.pidfd_send_signal(_pidfd(pid), signal.SIGKILL)
        return view.get("state") in ("failed", "done")

    wait_for(killed_until_ended, 480, "the end of the tries")
    queue.close()
    ended = site.wait_end(job)
    assert ended["state"] == "failed"
    assert ended["error"]["code"] == "WORKER_DIED"
    attempts = ended["attempts"]
    assert site.pair.post(f"/glioloop/jobs/{job}/retry").status_code == 202
    again = site.wait_end(job)
    assert again["state"] == "done", again["error"]
    record("worker killed at every try", "infer", "failed: WORKER_DIED; retry: done once", attempts)
    site.check()


def _pidfd(pid: int) -> int:
    import os  # noqa: PLC0415

    return os.pidfd_open(pid)


def test_too_little_memory(make_site: MakeSite, record: Record) -> None:
    """A worker with less memory than its imports and one study take says so."""
    site = make_site(WorkerMemoryGigabytes=0.30)
    job = site.wait_end(site.process())
    assert job["state"] == "failed", job
    assert job["error"]["code"] in ("OUT_OF_MEMORY", "WORKER_DIED"), job["error"]
    record("too little memory", job["stage"], f"failed: {job['error']['code']}", job["attempts"])
    site.check()


@pytest.mark.parametrize("stages", [("load", "infer"), ("store", "forward")], ids="-".join)
def test_orthanc_killed(make_site: MakeSite, record: Record, stages: tuple[str, ...]) -> None:
    """A power cut: Orthanc and worker die at once, and both start again."""
    site = make_site()
    for stage in stages:
        job = site.wait_end(site.at_stage(stage, site.restart_orthanc))
        assert job["state"] == "done", job["error"]
        record("Orthanc and worker kill -9, restart", stage, "done once", job["attempts"])
    site.check()
