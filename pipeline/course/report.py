"""A study of a course as DICOM objects: the report, and how the study before lies to it."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from scipy import ndimage

from pipeline.align import Alignment
from pipeline.course.change import Change, PatientCourse, StudyCourse, told
from pipeline.course.page import course_page
from pipeline.course.points import Measured
from pipeline.course.records import TimePoint
from pipeline.names import Language, Region
from pipeline.objects.course.content import ReportedChange, ReportedLesion, ReportedRegion
from pipeline.objects.course.sop import CourseReport, Reported
from pipeline.objects.page.picture import draw
from pipeline.objects.page.sop import PageDocument
from pipeline.objects.preview.sop import PreviewCapture
from pipeline.objects.provenance import Provenance, UidSource
from pipeline.objects.registration.sop import PriorRegistration

_SINCE = {"previous": "since the previous study", "nadir": "since the smallest before", "first": "since the first"}


def course_objects(
    study: StudyCourse,
    course: PatientCourse,
    point: TimePoint,
    now: Measured,
    before: Measured,
    person: str,
    names: Mapping[Region, str],
    language: Language,
    provenance: Provenance,
    uid_seed: str,
) -> dict[str, Dataset]:
    """Make the objects of one study, by kind: the report ``course``, its picture and page, and ``registration``.

    The last one where the study before was aligned.

    Parameters
    ----------
    study, course, point
        The study in its patient's course, and what is kept of it.
    now, before
        The study and the one before.
    person
        Pseudonym, which the tracking UIDs of whole regions are made from.
    names
        ROI name of each region.
    language
        Of picture and page.
    """
    place = [one.study for one in course.studies].index(study.study)
    first = course.studies[0]
    reported = Reported(
        time_point=f"{study.at:%Y-%m-%d}",
        order=place + 1,
        days=round((study.at - first.at).total_seconds() / 86_400, 1),
        regions=[
            ReportedRegion(
                region=region,
                tracking_uid=str(UidSource(f"course/{person}").uid(f"tracking/{region.value}")),
                name=names[region],
                volume_ml=one.volume_ml,
                product_mm2=one.product_mm2,
                volume_changes=_changes(one.volume_changes),
                product_changes=_changes(one.product_changes),
            )
            for region, one in study.regions.items()
        ],
        lesions=list(_lesions(study, now, names)),
        texts=list(texts_of(study, course, names)),
    )
    prior = [*before.scan.headers, *([before.scan.segmentation] if before.scan.segmentation else [])]
    made: dict[str, Dataset] = {
        "course": CourseReport(
            now.scan.headers, now.scan.volume, reported, provenance,
            segmentation=now.scan.segmentation, priors=prior, uid_seed=uid_seed,
        )
    }  # fmt: skip
    page = course_page(study, course, language)
    made["course-picture"] = PreviewCapture(
        now.scan.headers, now.scan.volume, draw(page), provenance,
        kind="course picture", series_number=9007, uid_seed=uid_seed,
    )  # fmt: skip
    made["course-pdf"] = PageDocument(
        now.scan.headers, now.scan.volume, page, "course page", provenance, series_number=9008, uid_seed=uid_seed
    )
    if point.alignment:
        made["registration"] = PriorRegistration(
            now.scan.headers, now.scan.volume, before.scan.volume, _to_current(point), provenance, uid_seed=uid_seed
        )
    return made


def _changes(changes: Sequence[Change]) -> list[ReportedChange]:
    return [ReportedChange(one.against, one.difference, one.percent) for one in changes]


def _lesions(study: StudyCourse, now: Measured, names: Mapping[Region, str]) -> Iterator[ReportedLesion]:
    kept = {one.tracking_uid: one for one in study.lesions}
    for region, labelled in now.regions.items():
        for number, (lesion, box) in enumerate(
            zip(labelled.lesions, ndimage.find_objects(labelled.array), strict=True), start=1
        ):
            change = kept[lesion.tracking_uid].change
            yield ReportedLesion(
                region=region,
                tracking_uid=lesion.tracking_uid,
                name=lesion_name(names[region], lesion.tracking_uid),
                side=lesion.side.value,
                volume_ml=lesion.volume_ml,
                long_axis_mm=lesion.long_axis_mm,
                short_axis_mm=lesion.short_axis_mm,
                slice_index=lesion.slice_index,
                mask=labelled.array[box] == number,
                corner=(box[0].start, box[1].start, box[2].start),
                changes=_changes([change] if change else []),
            )


def lesion_name(region: str, tracking_uid: str) -> str:
    """How people tell a lesion from others: its region, and the last digits of its tracking UID."""
    return f"{region} {tracking_uid[-5:]}"


def texts_of(study: StudyCourse, course: PatientCourse, names: Mapping[Region, str]) -> Iterator[str]:
    """The course up to a study in words: flags, regions, and what became of lesions."""
    for flag in study.flags:
        yield " ".join(part for part in (flag.message, flag.detail) if part)
    dates = {one.study: f"{one.at:%Y-%m-%d}" for one in course.studies}
    for region, one in study.regions.items():
        changes = "; ".join(
            f"{told(change)} {_SINCE[change.against]} ({dates[change.study]})" for change in one.volume_changes
        )
        yield f"{names[region]}: {one.volume_ml:.2f} ml; {changes}"
    for event in study.events:
        before = ", ".join(lesion_name(names[event.region], uid) for uid in event.before)
        after = ", ".join(lesion_name(names[event.region], uid) for uid in event.after)
        yield f"Lesion {event.kind}: {' → '.join(one for one in (before, after) if one)}"


def _to_current(point: TimePoint) -> NDArray[np.float64]:
    """Matrix (4, 4) from the space of the study before to this one's."""
    back = Alignment.from_json(point.alignment).transform.GetInverse()
    matrix = np.eye(4)
    matrix[:3, 3] = back.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        matrix[:3, axis] = np.array(back.TransformPoint(np.eye(3)[axis].tolist())) - matrix[:3, 3]
    return matrix
