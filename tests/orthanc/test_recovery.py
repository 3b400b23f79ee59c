"""Deaths in the middle of work: nothing is lost and nothing is done twice."""

import os
import signal
from collections import Counter
from pathlib import Path

import httpx
import pytest

from pipeline.audit import AuditTrail
from pipeline.database.engine import database_in
from pipeline.node import OrthancProcess
from pipeline.node.backup import back_up, restore
from pipeline.settings import load_settings
from tests.orthanc.conftest import STABLE_AGE, Pair, make_pair, send
from tests.patience import FairClock, wait_for
from tests.unit.database.former import FACTS, unpack


def test_worker_killed_during_inference(pair: Pair, real_study: Path, small_study: Path) -> None:
    """Kill -9 in the middle of inference, the next study taken up already: the next worker finishes each, once."""
    send(pair, real_study)
    send(pair, small_study)

    def at_work() -> bool:
        jobs = pair.get("/glioloop/jobs")
        return [job["state"] for job in jobs] == ["running"] * 2 and any(job["stage"] == "infer" for job in jobs)

    wait_for(at_work, 120, "inference, and another job beside it")
    (worker,) = pair.get("/glioloop/health")["workers"]
    os.kill(worker["pid"], signal.SIGKILL)
    ended = ("done", "failed", "refused")
    wait_for(lambda: all(job["state"] in ended for job in pair.get("/glioloop/jobs")), 240, "the end of both")
    jobs = pair.get("/glioloop/jobs")
    assert [(job["state"], job["attempts"]) for job in jobs] == [("done", 2)] * 2, [job["error"] for job in jobs]
    assert len(pair.node_structure_sets()) == 2
    wait_for(lambda: len(pair.workstation_structure_sets()) == 2, 60, "both at the workstation")
    (worker,) = pair.get("/glioloop/health")["workers"]
    assert worker["restarts"] == 1
    assert worker["last_exit"] == -signal.SIGKILL


def test_restart_within_stable_age(tmp_path: Path, small_study: Path) -> None:
    """Orthanc restarts before the study is stable, and so never tells that it is: it is found all the same."""
    pair = make_pair(tmp_path, GraceSeconds=600)
    with pair.workstation:
        with pair.node:
            pair.wait_ready()
            # The first start takes note of where Orthanc's log of changes ends.
            wait_for(lambda: pair.cursor() is not None, 30, "the first scan")
            send(pair, small_study)
        with OrthancProcess(pair.node.configuration) as again:
            pair.node = again
            job = pair.wait_job("done", "failed", "refused")
            assert job["state"] == "done", job["error"]
            assert len(pair.workstation_structure_sets()) == 1


def test_orthanc_killed_during_work(tmp_path: Path, small_study: Path) -> None:
    """Kill -9 of Orthanc takes the worker along; the next start finishes the job."""
    # On a machine so busy that images come further apart than the stable age, half a study is not refused meanwhile.
    pair = make_pair(tmp_path, GraceSeconds=600)
    with pair.workstation:
        with pair.node:
            pair.wait_ready()
            send(pair, small_study)
            wait_for(lambda: bool(pair.get("/glioloop/jobs")), 60, "a job")
            (worker,) = pair.get("/glioloop/health")["workers"]
            pair.node.kill()
            wait_for(lambda: not _runs(worker["pid"]), 10, "the end of the worker")
        with OrthancProcess(pair.node.configuration) as again:
            pair.node = again
            job = pair.wait_job("done", "failed", "refused")
            assert job["state"] == "done", job["error"]
            assert len(pair.get("/glioloop/jobs")) == 1
            assert len(pair.workstation_structure_sets()) == 1


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed process whose parent died is reaped by init in its own time.
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_workstation_down_for_the_first_tries(tmp_path: Path, small_study: Path) -> None:
    """A destination that is down is tried again, and gets the result exactly once."""
    pair = make_pair(tmp_path, ForwardRetrySeconds=[1, 1, 60])
    with pair.node:
        pair.wait_ready()
        send(pair, small_study)

        def tried_twice() -> bool:
            jobs = pair.get("/glioloop/jobs")
            return bool(jobs) and jobs[0]["deliveries"].get("workstation", {}).get("attempts", 0) >= 2

        wait_for(tried_twice, 120, "two tries")
        assert pair.get("/glioloop/jobs")[0]["state"] == "running"
        with pair.workstation:
            job = pair.wait_job("done", "failed")
            assert job["state"] == "done", job["error"]
            assert job["deliveries"]["workstation"]["attempts"] > 2
            assert len(pair.workstation_structure_sets()) == 1


