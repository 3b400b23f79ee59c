"""What has changed from study to study, against what repeats: figures, and never a category of response."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

from pipeline.course.records import Lesion, Source, TimePoint, renamed
from pipeline.errors import Flag
from pipeline.errors.records import FlagRecord
from pipeline.names import Region
from pipeline.records import Moment, Record

Against = Literal["previous", "nadir", "first"]
EventKind = Literal["new", "returned", "vanished", "split", "merged", "not shown"]


class SmallestChange(Record):
    """The smallest change of a region that counts: of a volume, the larger of ml and percent.

    Attributes
    ----------
    ml, percent
        Of its volume. No two scans of an unchanged head that its network had not learnt from differed by more;
        docs/follow-up.md tells how many were measured.
    lesion_ml, lesion_percent
        Of one of its lesions.
    product_percent
        Of the sum of products of diameters.
    """

    ml: float
    percent: float
    lesion_ml: float
    lesion_percent: float
    product_percent: float

    def repeats(self, now_ml: float, then_ml: float) -> bool:
        """Whether two scans without any change could differ by as much."""
        return _within(self.ml, self.percent, now_ml, then_ml)

    def lesion_repeats(self, now_ml: float, then_ml: float) -> bool:
        """The same of a lesion."""
        return _within(self.lesion_ml, self.lesion_percent, now_ml, then_ml)

    def product_repeats(self, now_mm2: float, then_mm2: float) -> bool:
        """The same of sums of products of diameters."""
        return _within(0.0, self.product_percent, now_mm2, then_mm2)


def _within(least: float, percent: float, now: float, then: float) -> bool:
    return abs(now - then) <= max(least, percent / 100 * max(now, then))


def _smallest(*values: float) -> SmallestChange:
    return SmallestChange(**dict(zip(SmallestChange.model_fields, values, strict=True)))


#: By ``./glioloop bench repeatability``: ml and percent of the region, of a lesion, and percent of products. Not
#: measured: ml of whole tumour and core as regions, the cavity.
SMALLEST_CHANGE: Final[dict[Region, SmallestChange]] = {
    Region.WT: _smallest(1.0, 12.0, 2.5, 12.0, 54.0),
    Region.TC: _smallest(1.0, 18.0, 1.8, 20.0, 24.0),
    Region.ET: _smallest(0.7, 20.0, 1.5, 21.0, 23.0),
    Region.CAVITY: _smallest(1.0, 20.0, 1.0, 20.0, 54.0),
}
#: The same where the two studies' slices lie at other distances.
WITH_OTHER_SLICES: Final[dict[Region, SmallestChange]] = {
    Region.WT: _smallest(1.0, 20.0, 2.5, 20.0, 54.0),
    Region.TC: _smallest(1.0, 19.0, 1.8, 20.0, 26.0),
    Region.ET: _smallest(1.0, 23.0, 1.5, 27.0, 60.0),
    Region.CAVITY: _smallest(1.0, 20.0, 1.0, 20.0, 54.0),
}
#: Distances of slices that differ by more than this part of the smaller one are others.
_OTHER: Final = 0.25


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
        Whether it is below what repeats.
    """

    against: Against
    study: str
    difference: float
    percent: float | None
    repeats: bool


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
    unsure
        Whether it may be another than the one whose tracking UID it bears, or no new one.
    """

    change: Change | None = None
    unsure: bool = False


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
    smallest_change, with_other_slices
        Per region, of studies whose slices lie at the same distance, and of others; changes below it are marked.
    """

    patient: str
    studies: tuple[StudyCourse, ...]
    smallest_change: dict[Region, SmallestChange]
    with_other_slices: dict[Region, SmallestChange]


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
    return PatientCourse(
        patient=patient, studies=studies, smallest_change=SMALLEST_CHANGE, with_other_slices=WITH_OTHER_SLICES
    )


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
        lesions=tuple(_lesion(one, then.get(one.tracking_uid), previous, point) for one in point.lesions),
        events=tuple(_events(point, matched, earlier)) if matched is not None and point.aligned else (),
        flags=tuple(FlagRecord.of(flag) for flag in _flags(point, earlier)),
    )


