"""The pipeline with no server: a folder of DICOM files in, objects and result.json out."""

import json
import shutil
import tempfile
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import pydicom

from pipeline.case import stages
from pipeline.case.identity import job_id
from pipeline.case.optional import optional_sequences
from pipeline.case.outcomes import CaseOutcomes, Identified, SegmentationResult, StageOutcome, all_flags, timed, told
from pipeline.case.workspace import Workspace
from pipeline.database.engine import database_of
from pipeline.errors import Flag
from pipeline.identify import Decision, StudyFiles, identify, study_from_files
from pipeline.inference.session import load_networks
from pipeline.names import MRSequence, Progress, Stage
from pipeline.registry import ModelCard, Registry
from pipeline.settings import load_settings

_Outcome = TypeVar("_Outcome", bound=StageOutcome)


def segment_folder(study: Path, out: Path, model: str | None, progress: Progress) -> SegmentationResult:
    """Segment the study in a folder.

    Parameters
    ----------
    study
        Folder with the DICOM files of one study, searched recursively.
    out
        Gets rtstruct.dcm, seg.dcm, report.dcm, preview.dcm, preview.png, result.json; more where ``Objects`` says so.
    model
        ``name@version``; None takes the promoted one.
    progress
        Told the stage at work, and how far it is.

    Returns
    -------
    SegmentationResult
        What result.json holds.

    Raises
    ------
    GlioLoopError
        The refusals and failures of every stage.
    """
    settings = load_settings()
    registry = Registry(settings.models_folder, settings.state_folder, database_of(settings))
    installed = registry.get(model or settings.model or None)

    def run(stage: Stage, work: Callable[[Callable[[float], None]], _Outcome]) -> _Outcome:
        progress(stage.value, None)
        return timed(lambda: work(lambda fraction: progress(stage.value, fraction)))

    with tempfile.TemporaryDirectory(prefix="glioloop-") as folder, ThreadPoolExecutor(1) as beside:
        # Reading files keeps one core busy. What goes wrong here goes wrong again where the networks are wanted.
        networks = beside.submit(load_networks, installed, settings.provider)
        case = Workspace(Path(folder))
        files = study_from_files(path for path in sorted(study.rglob("*")) if path.is_file())
        fetch = partial(_copy, case, files)
        reference, most = settings.reference, settings.most_series_bytes
        optional = optional_sequences(settings, installed.card)
        decision = identify(files.headers, settings.identification)
        identified = run(Stage.IDENTIFY, lambda _: _identified(decision, files, optional))
        loaded = run(Stage.LOAD, lambda report: stages.load_stage(case, decision, most, report, reference, fetch))
        aligned = run(Stage.ALIGN, lambda _: stages.align_stage(case, reference, decision.named))
        wait([networks])
        inferred = run(
            Stage.INFER,
            lambda report: stages.infer_stage(case, reference, installed, report, optional, settings.provider),
        )
        restored = run(Stage.RESTORE, lambda _: stages.restore_stage(case, reference, installed.card))
        flags = all_flags((identified, loaded, aligned, inferred, restored))
        identity = _identity(case, reference, installed.card)
        written = run(
            Stage.WRITE, lambda _: stages.write_stage(case, settings, installed, flags, identity, datetime.now(UTC))
        )
        out.mkdir(parents=True, exist_ok=True)
        for path in case.objects.iterdir():
            if path.is_dir():
                shutil.copytree(path, out / path.name, dirs_exist_ok=True)
            else:
                shutil.copyfile(path, out / ("report.dcm" if path.name == "sr.dcm" else path.name))
    outcomes = CaseOutcomes(identified, loaded, aligned, inferred, restored, written)
    timings = {stage.value: outcome.seconds for stage, outcome in outcomes.by_stage().items()}
    result = outcomes.result(installed.card.identity, reference).model_copy(update={"timings_s": timings})
    (out / "result.json").write_text(json.dumps(result.as_json(), indent=2))
    return result


def _identified(decision: Decision, files: StudyFiles, optional: Collection[MRSequence]) -> Identified:
    """Refuse a study that cannot be done; note what is to be looked at."""
    flags = decision.require(optional)
    if files.damaged:
        flags = (*flags, Flag("FILES_DAMAGED", f"{len(files.damaged)} files."))
    return Identified(identification=decision, flags=told(flags))


def _copy(case: Workspace, files: StudyFiles, sequence: MRSequence, uid: str) -> None:
    """Gather the files of a series in the workspace."""
    files.require_one_study(uid)
    shutil.rmtree(case.source(sequence), ignore_errors=True)
    case.source(sequence).mkdir(parents=True)
    for number, path in enumerate(files.paths[uid]):
        shutil.copyfile(path, case.source(sequence) / f"{number:05d}.dcm")


def _identity(case: Workspace, reference: MRSequence, card: ModelCard) -> str:
    """What seeds the objects' UIDs: the images and the network, as of a job, wherever the folder lies."""
    header = pydicom.dcmread(case.source_files(reference)[0], specific_tags=["PatientID", "StudyInstanceUID"])
    return job_id(
        f"{header.get('PatientID', '')}|{header.get('StudyInstanceUID', '')}",
        [uid for sequence in case.read_json("volumes") for uid in case.instances(MRSequence(sequence))],
        card.identity,
        {},
    )
