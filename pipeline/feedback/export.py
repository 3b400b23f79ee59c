"""The store's cases as a data set in the BraTS layout."""

import json
import shutil
from pathlib import Path

from pipeline.errors import GlioLoopError
from pipeline.feedback.review import case_view
from pipeline.feedback.store import FeedbackStore

_RECORD = "case.json"


def export_cases(store: FeedbackStore, out: Path, every: bool = False) -> list[str]:
    """Copy cases, each into a folder of its own.

    Parameters
    ----------
    store
        The store.
    out
        Target folder; a case that is there already is left as it is.
    every
        False takes the newest version of each study, where it is trusted.

    Returns
    -------
    list
        Ids of the cases that were copied. ``<id>_auto.nii.gz`` stays behind: tools for this layout would not
        know what it is.

    Raises
    ------
    GlioLoopError
        FEEDBACK_DAMAGED.
    """
    chosen = store.cases() if every else [case for case in store.newest() if case.trusted]
    exported = []
    for case in chosen:
        source = store.check(case)
        target = out / case.id
        if target.exists():
            continue
        part = out / f".{case.id}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            for name in case.files:
                if not name.endswith("_auto.nii.gz"):
                    shutil.copyfile(source / name, part / name)
            view = case_view(case) | {"source_sop_instance_uid": None}  # the one thing that leads back to the archive
            (part / _RECORD).write_text(json.dumps(view, indent=1))
        except OSError as error:
            raise GlioLoopError("FEEDBACK_DAMAGED", f"{case.id}: {error.strerror}") from error
        part.rename(target)
        exported.append(case.id)
    return exported
