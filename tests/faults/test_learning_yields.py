"""Fine-tuning makes room for clinical work. Not shown yet: this has not passed on a busy machine."""

import shutil
import time
from pathlib import Path

import httpx

from tests.orthanc.conftest import copy_study, make_pair, send, wait_for
from tests.unit.feedback_phantom import write_threshold_model


def test_a_clinical_job_starts_while_the_network_learns(tmp_path: Path, sample_study: Path) -> None:
    """A study that arrives during a fine-tuning is at work within 10 s, and the fine-tuning makes room."""
    from tests.unit.test_finetune_learning import fill_store  # noqa: PLC0415 - only here

    write_threshold_model(tmp_path / "models", whole_tumour=2.0, core=2.0)
    pair = make_pair(tmp_path, ModelsFolder=str(tmp_path / "models"), Finetune={"Steps": 5000, "ReferenceCases": 0})
    fill_store(pair.node.configuration.state_folder / "feedback", tmp_path)
    with pair.workstation, pair.node:
        pair.wait_ready()
        run = pair.post("/glioloop/finetune")
        assert run.status_code == httpx.codes.ACCEPTED, run.text
        path = f"/glioloop/finetune/{run.json()['id']}"
        wait_for(lambda: pair.get(path)["phase"] is not None, 60, "the fine-tuning")
        study = copy_study(sample_study, tmp_path / "study", "t1", "t1c", "t2", "flair")
        send(pair, study)
        wait_for(lambda: bool(pair.get("/glioloop/jobs")), 60, "a job")
        queued = time.monotonic()
        wait_for(lambda: pair.get("/glioloop/jobs")[0]["stage"] is not None, 60, "the job's first stage")
        assert time.monotonic() - queued < 10
        wait_for(lambda: bool(pair.get(path)["paused"]) or bool(pair.get("/glioloop/jobs")[0]["result"]), 20, "a pause")
        assert pair.post(path + "/cancel").status_code == httpx.codes.OK
        assert pair.get(path)["state"] == "cancelled"
        assert pair.wait_job("done", "failed", "refused")["state"] in ("done", "refused")
    shutil.rmtree(tmp_path / "models")
