"""What has changed from study to study, against what repeats: figures, and never a category of response."""

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from pipeline.course.records import Lesion, Source, TimePoint
from pipeline.errors import Flag
from pipeline.errors.records import FlagRecord
from pipeline.names import Region
from pipeline.records import Moment, Record

Against = Literal["previous", "nadir", "first"]
EventKind = Literal["new", "returned", "vanished", "split", "merged", "not shown"]


class SmallestChange(Record):
    """The smallest change of a volume that counts: the larger of both.

    Attributes
    ----------
    ml, percent
        No two scans of an unchanged head that were measured differed by more; docs/follow-up.md tells how many.
    """

    ml: float
    percent: float

    def repeats(self, now_ml: float, then_ml: float) -> bool:
        """Whether two scans without any change could differ by as much."""
        return abs(now_ml - then_ml) <= max(self.ml, self.percent / 100 * max(now_ml, then_ml))


#: By ``./glioloop bench repeatability``; ml of whole tumour and core, and the cavity, were not measured.
SMALLEST_CHANGE: Final[dict[Region, SmallestChange]] = {
    Region.WT: SmallestChange(ml=1.0, percent=9.0),
    Region.TC: SmallestChange(ml=1.0, percent=14.0),
    Region.ET: SmallestChange(ml=0.6, percent=20.0),
    Region.CAVITY: SmallestChange(ml=1.0, percent=20.0),
}


class Change(Record):
    """A difference to an earlier study.

    Attributes
    ----------
    against
        ``previous``; ``nadir``, the smallest before; ``first``.
    study
        Which study that is.
    difference
        In ml, or mm² of products of diameters.
    percent
        Of the earlier value; None where that was 0.
    repeats
        Whether it is below what repeats; None where that was not measured (products of diameters).
    """

    against: Against
    study: str
    difference: float
    percent: float | None
    repeats: bool | None


def told(change: Change) -> str:
    """A change of volume in words, with what it is worth.

    Examples
    --------
    >>> told(Change(against="first", study="", difference=-0.5, percent=-10.0, repeats=True))
    '-0.50 ml (-10 %), below what repeats'
    """
    percent = f" ({change.percent:+.0f} %)" if change.percent is not None else ""
    return f"{change.difference:+.2f} ml{percent}{', below what repeats' if change.repeats else ''}"


class RegionCourse(Record):
    """A region in one study.

    Attributes
    ----------
    volume_ml, product_mm2
        Its volume, and the sum of the products of diameters of its measurable lesions.
    lesions
        Number of its lesions.
    volume_changes, product_changes
        Against earlier studies.
    """

    volume_ml: float
    product_mm2: float
    lesions: int
    volume_changes: tuple[Change, ...]
    product_changes: tuple[Change, ...]


class LesionCourse(Lesion):
    """A lesion in one study, and what has changed of it since the study before.

    Attributes
    ----------
    change
        Of its volume; None where it was not there.
    """

    change: Change | None = None


class Event(Record):
    """What became of lesions since the study before: tracking UIDs of both studies."""

    kind: EventKind
    region: Region
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class StudyCourse(Record):
    """A study of a patient's course; see :class:`pipeline.course.records.TimePoint`."""

    study: str
    study_instance_uid: str
    at: Moment
    model: str
    source: Source
    aligned: bool | None
    regions: dict[Region, RegionCourse]
    lesions: tuple[LesionCourse, ...]
    events: tuple[Event, ...]
    flags: tuple[FlagRecord, ...]


class PatientCourse(Record):
    """The course of a patient, oldest study first.

    Attributes
    ----------
    smallest_change
        Per region; changes of volume below it are marked.
    """

    patient: str
    studies: tuple[StudyCourse, ...]
    smallest_change: dict[Region, SmallestChange]


def course_of(patient: str, points: Sequence[TimePoint]) -> PatientCourse:
    """Compare every study with those before it.

    Parameters
    ----------
    patient
        Orthanc's id of the patient.
    points
        In any order; a study that was deleted is none of them.
    """
    ordered = sorted(points, key=lambda one: (one.at, one.study))
    studies = tuple(_study(one, ordered[:place]) for place, one in enumerate(ordered))
    return PatientCourse(patient=patient, studies=studies, smallest_change=SMALLEST_CHANGE)


