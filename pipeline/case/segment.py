"""The pipeline with no server: a folder of DICOM files in, objects and result.json out."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pydicom

from pipeline.case import stages
from pipeline.case.identity import job_id
from pipeline.case.lacking import may_lack_of
from pipeline.case.workspace import Workspace
from pipeline.errors import Flag
from pipeline.identify import Decision, StudyFiles, identify, require_one_study, study_from_files
from pipeline.names import MRSequence, Progress, Stage
from pipeline.registry import ModelCard, Registry
from pipeline.settings import Settings, load_settings

#: File names that DESIGN promises for each kind of object.
_FILE_NAMES = {"rtstruct": "rtstruct.dcm", "seg": "seg.dcm", "sr": "report.dcm", "preview": "preview.dcm"}


def segment_folder(study: Path, out: Path, model: str | None, progress: Progress) -> dict[str, Any]:
    """Segment the study in a folder.

    Parameters
    ----------
    study
        Folder with the DICOM files of one study, searched recursively.
    out
        Gets rtstruct.dcm, seg.dcm, report.dcm, preview.dcm, preview.png and result.json.
    model
        ``name@version``; None takes the promoted one.
    progress
        Told the stage at work, and how far it is.

    Returns
    -------
    dict
        What result.json holds.

    Raises
    ------
    GlioLoopError
        The refusals and failures of every stage.
    """
    settings = load_settings()
    installed = Registry(settings.models_folder, settings.state_folder).get(model or settings.model or None)
    outcomes: dict[str, dict[str, Any]] = {}

    def run(stage: Stage, work: Callable[[Callable[[float], None]], dict[str, Any]]) -> None:
        outcome: dict[str, Any] = {}
        progress(stage.value, None)
        with stages.timed(outcome):
            outcome |= work(lambda fraction: progress(stage.value, fraction))
        outcomes[stage.value] = outcome

    with tempfile.TemporaryDirectory(prefix="glioloop-") as folder:
        case = Workspace(Path(folder))
        files = study_from_files(path for path in sorted(study.rglob("*")) if path.is_file())
        fetch = partial(_copy, case, files.paths)
        run(Stage.IDENTIFY, lambda _: _identify(files, settings, installed.card))
        decision = Decision.from_json(outcomes[Stage.IDENTIFY.value]["identification"])
        most = settings.most_series_bytes
        run(Stage.LOAD, lambda report: stages.load_stage(case, decision, most, report, settings.reference, fetch))
        run(Stage.ALIGN, lambda _: stages.align_stage(case, settings.reference, decision.named))
        may_lack = may_lack_of(settings, installed.card)
        run(Stage.INFER, lambda report: stages.infer_stage(case, settings.reference, installed, report, may_lack))
        run(Stage.RESTORE, lambda _: stages.restore_stage(case, settings.reference, installed.card))
        flags = [flag for outcome in outcomes.values() for flag in outcome.get("flags", [])]
        identity = _identity(case, settings.reference, installed.card)
        run(Stage.WRITE, lambda _: stages.write_stage(case, settings, installed, flags, identity, datetime.now(UTC)))
        out.mkdir(parents=True, exist_ok=True)
        for path in case.objects.iterdir():
            shutil.copyfile(
                path, out / _FILE_NAMES.get(path.stem, path.name) if path.suffix == ".dcm" else out / path.name
            )
    result = stages.collect_result(outcomes, installed.card.identity, settings.reference)
    result["timings_s"] = {stage: outcome["seconds"] for stage, outcome in outcomes.items()}
    (out / "result.json").write_text(json.dumps(result, indent=2))
    return result


def _identify(files: StudyFiles, settings: Settings, card: ModelCard) -> dict[str, Any]:
    decision = identify(files.headers, settings.identification)
    flags = list(decision.require(may_lack_of(settings, card)))
    if files.damaged:
        flags.append(Flag("FILES_DAMAGED", f"{len(files.damaged)} files."))
    return {"identification": decision.as_json(), "flags": [flag.as_json() for flag in flags]}


def _copy(case: Workspace, paths: Mapping[str, list[Path]], sequence: MRSequence, uid: str) -> None:
    """Gather the files of a series in the workspace."""
    require_one_study(paths[uid])
    shutil.rmtree(case.source(sequence), ignore_errors=True)
    case.source(sequence).mkdir(parents=True)
    for number, path in enumerate(paths[uid]):
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
