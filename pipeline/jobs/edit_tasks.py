"""What the workflow of an edit has a child do: see :mod:`pipeline.jobs.tasks`."""

import shutil
from datetime import datetime

from pipeline.archive.store import store
from pipeline.case.job import JobView
from pipeline.child.task import Report
from pipeline.errors import GlioLoopError
from pipeline.jobs.request import JobRequest
from pipeline.jobs.resources import archive, folders, settings


def draw(
    _report: Report, job: JobView, request: JobRequest, edit: str, body: dict[str, object], by: str, at: str
) -> str:
    """Store a job's structure set as a person edited it, or as the consensus of several; returns its Orthanc id.

    Parameters
    ----------
    job, request
        The job, and what was asked of it.
    edit
        Id of the edit; seeds the object's UIDs.
    body
        :class:`pipeline.corrections.edits.Edits`, or :class:`pipeline.corrections.edits.AskedConsensus`.
    by, at
        Who edited or asked, and when.
    """
    import pydicom
    import SimpleITK as sitk

    from pipeline.case.stages import headers_of
    from pipeline.case.workspace import Workspace
    from pipeline.corrections.depths import apply_edits, depths_of
    from pipeline.corrections.edits import AskedConsensus, Edits
    from pipeline.corrections.judging import load_again
    from pipeline.corrections.store import CorrectionStore
    from pipeline.corrections.together import put_together
    from pipeline.database.engine import database_of
    from pipeline.names import TUMOUR_REGIONS
    from pipeline.objects.regions import REGION_STYLES
    from pipeline.objects.rtstruct.edited import edited
    from pipeline.objects.rtstruct.read import read_structure_set
    from pipeline.objects.source import reference_series

    own = folders().file(f"jobs/{job.id}", "objects/rtstruct.dcm")
    if not own.exists():
        raise GlioLoopError("RESULT_LACKING", "the files of the job are no longer kept")
    work = settings().feedback_folder / "work" / edit
    try:
        case = Workspace(work / "case")
        load_again(archive(), settings(), request, case)
        reference = (job.result and job.result.reference) or settings().reference
        volume = case.read_reference(reference)
        automatic = pydicom.dcmread(own)
        numbers = {region: REGION_STYLES[region].number for region in TUMOUR_REGIONS}
        read = {one.number: one.mask for one in read_structure_set(automatic, volume, numbers.values())}
        masks = {
            region: sitk.GetArrayFromImage(read[number]) > 0 for region, number in numbers.items() if number in read
        }
        series = reference_series(headers_of(case, reference, volume), volume)
        when = datetime.fromisoformat(at)
        if "consensus_of" in body:
            corrections = CorrectionStore(settings().feedback_folder, database_of(settings()), settings().feedback)
            asked = AskedConsensus.model_validate(body)
            made = put_together(corrections, asked, job.id, automatic, masks, series, by, when)
        else:
            edits = Edits.model_validate(body)
            after = apply_edits(masks, depths_of(edits, volume.image.GetSize()))
            made = edited(
                automatic,
                series,
                {numbers[region]: mask for region, mask in masks.items()},
                {numbers[region]: mask for region, mask in after.items()},
                by,
                when,
                f"{edit} {job.id}",
                edits.accept,
            )
        path = work / "rtstruct.dcm"
        made.save_as(path, enforce_file_format=True)
        return store(archive(), [path])[path.stem]
    finally:
        shutil.rmtree(work, ignore_errors=True)
