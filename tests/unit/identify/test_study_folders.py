"""Folders as people have them: a damaged series beside a whole one, several patients, the same images elsewhere."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from pipeline.case import segment, stages
from pipeline.case.outcomes import Loaded
from pipeline.case.workspace import Workspace
from pipeline.database.engine import database_in
from pipeline.errors import GlioLoopError
from pipeline.identify import Decision, StudyFiles, identify, study_from_files
from pipeline.names import MRSequence
from pipeline.registry import Registry
from pipeline.settings import ROOT


def copied(source: Path, target: Path, change: Callable[[Dataset], None] = lambda _: None) -> None:
    """The files of a series with other UIDs and what else is changed."""
    target.mkdir(parents=True)
    series = generate_uid()
    for path in sorted(source.iterdir()):
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = series
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        change(dataset)
        dataset.save_as(target / path.name)


@pytest.fixture
def study(sample_study: Path, tmp_path: Path) -> Path:
    for sequence in MRSequence:
        shutil.copytree(sample_study / sequence.value, tmp_path / "study" / sequence.value)
    return tmp_path / "study"


def files_of(study: Path) -> StudyFiles:
    return study_from_files(sorted(study.rglob("*.dcm")))


def loaded(study: Path, case: Workspace) -> tuple[Decision, Decision, Loaded]:
    """The decision by the headers, after the series were read, and what the stage returned."""
    files = files_of(study)
    decision = identify(files.headers)
    outcome = stages.load_stage(case, decision, 1 << 30, lambda _: None, fetch=partial(segment._copy, case, files))
    return decision, outcome.identification or decision, outcome


def lacks_a_slice(series: Path) -> None:
    sorted(series.iterdir())[12].unlink()


def cut_off(series: Path) -> None:
    path = sorted(series.iterdir())[12]
    path.write_bytes(path.read_bytes()[:-4000])


@pytest.mark.parametrize("damage", [lacks_a_slice, cut_off])
@pytest.mark.parametrize("sequence", [MRSequence.T1C, MRSequence.FLAIR])
def test_a_whole_series_stands_in_for_a_damaged_one(
    study: Path, tmp_path: Path, damage: Callable[[Path], None], sequence: MRSequence
) -> None:
    def preferred(dataset: Dataset) -> None:
        dataset.MRAcquisitionType, dataset.SeriesNumber = "3D", 77

    copied(study / sequence.value, study / "preferred", preferred)
    damage(study / "preferred")
    case = Workspace(tmp_path / "case")
    before, after, outcome = loaded(study, case)
    assert before.chosen[sequence] != after.chosen[sequence]
    assert after.chosen[sequence] == pydicom.dcmread(next((study / sequence.value).iterdir())).SeriesInstanceUID
    (flag,) = [one for one in outcome.flags if one.code == "SECOND_CHOICE"]
    assert "series 77" in flag.detail
    verdicts = {one.series_number: one for one in after.verdicts}
    assert "can't be read" in verdicts[77].reasons[-1]
    assert len(case.source_files(sequence)) == len(list((study / sequence.value).iterdir()))


def test_without_a_second_choice_the_damage_itself_is_told(study: Path, tmp_path: Path) -> None:
    lacks_a_slice(study / "t1c")
    with pytest.raises(GlioLoopError) as caught:
        loaded(study, Workspace(tmp_path / "case"))
    assert caught.value.code == "GEOMETRY_INCOMPLETE"


def seed(study: Path, case: Workspace) -> str:
    loaded(study, case)
    card = Registry(ROOT / "models", case.path, database_in(case.path)).get("gliounet").card
    return segment._identity(case, MRSequence.T1C, card)


def test_uids_come_from_the_images_and_not_from_where_they_lie(study: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(study, tmp_path / "elsewhere")
    assert seed(study, Workspace(tmp_path / "a")) == seed(moved, Workspace(tmp_path / "b"))
    for path in moved.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.PatientID = "ANOTHER"
        dataset.save_as(path)
    assert seed(study, Workspace(tmp_path / "c")) != seed(moved, Workspace(tmp_path / "d"))


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("PatientID", "ANOTHER", "PATIENTS_MIXED"),
        ("PatientBirthDate", "19010101", "PATIENTS_MIXED"),
        ("PatientName", "OTHER^PERSON", "PATIENTS_MIXED"),
        ("StudyInstanceUID", "1.2.826.0.1.3680043.8.498.2", "STUDIES_MIXED"),
    ],
)
def test_several_patients_or_studies_are_refused(study: Path, keyword: str, value: str, code: str) -> None:
    copied(study / "flair", study / "foreign", lambda dataset: setattr(dataset, keyword, value))
    with pytest.raises(GlioLoopError) as caught:
        identify(files_of(study).headers)
    assert caught.value.code == code
    assert value not in caught.value.detail or keyword == "StudyInstanceUID"


def test_how_a_name_is_written_makes_no_other_patient(study: Path) -> None:
    copied(study / "flair", study / "again", lambda dataset: setattr(dataset, "PatientName", "Sample^synthetic^^"))
    copied(study / "t2", study / "nameless", lambda dataset: delattr(dataset, "PatientName"))
    assert not identify(files_of(study).headers).missing


def test_two_patients_in_one_series_are_refused(study: Path, tmp_path: Path) -> None:
    path = sorted((study / "t2").iterdir())[3]
    dataset = pydicom.dcmread(path)
    dataset.PatientID = "ANOTHER"
    dataset.save_as(path)
    with pytest.raises(GlioLoopError) as caught:
        loaded(study, Workspace(tmp_path / "case"))
    assert caught.value.code == "PATIENTS_MIXED"