def _study(point: TimePoint, earlier: Sequence[TimePoint]) -> StudyCourse:
    previous = earlier[-1] if earlier else None
    # The one that the lesions were matched with may have been deleted since.
    matched = previous if previous is not None and previous.study == point.before else None
    then = {one.tracking_uid: one for one in previous.lesions} if previous else {}
    return StudyCourse(
        study=point.study,
        study_instance_uid=point.study_instance_uid,
        at=point.at,
        model=point.model,
        source=point.source,
        aligned=point.aligned,
        regions={region: _region(region, point, earlier) for region in point.volumes_ml},
        lesions=tuple(_lesion(one, then.get(one.tracking_uid), previous) for one in point.lesions),
        events=tuple(_events(point, matched, earlier)) if matched is not None and point.aligned else (),
        flags=tuple(FlagRecord.of(flag) for flag in _flags(point, earlier)),
    )


def _region(region: Region, point: TimePoint, earlier: Sequence[TimePoint]) -> RegionCourse:
    comparable = [one for one in earlier if region in one.volumes_ml]
    smallest = SMALLEST_CHANGE[region]
    volumes = [(one.study, one.volumes_ml[region]) for one in comparable]
    products = [(one.study, one.product_mm2(region)) for one in comparable]
    return RegionCourse(
        volume_ml=point.volumes_ml[region],
        product_mm2=round(point.product_mm2(region), 1),
        lesions=sum(one.region is region for one in point.lesions),
        volume_changes=tuple(_changes(point.volumes_ml[region], volumes, smallest)),
        product_changes=tuple(_changes(point.product_mm2(region), products, None)),
    )


def _changes(now: float, earlier: Sequence[tuple[str, float]], smallest: SmallestChange | None) -> Iterator[Change]:
    if not earlier:
        return
    nadir = min(earlier, key=lambda one: one[1])
    for against, (study, then) in (("previous", earlier[-1]), ("nadir", nadir), ("first", earlier[0])):
        yield _change(against, study, now, then, smallest)  # type: ignore[arg-type]


def _change(against: Against, study: str, now: float, then: float, smallest: SmallestChange | None) -> Change:
    return Change(
        against=against,
        study=study,
        difference=round(now - then, 3),
        percent=round(100 * (now - then) / then, 1) if then > 0 else None,
        repeats=None if smallest is None else smallest.repeats(now, then),
    )


def _lesion(lesion: Lesion, then: Lesion | None, previous: TimePoint | None) -> LesionCourse:
    change = None
    if then is not None and previous is not None:
        smallest = SMALLEST_CHANGE[lesion.region]
        change = _change("previous", previous.study, lesion.volume_ml, then.volume_ml, smallest)
    return LesionCourse(**dict(lesion), change=change)


def _events(point: TimePoint, previous: TimePoint, earlier: Sequence[TimePoint]) -> Iterator[Event]:
    """What is new, back, gone, split or merged, by the links between the two studies."""
    known = {one.tracking_uid for each in earlier for one in each.lesions}
    before = {one.tracking_uid: [] for one in previous.lesions}  # type: dict[str, list[str]]
    after = {one.tracking_uid: [] for one in point.lesions}  # type: dict[str, list[str]]
    for link in point.links:
        before[link.before].append(link.after)
        after[link.after].append(link.before)
    for lesion in previous.lesions:
        own = lesion.tracking_uid
        if len(before[own]) > 1:
            yield Event(kind="split", region=lesion.region, before=(own,), after=tuple(before[own]))
        elif own in point.unseen:
            yield Event(kind="not shown", region=lesion.region, before=(own,))
        elif not before[own]:
            yield Event(kind="vanished", region=lesion.region, before=(own,))
    for lesion in point.lesions:
        own = lesion.tracking_uid
        if len(after[own]) > 1:
            yield Event(kind="merged", region=lesion.region, before=tuple(after[own]), after=(own,))
        elif not after[own]:
            yield Event(kind="returned" if own in known else "new", region=lesion.region, after=(own,))


def _flags(point: TimePoint, earlier: Sequence[TimePoint]) -> Iterator[Flag]:
    if point.aligned is False:
        yield Flag("PRIOR_NOT_ALIGNED")
    if point.shift_mm:
        yield Flag("BRAIN_SHIFTED", f"by {point.shift_mm:.0f} mm")
    automatic = {one.model for one in earlier if one.source == "automatic"}
    others = sorted(automatic - {point.model}) if point.source == "automatic" else []
    if others:
        yield Flag("PRIOR_BY_OTHER_MODEL", ", ".join(others))
    if point.not_fetched:
        yield Flag("PRIOR_NOT_FETCHED", "; ".join(point.not_fetched))
    for one in point.left_out:
        yield Flag("PRIOR_LEFT_OUT", f"{one.study}: {one.why}")
