"""What the workflow of a check has a child do: see :mod:`pipeline.jobs.tasks`."""

from typing import TYPE_CHECKING

import structlog

from pipeline.case.job import JobView
from pipeline.child.task import Report
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.resources import archive, settings
from pipeline.names import JobState

if TYPE_CHECKING:
    from pipeline.jobs.checks import CheckOutcome

log = structlog.get_logger()


def send_sample(_report: Report, identity: str) -> str:
    """Send the sample as a study that arrives; return Orthanc's id of it."""
    from pipeline.canary.study import test_images

    study = ""
    for content in test_images(identity):
        answer = archive().post("/instances", content) or {}
        if answer.get("Status") not in ("Success", "AlreadyStored"):
            raise GlioLoopError("STORE_FAILED", f"the sample study: {answer.get('Status', 'no status')}")
        study = str(answer["ParentStudy"])
    return study


def compare_sample(_report: Report, job: JobView, record: bool) -> "CheckOutcome":
    """Compare a job's contours of the sample with the expected ones.

    Raises
    ------
    GlioLoopError
        NODE_UNWELL where there are none.
    """
    import pydicom

    from pipeline.canary.expected import (
        Expectations,
        agreements,
        differences,
        far_from_truth,
        masks_of,
        sample_volume,
        truth,
    )
    from pipeline.jobs.checks import CheckOutcome

    if job.state != JobState.DONE:
        raise GlioLoopError("NODE_UNWELL", f"the job ended {job.state}: {job.error.code if job.error else ''}")
    instance = job.result.stored.get("rtstruct") if job.result else None
    model = str(job.model)
    path = settings().state_folder / "check" / "found.dcm"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not instance or not archive().download(f"/instances/{instance}/file", path):
        raise GlioLoopError("NODE_UNWELL", "there is no structure set in the archive")
    volume = sample_volume(settings().reference)
    found = masks_of(pydicom.dcmread(path), volume, settings().roi_names)
    path.unlink()
    expectations = Expectations(settings().state_folder)
    expectations.keep(found)
    expected = None if record else expectations.read(model)
    compared = agreements(found, expected or truth(volume), volume)
    wrong = far_from_truth(compared) if expected is None else differences(compared)
    if not wrong and expected is None:
        expectations.record(model, found)
        log.info("check: contours of this network are expected from now on", model=model)
    return CheckOutcome(
        well=not wrong,
        model=model,
        recorded=not wrong and expected is None,
        dice={region.value: one.dice for region, one in compared.items()},
        volumes_ml={region.value: one.volume_ml for region, one in compared.items()},
        error=ErrorRecord.of(GlioLoopError("NODE_UNWELL", "; ".join(wrong))) if wrong else None,
    )
