"""What the workflows have a child do, each a function of plain and typed values: see :mod:`pipeline.child`.

The worker imports this module to name the functions, and never runs them: what computes is imported where it is used,
so that the worker stays small.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from pipeline.archive.client import fetch_series
from pipeline.archive.forward import begin_sending, check_destinations
from pipeline.archive.store import store as upload
from pipeline.archive.study import Study, find_study
from pipeline.case.job import JobView
from pipeline.case.optional import optional_sequences
from pipeline.case.outcomes import (
    Aligned,
    Identified,
    Inferred,
    JobOutput,
    Loaded,
    RestoredVolumes,
    Stored,
    Written,
    told,
)
from pipeline.child.task import Report
from pipeline.corrections.verdicts import Outcome
from pipeline.errors import GlioLoopError
from pipeline.errors.records import FlagRecord
from pipeline.identify import Decision
from pipeline.jobs.preparation import Prepared, prepare, seems_whole
from pipeline.jobs.queues import COURSE_WORKFLOW, READY
from pipeline.jobs.request import JobRequest, ProcessOptions
from pipeline.jobs.resources import archive, folders, settings
from pipeline.names import MRSequence, Provider, Stage
from pipeline.registry import InstalledModel, ModelCard

if TYPE_CHECKING:
    from pipeline.case.workspace import Workspace

log = structlog.get_logger()

_REPORT_SECONDS: Final = 0.25


def nothing(_report: Report) -> None:
    """Need nothing."""


def warm(_report: Report, model: InstalledModel | None, known: Mapping[str, Provider]) -> Mapping[str, Provider]:
    """Load the networks, so that no job waits for it; tell the next child what they run on."""
    from pipeline.inference.provider import fallback
    from pipeline.inference.session import load_networks

    wanted = settings().provider
    reason = fallback(wanted)
    if reason:
        log.warning("networks run on something else than was meant", reason=reason)
    return known if model is None else load_networks(model, wanted, known)


def workspace(identity: str) -> "Workspace":
    """Return the working folder of a job."""
    from pipeline.case.workspace import Workspace

    return Workspace(settings().jobs_folder / identity)


# --- intake ---


@dataclass(frozen=True)
class FoundStudy:
    """A study as it was found.

    Attributes
    ----------
    study
        The study.
    prepared
        What its job would be.
    error
        Why there is none.
    whole
        Of one that is not stable yet: whether nothing speaks for images that are still to come.
    """

    study: Study
    prepared: Prepared | None = None
    error: GlioLoopError | None = None
    whole: bool = True


def find_and_identify(_report: Report, study_id: str, origin: str, card: ModelCard | None) -> FoundStudy:
    """Look a study up and identify its series; without a network's card only the first.

    Raises
    ------
    GlioLoopError
        STUDY_UNKNOWN.
    """
    study = find_study(archive(), study_id)
    if card is None:
        return FoundStudy(study)
    to_nobody = study.is_test or origin == COURSE_WORKFLOW
    options = ProcessOptions(destinations=() if to_nobody else None)
    try:
        prepared = prepare(archive(), settings(), study, options, card, origin)
        whole = origin != READY or seems_whole(archive(), study, prepared.decision)
    except GlioLoopError as error:
        return FoundStudy(study, error=error)
    return FoundStudy(study, prepared, whole=whole)


# --- segmentation ---


def identify(_report: Report, request: JobRequest) -> Identified:
    """Refuse what cannot be done."""
    flags = request.identification.require(request.may_lack)
    check_destinations(archive(), map(settings().destination, request.destinations or ()))
    # Recorded with this step: a later one that runs twice writes the same time into the objects.
    return Identified(created=datetime.now(UTC), flags=told(flags))


def load(report: Report, identity: str, request: JobRequest, reference: MRSequence) -> Loaded:
    """Fetch the chosen series and read them as volumes."""
    from pipeline.case import stages

    case = workspace(identity)
    decision = request.identification
    most = settings().most_series_bytes
    case.drop_sources()  # a try before this one may have let series change places
    total = sum(len(request.instances[uid]) for uid in decision.chosen.values())
    done = 0

    def fetched() -> None:
        nonlocal done
        done += 1

    def bring(sequence: MRSequence, uid: str) -> None:
        _refuse_too_large(decision, uid, most)
        fetch_series(archive(), request.instances[uid], case.source(sequence), most, fetched)

    # The series behind the one that is being read come meanwhile: Orthanc works on another core.
    with ThreadPoolExecutor(1) as beside:
        coming = {(sequence, uid): beside.submit(bring, sequence, uid) for sequence, uid in decision.chosen.items()}

        def fetch(sequence: MRSequence, uid: str) -> None:
            series = coming.pop((sequence, uid), None) or beside.submit(bring, sequence, uid)
            while wait([series], _REPORT_SECONDS).not_done:
                report(min(0.5, 0.5 * done / total))
            series.result()

        try:
            loaded = stages.load_stage(case, decision, most, lambda part: report(0.5 + 0.5 * part), reference, fetch)
        finally:
            beside.shutdown(cancel_futures=True)
    case.note_stage(Stage.LOAD)
    return loaded


def _refuse_too_large(decision: Decision, uid: str, most_bytes: int) -> None:
    """Refuse a series that is too large before any of it is fetched."""
    for verdict in decision.verdicts:
        if verdict.series_instance_uid == uid and verdict.orthanc_id:
            statistics = archive().get(f"/series/{verdict.orthanc_id}/statistics")
            size = int(statistics["DiskSize"]) if statistics else 0
            if size > most_bytes:
                raise GlioLoopError("INPUT_TOO_LARGE", f"{size >> 20} MB in series {verdict.series_instance_uid}")
            return


def align(_report: Report, identity: str, request: JobRequest, reference: MRSequence) -> Aligned:
    """Align every sequence to the reference."""
    from pipeline.case import stages

    case = workspace(identity)
    aligned = stages.align_stage(case, reference, request.identification.named)
    case.note_stage(Stage.ALIGN)
    return aligned


def infer(report: Report, identity: str, model: InstalledModel, reference: MRSequence) -> Inferred:
    """Run the networks."""
    from pipeline.case import stages

    case, optional = workspace(identity), optional_sequences(settings(), model.card)
    inferred = stages.infer_stage(case, reference, model, report, optional, settings().provider)
    case.note_stage(Stage.INFER)
    return inferred


def restore(_report: Report, identity: str, model: InstalledModel, reference: MRSequence) -> RestoredVolumes:
    """Bring the result to the reference's slices."""
    from pipeline.case import stages

    case = workspace(identity)
    restored = stages.restore_stage(case, reference, model.card)
    case.note_stage(Stage.RESTORE)
    return restored


