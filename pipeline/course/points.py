"""A study as a point of a course: measured, matched with the study before, and named."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import structlog
from pydantic import JsonValue

from pipeline.align import align
from pipeline.course.lesions import Labelled, lesions_of
from pipeline.course.matching import Matched, apart_again, inherited, known_again, left_of, match_all, named
from pipeline.course.priors import StudyFacts
from pipeline.course.records import Lesion, Link, Source, TimePoint, renamed
from pipeline.course.scans import Scan
from pipeline.course.shift import brain_shift
from pipeline.course.symmetry import mid_sagittal_plane
from pipeline.errors import GlioLoopError
from pipeline.names import TUMOUR_REGIONS, Region

log = structlog.get_logger()


class _Which(StrEnum):
    """The two studies that are aligned."""

    CURRENT = "current"
    PRIOR = "prior"


@dataclass(frozen=True, eq=False)
class Measured:
    """A study that was read and measured.

    Attributes
    ----------
    scan
        What was read.
    regions
        Its lesions, with or without their tracking UIDs.
    """

    scan: Scan
    regions: Mapping[Region, Labelled]

    def with_lesions(self, lesions: Sequence[Lesion]) -> "Measured":
        """The same with these lesions, as they were found, under their tracking UIDs."""
        regions = {region: Labelled(one.labels, of(lesions, region)) for region, one in self.regions.items()}
        return Measured(self.scan, regions)


@dataclass(frozen=True)
class Comparison:
    """A study beside another.

    Attributes
    ----------
    point
        The other.
    alignment
        How it lies to this one; None where they could not be brought onto each other.
    shift_mm
        How far parts of the brain have moved in the head, see :mod:`pipeline.course.shift`.
    matched
        The lesions of both.
    """

    point: TimePoint
    alignment: dict[str, JsonValue] | None = None
    matched: dict[Region, Matched] = field(default_factory=dict)
    shift_mm: float = 0.0


@dataclass(frozen=True)
class Origin:
    """Where the contours of a study come from, see :class:`TimePoint`."""

    model: str
    source: Source
    made_from: str


def measure(scan: Scan) -> Measured:
    """Find the lesions of a study, without tracking UIDs; a cavity has a volume and is none (RANO)."""
    tumour = {region: mask for region, mask in scan.masks.items() if region in TUMOUR_REGIONS}
    return Measured(scan, lesions_of(tumour, scan.volume.image, mid_sagittal_plane(scan.volume)))


def compare(point: TimePoint, other: Callable[[], Measured], now: Measured) -> Comparison:
    """Bring another study onto this one and match their lesions.

    Parameters
    ----------
    point, other
        The other study, and what was measured of it.
    """
    try:
        measured = other()
        point = _as_measured(point, measured)
        prior = measured.with_lesions(point.lesions)
        volumes = {_Which.CURRENT: now.scan.volume, _Which.PRIOR: prior.scan.volume}
        found = align(volumes, _Which.CURRENT)[_Which.PRIOR]
    except GlioLoopError as error:
        if error.reason.transient:
            raise
        log.warning("studies not aligned", other=point.study, code=error.code, detail=error.detail)
        return Comparison(point)
    shift = brain_shift(now.scan, prior.scan, found.transform)
    matched = match_all(prior.regions, now.regions, found.transform, shift.local(now.scan.volume.image))
    return Comparison(point, found.as_json(), matched, shift.mm)


def _as_measured(point: TimePoint, measured: Measured) -> TimePoint:
    """A point with the lesions that are measured now: its contours may have been corrected since it was kept."""
    nameless = {
        region: tuple(one.model_copy(update={"tracking_uid": ""}) for one in of(point.lesions, region))
        for region in measured.regions
    }
    if nameless == {region: one.lesions for region, one in measured.regions.items()}:
        return point
    again = [known_again(of(point.lesions, region), one) for region, one in measured.regions.items()]
    return point.model_copy(update={"lesions": tuple(lesion for lesions in again for lesion in lesions)})


def compare_lost(
    earlier: Sequence[TimePoint], measured: Callable[[str], Measured], now: Measured
) -> Iterator[Comparison]:
    """Compare with the studies before the last one that have lesions that the last one has no more, latest first.

    Parameters
    ----------
    earlier
        Oldest first.
    measured
        What was measured of a study, by its id.
    """
    for point in reversed(earlier[:-1]):
        if _uids(point) - _uids(earlier[-1]):
            yield compare(point, lambda study=point.study: measured(study), now)  # type: ignore[misc]


def lost_only(comparison: Comparison, last: TimePoint) -> Comparison:
    """The same comparison by the lesions that the last study has no more."""
    there, lesions = _uids(last), comparison.point.lesions
    matched = {
        region: replace(
            one, pairs=tuple(pair for pair in one.pairs if of(lesions, region)[pair.before].tracking_uid not in there)
        )
        for region, one in comparison.matched.items()
    }
    return replace(comparison, matched=matched)


def _uids(point: TimePoint) -> set[str]:
    return {one.tracking_uid for one in point.lesions}


def point_of(
    facts: StudyFacts,
    origin: Origin,
    now: Measured,
    before: Comparison | None = None,
    former: TimePoint | None = None,
    lost: Callable[[], Iterable[Comparison]] = tuple,
    later: Callable[[], Comparison | None] = lambda: None,
) -> TimePoint:
    """Return what is kept of a study, every lesion under its tracking UID.

    A lesion keeps the UID that it had when the study was measured before; else it has that of the lesion before that it
    is the same as, of one that had vanished and is back, or of the later one where the study came late; else a new one.

    Parameters
    ----------
    facts, origin, now
        The study.
    before
        The study before it.
    former
        What was kept of it.
    lost
        Compares with earlier studies by what has vanished since, or merged (:func:`compare_lost`).
    later
        Compares with the study behind it; both are asked where lesions are left that nothing is known of.
    """
    found = {
        region: known_again(of(former.lesions if former else (), region), one) for region, one in now.regions.items()
    }
    earlier = functools.cache(lambda: tuple(lost()))
    if before is not None and _any_left(found, before):
        found = _apart_again(found, before, earlier())
    found = _inherited(found, before)
    if before is not None and _any_unknown(found):
        for other in earlier():
            found = _inherited(found, lost_only(other, before.point))
    if _any_unknown(found):
        found = _inherited(found, later())
    seed = f"{facts.study_instance_uid}/{origin.made_from}"
    lesions = {region: named(one, f"{seed}/{region.value}") for region, one in found.items()}
    links = _links(before, lesions) if before else ()
    unsure = [*_unsure(before, lesions), *(one.after for one in renamed(links))] if before else ()
    x, y, z = now.scan.volume.image.GetSpacing()
    return TimePoint(
        study=facts.study,
        study_instance_uid=facts.study_instance_uid,
        at=facts.at or datetime.min,
        model=origin.model,
        source=origin.source,
        made_from=origin.made_from,
        volumes_ml={region: round(float(one.sum()) * x * y * z / 1000, 3) for region, one in now.scan.masks.items()},
        lesions=tuple(one for each in lesions.values() for one in each),
        slice_mm=round(z, 3),
        before=before.point.study if before else "",
        aligned=None if before is None else before.alignment is not None,
        alignment=(before.alignment if before else None) or {},
        links=links,
        unseen=_unseen(before) if before else (),
        unsure=tuple(dict.fromkeys(unsure)),
        shift_mm=before.shift_mm if before else 0.0,
        objects=former.objects if former else {},
        unsent=former.unsent if former else (),
    )


def of(lesions: Sequence[Lesion], region: Region) -> tuple[Lesion, ...]:
    """The lesions of one region."""
    return tuple(one for one in lesions if one.region is region)


def _any_unknown(found: Mapping[Region, Sequence[Lesion]]) -> bool:
    return any(not one.tracking_uid for lesions in found.values() for one in lesions)


def _inherited(
    found: Mapping[Region, tuple[Lesion, ...]], other: Comparison | None
) -> dict[Region, tuple[Lesion, ...]]:
    if other is None:
        return dict(found)
    return {
        region: inherited(of(other.point.lesions, region), one, other.matched[region].pairs)
        if region in other.matched
        else one
        for region, one in found.items()
    }


def _any_left(found: Mapping[Region, tuple[Lesion, ...]], before: Comparison) -> bool:
    return any(
        left_of(of(before.point.lesions, region), found[region], one.pairs) for region, one in before.matched.items()
    )


def _apart_again(
    found: Mapping[Region, tuple[Lesion, ...]], before: Comparison, earlier: Sequence[Comparison]
) -> dict[Region, tuple[Lesion, ...]]:
    def parts(region: Region, lesions: tuple[Lesion, ...]) -> tuple[Lesion, ...]:
        if region not in before.matched:
            return lesions
        studies = [
            (of(other.point.lesions, region), other.matched[region].pairs)
            for other in earlier
            if region in other.matched
        ]
        return apart_again(of(before.point.lesions, region), lesions, before.matched[region].pairs, studies)

    return {region: parts(region, lesions) for region, lesions in found.items()}


def _links(before: Comparison, lesions: Mapping[Region, tuple[Lesion, ...]]) -> tuple[Link, ...]:
    return tuple(
        Link(
            before=of(before.point.lesions, region)[pair.before].tracking_uid,
            after=lesions[region][pair.after].tracking_uid,
        )
        for region, found in before.matched.items()
        for pair in found.pairs
    )


def _unseen(before: Comparison) -> tuple[str, ...]:
    return tuple(
        of(before.point.lesions, region)[place].tracking_uid
        for region, found in before.matched.items()
        for place in found.unseen
    )


def _unsure(before: Comparison, lesions: Mapping[Region, tuple[Lesion, ...]]) -> tuple[str, ...]:
    return tuple(
        lesions[region][place].tracking_uid for region, found in before.matched.items() for place in found.unsure
    )
