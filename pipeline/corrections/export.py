"""The store's cases as a data set in the BraTS layout: folders on disk, or one case as a ZIP file."""

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Final

from pipeline.corrections.readers import counting
from pipeline.corrections.record import CaseRecord
from pipeline.corrections.store import CorrectionStore
from pipeline.errors import GlioLoopError

#: What is said of a case, in its folder.
RECORD: Final = "case.json"
#: Tools for this layout would not know what the images are; the contours name the archive's images.
_STAYS = ("_auto.nii.gz", "_drawn.nii.gz", "_contours.json", "_surfaces.bin")


def cases_to_export(store: CorrectionStore, every: bool) -> list[CaseRecord]:
    """Every case, or the one of each study that counts, where it is trusted."""
    return store.cases() if every else counting(store.cases(), lambda case: case.trusted)


def part_of(target: Path) -> Path:
    """Return an empty folder beside ``target``, to be renamed to it once it is whole."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def export_cases(store: CorrectionStore, out: Path, every: bool = False) -> list[str]:
    """Copy cases, each into a folder of its own.

    Parameters
    ----------
    store
        The store.
    out
        Target folder; a case that is there already is left as it is.
    every
        False takes of each study the consensus of its readers, else the newest version, where it is trusted.

    Returns
    -------
    list
        Ids of the cases that were copied. ``<id>_auto.nii.gz``, ``<id>_drawn.nii.gz``, ``<id>_contours.json`` and
        ``<id>_surfaces.bin`` stay behind.

    Raises
    ------
    GlioLoopError
        FEEDBACK_DAMAGED.
    """
    exported = []
    for case in cases_to_export(store, every):
        target = out / case.id
        if target.exists():
            continue
        files = _files(store, case)
        part = part_of(target)
        try:
            for path in files:
                shutil.copyfile(path, part / path.name)
        except OSError as error:
            raise GlioLoopError("FEEDBACK_DAMAGED", f"{case.id}: {error.strerror}") from error
        (part / RECORD).write_text(_record(case))
        part.rename(target)
        exported.append(case.id)
    return exported


def export_archive(store: CorrectionStore, case: CaseRecord) -> bytes:
    """Return a case as a ZIP file with the same content as its folder in :func:`export_cases`.

    Raises
    ------
    GlioLoopError
        FEEDBACK_DAMAGED.
    """
    content = io.BytesIO()
    # The images are compressed already.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for path in _files(store, case):
            archive.write(path, f"{case.id}/{path.name}")
        archive.writestr(f"{case.id}/{RECORD}", _record(case))
    return content.getvalue()


def _files(store: CorrectionStore, case: CaseRecord) -> list[Path]:
    folder = store.check(case)
    return [folder / name for name in case.files if not name.endswith(_STAYS)]


def _record(case: CaseRecord) -> str:
    """The case's record without the one thing that leads back to the archive."""
    return json.dumps(case.shown() | {"source_sop_instance_uid": None}, indent=1)