def write(
    _report: Report,
    identity: str,
    request: JobRequest,
    model: InstalledModel,
    reference: MRSequence,
    flags: tuple[FlagRecord, ...],
    created: datetime,
    predecessors: list[str],
) -> tuple[Written, dict[MRSequence, list[str]]]:
    """Write the objects, and what the dashboard shows.

    Parameters
    ----------
    predecessors
        Orthanc's ids of structure sets, of which the first that is still there is replaced.

    Returns
    -------
    tuple
        The objects, and the SOP Instance UIDs of the slices that were read, per sequence.
    """
    import pydicom

    from pipeline.case import stages
    from pipeline.dashboard.pictures import pictures_beside

    case = workspace(identity)
    path = case.path / "predecessor.dcm"
    there = any(archive().download(f"/instances/{one}/file", path) for one in predecessors)
    with pictures_beside(case, reference, settings().roi_names):
        written = stages.write_stage(
            case,
            settings().model_copy(update={"reference": reference}),
            model,
            flags,
            identity,
            created,
            pydicom.dcmread(path) if there else None,
        )
    case.note_stage(Stage.WRITE)
    return written, {sequence: case.instances(sequence) for sequence in request.identification.chosen}


@dataclass(frozen=True)
class Recipe:
    """All that the files of a job's stages are made from.

    Attributes
    ----------
    request, settled
        As it was asked, and with the decision as the images settled it.
    reference
        Sequence whose slices carry the contours.
    flags, created, predecessors
        As :func:`write` takes them; for what follows on it.
    """

    request: JobRequest
    settled: JobRequest
    reference: MRSequence
    flags: tuple[FlagRecord, ...] = ()
    created: datetime | None = None
    predecessors: tuple[str, ...] = ()


def make_again(report: Report, identity: str, before: Stage, recipe: Recipe, model: InstalledModel) -> None:
    """Make the files of the stages before one where they are not here: the host that made them is no more.

    Results repeat to the last bit, so that what is recorded of those stages stays true.
    """
    case, reference, settled = workspace(identity), recipe.reference, recipe.settled
    created = recipe.created or datetime.now(UTC)
    stages: dict[Stage, Callable[[], object]] = {
        Stage.LOAD: lambda: load(report, identity, recipe.request, reference),
        Stage.ALIGN: lambda: align(report, identity, settled, reference),
        Stage.INFER: lambda: infer(report, identity, model, reference),
        Stage.RESTORE: lambda: restore(report, identity, model, reference),
        Stage.WRITE: lambda: write(
            report, identity, settled, model, reference, recipe.flags, created, list(recipe.predecessors)
        ),
    }
    for stage, work in stages.items():
        if stage is before:
            return
        if not case.has_stage(stage):
            log.warning("made again: its files are on another disk", job=identity, stage=stage.value)
            work()


def store(_report: Report, identity: str, study: str) -> Stored:
    """Upload the objects."""
    # An upload into a study that was deleted meanwhile would bring an empty shell of it back.
    if archive().get(f"/studies/{study}") is None:
        raise GlioLoopError("STUDY_GONE", study)
    folder = workspace(identity).objects
    return Stored(
        stored=upload(archive(), sorted(folder.glob("*.dcm"))),
        series={
            one.name: tuple(upload(archive(), sorted(one.glob("*.dcm"))).values())
            for one in sorted(folder.iterdir())
            if one.is_dir()
        },
    )


def tidy(_report: Report, identity: str, output: JobOutput) -> None:
    """Keep how a job ended beside its objects, and drop its working files."""
    case = workspace(identity)
    case.write_json("result", (output.result or JobOutput(error=output.error)).as_json())
    if not settings().keep_job_files:
        case.tidy()
    folders().give(f"jobs/{identity}", case.remains)


# --- delivery ---


def forward(_report: Report, destination: str, resources: list[str], most_seconds: float) -> str | None:
    """Begin one try: see :func:`pipeline.archive.forward.begin_sending`."""
    return begin_sending(archive(), settings().destination(destination), resources, most_seconds)


# --- corrections ---


def judge(
    _report: Report, study: str, instance: str, done: list[JobView], requests: Mapping[str, JobRequest]
) -> Outcome | None:
    """Look at an object that lies in a processed study: see :class:`pipeline.corrections.judging.Judge`."""
    from pipeline.corrections.judging import Judge

    return Judge(archive(), settings(), study, instance, done, requests).judge()