def smallest_change(region: Region, now: TimePoint, then: TimePoint) -> SmallestChange:
    """What counts between two studies."""
    one, other = sorted((now.slice_mm, then.slice_mm))
    alike = not one or other <= one * (1 + _OTHER)
    return (SMALLEST_CHANGE if alike else WITH_OTHER_SLICES)[region]


def _region(region: Region, point: TimePoint, earlier: Sequence[TimePoint]) -> RegionCourse:
    comparable = [one for one in earlier if region in one.volumes_ml]

    def volume(one: TimePoint) -> float:
        return one.volumes_ml[region]

    def product(one: TimePoint) -> float:
        return one.product_mm2(region)

    def repeats(then: TimePoint) -> bool:
        return smallest_change(region, point, then).repeats(volume(point), volume(then))

    def product_repeats(then: TimePoint) -> bool:
        return smallest_change(region, point, then).product_repeats(product(point), product(then))

    return RegionCourse(
        volume_ml=point.volumes_ml[region],
        product_mm2=round(product(point), 1),
        lesions=sum(one.region is region for one in point.lesions),
        volume_changes=tuple(_changes(point, comparable, volume, repeats)),
        product_changes=tuple(_changes(point, comparable, product, product_repeats)),
    )


def _changes(
    now: TimePoint,
    earlier: Sequence[TimePoint],
    value: Callable[[TimePoint], float],
    repeats: Callable[[TimePoint], bool],
) -> Iterator[Change]:
    if not earlier:
        return
    nadir = min(earlier, key=value)
    against: tuple[tuple[Against, TimePoint], ...] = (
        ("previous", earlier[-1]),
        ("nadir", nadir),
        ("first", earlier[0]),
    )
    for name, then in against:
        yield _change(name, then.study, value(now), value(then), repeats(then))


def _change(against: Against, study: str, now: float, then: float, repeats: bool) -> Change:
    return Change(
        against=against,
        study=study,
        difference=round(now - then, 3),
        percent=round(100 * (now - then) / then, 1) if then > 0 else None,
        repeats=repeats,
    )


def _lesion(lesion: Lesion, then: Lesion | None, previous: TimePoint | None, point: TimePoint) -> LesionCourse:
    change = None
    if then is not None and previous is not None:
        smallest = smallest_change(lesion.region, point, previous)
        repeats = smallest.lesion_repeats(lesion.volume_ml, then.volume_ml)
        change = _change("previous", previous.study, lesion.volume_ml, then.volume_ml, repeats)
    return LesionCourse(**dict(lesion), change=change, unsure=lesion.tracking_uid in point.unsure)


def _events(point: TimePoint, previous: TimePoint, earlier: Sequence[TimePoint]) -> Iterator[Event]:
    """What is new, back, gone, split or merged, by the links between the two studies."""
    known = {one.tracking_uid for each in earlier for one in each.lesions}
    before = {one.tracking_uid: [] for one in previous.lesions}  # type: dict[str, list[str]]
    after = {one.tracking_uid: [] for one in point.lesions}  # type: dict[str, list[str]]
    others = [one for one in renamed(point.links) if one.before not in after and one.after not in before]
    for link in (one for one in point.links if one not in others):
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
    unsure = [one for one in point.lesions if one.tracking_uid in point.unsure]
    if unsure:
        told = (f"{one.region.value} {one.side.value} {one.volume_ml:.2f} ml" for one in unsure)
        yield Flag("LESION_UNSURE", ", ".join(told))
    automatic = {one.model for one in earlier if one.source == "automatic"}
    others = sorted(automatic - {point.model}) if point.source == "automatic" else []
    if others:
        yield Flag("PRIOR_BY_OTHER_MODEL", ", ".join(others))
    if point.not_fetched:
        yield Flag("PRIOR_NOT_FETCHED", "; ".join(point.not_fetched))
    for one in point.left_out:
        yield Flag("PRIOR_LEFT_OUT", f"{one.study}: {one.why}")
