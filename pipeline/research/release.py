"""Cases with corrections that say nothing of whom they are of: pseudonyms, no dates, no words, no faces."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import SimpleITK as sitk
from pydantic import Field, JsonValue

from pipeline.corrections.export import RECORD, cases_to_export, part_of
from pipeline.corrections.images import SEGMENTATION, SUFFIXES
from pipeline.corrections.record import CaseRecord
from pipeline.corrections.store import CorrectionStore
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.evaluation.cases import find_cases
from pipeline.records import Record
from pipeline.registry import InstalledModel
from pipeline.research.dicom import write_study
from pipeline.research.skull import MARGIN_MM, find_brain, stripped, to_keep

#: What a record may say outside: pseudonyms, codes and measurements. Dates, names that people typed, and what leads
#: back to the archive stay.
_TOLD: Final = frozenset(
    (
        *("id", "patient", "study", "kind", "trusted", "role", "model", "source_kind", "drawn_on", "regions"),
        *("consensus_of", "spacing_mm"),
    )
)


class Released(Record):
    """What came of an export.

    Attributes
    ----------
    exported
        Ids of cases that were written.
    refused
        Why others were not, by their ids.
    """

    exported: tuple[str, ...] = ()
    refused: dict[str, ErrorRecord] = Field(default_factory=dict)


def release_cases(
    store: CorrectionStore,
    out: Path,
    model: InstalledModel,
    every: bool = False,
    dicom: bool = False,
    report: Callable[[float], None] = lambda fraction: None,
) -> Released:
    """Write cases without faces, each into a folder of its own.

    Parameters
    ----------
    store
        The store.
    out
        Target folder; a case that is there already is left as it is.
    model
        Finds the brain.
    every
        False takes the newest version of each study, where it is trusted.
    dicom
        Also as DICOM: MR images, a structure set and a segmentation in ``dicom/``.
    report
        Told how far it is, as a fraction of 1.

    Returns
    -------
    Released
        A case whose brain is not found, or whose files are damaged, is refused; the others are written.
    """
    chosen = cases_to_export(store, every)
    exported: list[str] = []
    refused: dict[str, ErrorRecord] = {}
    for number, case in enumerate(chosen):
        report(number / len(chosen))
        target = out / case.id
        if target.exists():
            continue
        part = part_of(target)
        try:
            _write(store.check(case), part, case, model, dicom)
        except GlioLoopError as error:
            refused[case.id] = ErrorRecord.of(error)
            shutil.rmtree(part)
            continue
        part.rename(target)
        exported.append(case.id)
    return Released(exported=tuple(exported), refused=refused)


def _write(source: Path, target: Path, record: CaseRecord, model: InstalledModel, dicom: bool) -> None:
    (case,) = find_cases(source)
    labels = case.read_labels()
    kept = to_keep(find_brain(case, model), labels)
    images = {s: stripped(sitk.ReadImage(path, sitk.sitkInt16), kept) for s, path in case.files.items()}
    named = {SUFFIXES[sequence]: image for sequence, image in images.items()} | {SEGMENTATION: labels}
    for name, image in named.items():
        sitk.WriteImage(_bare(image), target / f"{record.id}_{name}.nii.gz", useCompression=True, compressionLevel=4)
    (target / RECORD).write_text(json.dumps(told(record, model.card.identity), indent=1))
    if dicom:
        write_study(target / "dicom", record, images, labels)


def told(record: CaseRecord, brain_by: str) -> dict[str, JsonValue]:
    """What is said of a case that leaves."""
    said = record.model_dump(mode="json", include=set(_TOLD))
    return said | {"deidentified": {"images": "skull-stripped", "brain_by": brain_by, "margin_mm": MARGIN_MM}}


def _bare(image: sitk.Image) -> sitk.Image:
    """The image with its grid and nothing else that a file may have said."""
    bare = sitk.GetImageFromArray(sitk.GetArrayViewFromImage(image))
    bare.CopyInformation(image)
    return bare
