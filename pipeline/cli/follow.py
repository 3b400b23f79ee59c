"""Command ``follow``: the course of a patient."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import AsJson, answer, live_progress

if TYPE_CHECKING:
    from pipeline.course.change import PatientCourse, StudyCourse


def follow(
    patient: Annotated[
        list[str], typer.Argument(help="PatientID or Orthanc's patient id on this node; or folders, one study each.")
    ],
    model: Annotated[str, typer.Option(help="name@version for folders; default: the promoted one.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what has changed from study to study: volumes, diameters, lesions; no category of response."""
    if all(Path(one).is_dir() for one in patient):
        from pipeline.course.folders import follow_folders  # noqa: PLC0415 - SimpleITK takes a second to import

        with live_progress() as progress:
            course = follow_folders([Path(one) for one in patient], model or None, progress.report)
    else:
        from pipeline.archive.study import orthanc_patient_id  # noqa: PLC0415 - `--help` should not wait
        from pipeline.course.change import course_of  # noqa: PLC0415
        from pipeline.course.rows import points_of  # noqa: PLC0415
        from pipeline.database.engine import database_of  # noqa: PLC0415
        from pipeline.settings import load_settings  # noqa: PLC0415

        if len(patient) > 1:
            raise typer.BadParameter("one patient, or folders")
        identity = orthanc_patient_id(patient[0])
        course = course_of(identity, points_of(database_of(load_settings()), identity))
    answer(course.as_json(), _table(course) or "nothing is kept of this patient's course", as_json)


def _table(course: "PatientCourse") -> str:
    dates = {one.study: f"{one.at:%Y-%m-%d}" for one in course.studies}
    return "\n".join(line for study in course.studies for line in _lines(study, dates))


def _lines(study: "StudyCourse", dates: dict[str, str]) -> list[str]:
    from pipeline.course.change import told  # noqa: PLC0415 - see above

    lines = [f"{dates[study.study]}  {study.source} ({study.model})"]
    for region, one in study.regions.items():
        changes = [f"{change.against} ({dates[change.study]}) {told(change)}" for change in one.volume_changes]
        lines.append("; ".join([f"  {region.value:6} {one.volume_ml:8.2f} ml  {one.product_mm2:6.0f} mm²", *changes]))
    for lesion in study.lesions:
        size = f"{lesion.volume_ml:.2f} ml, {lesion.long_axis_mm:.0f} × {lesion.short_axis_mm:.0f} mm"
        since = f", {told(lesion.change)}" if lesion.change else ""
        lines.append(f"    {lesion.region.value} …{lesion.tracking_uid[-5:]} {lesion.side.value}: {size}{since}")
    lines += [
        f"    {event.kind} ({event.region.value}): {', '.join(uid[-5:] for uid in (*event.before, *event.after))}"
        for event in study.events
    ]
    return [*lines, *(f"  {flag.code}: {flag.message} {flag.detail}".rstrip() for flag in study.flags)]
