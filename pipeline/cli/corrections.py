"""Commands ``feedback list | export | trust | delete``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import AsJson, LiveProgress, answer, live_progress
from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.readers import GOOD_DICE, reader_of, stale_of
from pipeline.corrections.record import CaseRecord, ReaderAgreement
from pipeline.corrections.store import CorrectionStore

if TYPE_CHECKING:
    from pipeline.research.release import Released

app = typer.Typer(no_args_is_help=True)


def _store() -> CorrectionStore:
    from pipeline.database.engine import database_of  # noqa: PLC0415 - see below
    from pipeline.settings import load_settings  # noqa: PLC0415 - half a second that `--help` should not pay

    settings = load_settings()
    return CorrectionStore(settings.feedback_folder, database_of(settings), settings.feedback)


@app.command("list")
def list_cases(as_json: AsJson = False) -> None:
    """List the corrections that were kept, newest first."""
    cases = _store().cases()
    stale = stale_of(cases)
    told = "\n".join(_line(case, case.id in stale) for case in cases)
    answer([case.shown() for case in cases], told or "no corrections", as_json)


def _line(case: CaseRecord, stale: bool) -> str:
    changes = "  ".join(f"{name} {one.dice:.3f}" for name, one in case.regions.items() if one.drawn)
    trusted = "trusted" if case.trusted else "not trusted"
    who = (
        f"consensus of {len(case.consensus_of)}" if case.consensus_of else f"reader {reader_of(case)[:4] or 'unknown'}"
    )
    of_whom = f"{who}, stale" if stale else who
    line = f"{case.id}  {case.received}  {case.kind}, {trusted}, {case.role}, {of_whom}  {case.model}  Dice {changes}"
    return "\n".join([line, *(f"    beside {one.other}: {_beside(one)}" for one in case.agreement)])


def _beside(other: ReaderAgreement) -> str:
    told = (
        f"{name} {one.dice:.3f}{' (low)' if one.dice < GOOD_DICE else ''} {one.own_ml:.2f}/{one.other_ml:.2f} ml"
        for name, one in other.regions.items()
    )
    return "  ".join(told) or "no region that both drew"


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="Folder for one case folder each, in the BraTS layout.")],
    every: Annotated[bool, typer.Option("--all", help="Also those nobody approved, and older versions.")] = False,
    deidentified: Annotated[
        bool, typer.Option("--deidentified", help="Without faces (skull-stripped), dates and words that people typed.")
    ] = False,
    dicom: Annotated[bool, typer.Option("--dicom", help="With --deidentified: as DICOM, too.")] = False,
    model: Annotated[
        str, typer.Option(help="name@version that finds the brain for --deidentified; default: the promoted one.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Copy the corrections as BraTS-layout cases, with their records, under their pseudonyms."""
    from pipeline.corrections.export import export_cases  # noqa: PLC0415 - see above

    if dicom and not deidentified:
        raise typer.BadParameter("--dicom needs --deidentified")
    with live_progress() as progress:
        if deidentified:
            released = _release(out, every, dicom, model, progress)
            refused = [f"{case}: {error.code}" for case, error in released.refused.items()]
            told = "\n".join([f"{len(released.exported)} cases in {out}", *refused])
            answer(released.as_json(), told, as_json)
            return
        progress.report("copy", None)
        exported = export_cases(_store(), out, every)
    answer({"exported": exported}, f"{len(exported)} cases in {out}", as_json)


def _release(out: Path, every: bool, dicom: bool, model: str, progress: LiveProgress) -> "Released":
    from pipeline.registry import Registry  # noqa: PLC0415 - see above
    from pipeline.research.release import release_cases  # noqa: PLC0415
    from pipeline.settings import load_settings  # noqa: PLC0415

    settings, store = load_settings(), _store()
    network = Registry(settings.models_folder, settings.state_folder, store.database).get(
        model or settings.model or None
    )
    progress.report("brains", 0.0)
    return release_cases(store, out, network, every, dicom, lambda fraction: progress.report("brains", fraction))


@app.command()
def trust(
    case: Annotated[str, typer.Argument(help="Id of a case.")],
    as_json: AsJson = False,
) -> None:
    """Mark a correction as one to learn from, although nobody approved it at the workstation."""
    record = _store().trust(case)
    answer({"trusted": record.id}, f"{record.id} is trusted", as_json)


@app.command()
def delete(
    case: Annotated[str, typer.Argument(help="Id of a case.")] = "",
    patient: Annotated[str, typer.Option(help="PatientID: every case of the patient.")] = "",
    as_json: AsJson = False,
) -> None:
    """Delete a correction, or all of a patient; what was deleted is not taken up again."""
    if bool(case) == bool(patient):
        raise typer.BadParameter("name a case or --patient, not both")
    store = _store()
    if case:
        gone = store.delete(case)
    else:
        gone = store.delete_patient(Pseudonyms.of_installation(store.database).patient(patient))
    deleted = [record.id for record in gone]
    answer({"deleted": deleted}, "\n".join(deleted) or "nothing to delete", as_json)
