"""The course of a patient from folders of DICOM files, with no server: what ``./glioloop follow`` does with them."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pydicom

from pipeline.case.segment import segment_folder
from pipeline.corrections.recognise import read_object
from pipeline.course.change import PatientCourse, course_of
from pipeline.course.points import Measured, Origin, compare, compare_lost, measure, point_of
from pipeline.course.priors import StudyFacts, facts_from, group_of
from pipeline.course.records import TimePoint
from pipeline.course.scans import KINDS, Scan, masks_of
from pipeline.errors import GlioLoopError
from pipeline.identify import study_from_files
from pipeline.names import MRSequence, Progress
from pipeline.settings import Priors, Settings, load_settings
from pipeline.volume import read_volume


def follow_folders(folders: Sequence[Path], model: str | None, progress: Progress) -> PatientCourse:
    """Segment the study in each folder and compare them.

    Parameters
    ----------
    folders
        One study each, in any order; the newest decides whose course it is.
    model
        ``name@version``; None takes the promoted one.
    progress
        Told the study and stage at work, and how far it is.

    Raises
    ------
    GlioLoopError
        The refusals and failures of every stage.
    """
    settings = load_settings()
    found: dict[str, tuple[StudyFacts, Origin, Measured]] = {}
    for folder in folders:
        facts, origin, measured = segmented(folder, model, settings, progress)
        found[facts.study] = facts, origin, measured
    facts_by_date = sorted((one for one, _, _ in found.values() if one.at), key=lambda one: str(one.at))
    if not facts_by_date:
        raise GlioLoopError("REQUEST_INVALID", "no study has a date")
    group = group_of(facts_by_date[-1], [one for one, _, _ in found.values()], Priors(most=50, days=0))
    points: list[TimePoint] = []
    for facts in group.studies:
        _, origin, now = found[facts.study]
        before = points[-1] if points else None
        beside = None if before is None else compare(before, lambda study=before.study: found[study][2], now)  # type: ignore[misc]
        lost = partial(compare_lost, tuple(points), lambda study: found[study][2], now)
        points.append(point_of(facts, origin, now, beside, lost=lost))
    points[-1] = points[-1].model_copy(update={"left_out": group.left_out})
    return course_of("", points)


def segmented(
    folder: Path, model: str | None, settings: Settings, progress: Progress
) -> tuple[StudyFacts, Origin, Measured]:
    """Segment the study in a folder and measure it.

    Raises
    ------
    GlioLoopError
        The refusals and failures of every stage.
    """
    with tempfile.TemporaryDirectory(prefix="glioloop-") as out:
        result = segment_folder(folder, Path(out), model, lambda stage, done: progress(f"{folder.name}: {stage}", done))
        decision, reference = result.identification, result.reference or MRSequence.T1C
        if decision is None:
            raise GlioLoopError("SEQUENCE_UNDECIDED")
        paths = study_from_files(path for path in sorted(folder.rglob("*")) if path.is_file()).paths
        files = paths[decision.chosen[reference]]
        volume = read_volume(files, decision.parts.get(reference))
        objects = (path for kind in KINDS if (path := Path(out, f"{kind}.dcm")).is_file())
        drawn = next(objects, None)
        if drawn is None:
            raise GlioLoopError("CONFIGURATION_INVALID", "Objects: neither seg nor rtstruct")
        masks = masks_of(read_object(drawn), volume, reference, settings)
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    facts = facts_from(str(folder), {one.keyword: str(one.value) for one in header if one.VR != "SQ"})
    return facts, Origin(result.model, "automatic", facts.study_instance_uid), measure(Scan(volume, (), masks, None))