def test_delivery_fails_then_is_retried_by_rest(tmp_path: Path, small_study: Path) -> None:
    """After the last try the job fails with its reason; retry sends again and does not segment again."""
    pair = make_pair(tmp_path, ForwardRetrySeconds=[1])
    with pair.node:
        pair.wait_ready()
        send(pair, small_study)
        job = pair.wait_job("failed", "done")
        assert job["error"]["code"] == "FORWARD_FAILED"
        assert len(pair.node_structure_sets()) == 1
        with pair.workstation:
            answer = pair.post(f"/glioloop/jobs/{job['id']}/retry")
            assert answer.status_code == httpx.codes.ACCEPTED
            again = pair.wait_job("done")
            assert again["id"] == job["id"]
            assert again["timings_s"]["infer"] == job["timings_s"]["infer"]
            assert len(pair.node_structure_sets()) == 1
            assert len(pair.workstation_structure_sets()) == 1


def test_orthanc_answers_while_a_job_runs(pair: Pair, sample_study: Path) -> None:
    """The archive is never held up by the work beside it."""
    send(pair, sample_study)
    slowest = 0.0
    with pair.node.client() as client:

        def ended() -> bool:
            nonlocal slowest
            clock = FairClock()
            client.get("/system").raise_for_status()
            slowest = max(slowest, clock.read())
            jobs = client.get("/glioloop/jobs").json()
            return bool(jobs) and jobs[0]["state"] in ("done", "failed", "refused")

        wait_for(ended, 240, "the end of the job")
    # Far below any time-out of a scanner, with room for a machine that computes on every core.
    assert slowest < STABLE_AGE


def test_a_node_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    """Its worker was killed at work, and Orthanc's storage and the working files are lost: every job says so."""
    unpack(tmp_path / "node")
    pair = make_pair(tmp_path)
    with pair.workstation, pair.node:
        pair.wait_ready()
        (current,) = [one for one in pair.get("/glioloop/models") if one["current"]]
        assert f"{current['name']}@{current['version']}" == FACTS["current"]
        kept = pair.get("/glioloop/feedback")
        assert [one["id"] for one in kept["cases"]] == [one["id"] for one in FACTS["cases"]]
        assert [one["id"] for one in kept["dropped"]] == [one["id"] for one in FACTS["ledger"]]
        former = {job["id"] for job in pair.get("/glioloop/jobs")}

        def over() -> bool:
            return all(job["state"] not in ("queued", "running") for job in pair.get("/glioloop/jobs"))

        wait_for(over, 120, "the end of what was at work")
        jobs = [job for job in pair.get("/glioloop/jobs") if job["id"] in former]
        assert Counter(job["state"] for job in jobs)["done"] == 1
        reasons = {job["error"]["code"] for job in jobs if job["error"]}
        assert reasons <= {"SEQUENCE_MISSING", "CASE_LOST", "STUDY_GONE", "IMAGE_MISSING"}, reasons
        assert pair.post("/glioloop/models/rollback").json()["current"] == FACTS["promotions"][-2]
        trail = AuditTrail(database_in(pair.node.configuration.state_folder))
        assert trail.verify() == []
        assert next(one.digest for one in trail.entries() if one.number == FACTS["audit_lines"]) == FACTS["audit_head"]


def test_a_backup_of_the_running_node_starts_in_an_empty_folder(
    pair: Pair, small_study: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Jobs, records and what the pages show are there again; images are Orthanc's own to bring back."""
    send(pair, small_study)
    job = pair.wait_job("done", "refused", "failed")
    folder = tmp_path_factory.mktemp("elsewhere")
    state = pair.node.configuration.state_folder
    made = back_up(load_settings({"StateFolder": str(state)}), folder / "backup.zip")
    assert made.database
    assert not made.archive
    restore(folder / "backup.zip", folder / "node")
    again = make_pair(folder)
    with again.node:
        again.wait_ready()
        assert [one["id"] for one in again.get("/glioloop/jobs")] == [job["id"]]
        with again.node.client() as client:
            for path in ("preview.png", "contours"):
                client.get(f"/glioloop/jobs/{job['id']}/{path}").raise_for_status()
        trail = AuditTrail(database_in(again.node.configuration.state_folder))
        assert not trail.verify()
