"""What is kept of a study as a point of a patient's course. No numpy here: the plugin reads it."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue

from pipeline.names import Region
from pipeline.records import Moment, StoredRecord

#: Whose contours were measured: the network's, or a person's who corrected or accepted them.
Source = Literal["automatic", "corrected", "accepted"]


class Side(StrEnum):
    """On which side of the head's plane of symmetry a lesion lies; ``both`` where it crosses it."""

    LEFT = "left"
    RIGHT = "right"
    BOTH = "both"


class Lesion(StoredRecord):
    """A connected part of a region.

    Attributes
    ----------
    tracking_uid
        The same in every study in which it was found again.
    region, side
        What it is a part of, and where it lies.
    volume_ml
        Its volume.
    long_axis_mm, short_axis_mm
        Longest diameter within an axial slice, and the width across it.
    slice_index
        The reference series' slice of the two; None where that series is not axial, and was reformatted.
    slices
        In how many axial slices it is seen.
    measurable
        Large enough for the products of diameters; see :func:`pipeline.course.lesions.is_measurable`.
    inside
        A point deep inside it, in the reference series' space, LPS mm: by it the lesion is known again when the same
        study is measured anew.
    """

    tracking_uid: str = ""
    region: Region
    side: Side
    volume_ml: float
    long_axis_mm: float
    short_axis_mm: float
    slice_index: int | None = None
    slices: int
    measurable: bool
    inside: tuple[float, float, float]

    @property
    def product_mm2(self) -> float:
        """Product of the two diameters."""
        return self.long_axis_mm * self.short_axis_mm


class Link(StoredRecord):
    """A lesion of the study before and one of this study that are the same, or parts of the same; tracking UIDs."""

    before: str
    after: str


def renamed(links: Sequence[Link]) -> list[Link]:
    """A lesion and what alone is left of it where these have two names: what is left had merged in it."""
    before, after = Counter(one.before for one in links), Counter(one.after for one in links)
    return [one for one in links if one.before != one.after and before[one.before] == after[one.after] == 1]


class LeftOut(StoredRecord):
    """A study of the patient that is not compared with, and why, in words."""

    study: str
    why: str


class TimePoint(StoredRecord):
    """A study of a patient's course.

    Attributes
    ----------
    study, study_instance_uid
        Its two names.
    at
        When the images were taken: a local time, as the headers have it.
    model, source
        Which network drew the contours, and whether a person had the last word.
    made_from
        Digest of job, correction and series that it was measured from, and of those of the study before: it is
        measured anew where it changes.
    volumes_ml
        Of whole regions, on the reference series' slices.
    lesions
        Of all regions.
    slice_mm
        Distance of the reference series' slices; 0 where that was not kept yet.
    before
        Study that the lesions were matched with; empty for the first.
    aligned
        Whether the two could be brought onto each other; None where there is none before.
    alignment
        How, as :class:`pipeline.align.Alignment` is stored; empty where they could not.
    links
        Lesions of both that belong together.
    unseen
        Tracking UIDs of lesions before that lie where this study shows nothing.
    unsure
        Tracking UIDs of lesions whose identity is not sure; see :class:`pipeline.course.matching.Matched`.
    shift_mm
        How far parts of the brain have moved in the head since then; 0 where none has.
    left_out
        Earlier studies that are not compared with.
    not_fetched
        Other archives that did not tell of earlier studies, or did not hand them out, and why.
    objects
        SOP Instance UIDs of the report and the registration, by kind, and under ``of`` a digest of what they say.
    unsent
        Orthanc's ids of those of them whose deliveries are not queued yet.
    """

    study: str
    study_instance_uid: str
    at: Moment
    model: str
    source: Source
    made_from: str
    volumes_ml: dict[Region, float]
    lesions: tuple[Lesion, ...]
    slice_mm: float = 0.0
    before: str = ""
    aligned: bool | None = None
    alignment: dict[str, JsonValue] = Field(default_factory=dict)
    links: tuple[Link, ...] = ()
    unseen: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    shift_mm: float = 0.0
    left_out: tuple[LeftOut, ...] = ()
    not_fetched: tuple[str, ...] = ()
    objects: dict[str, str] = Field(default_factory=dict)
    unsent: tuple[str, ...] = ()

    def product_mm2(self, region: Region) -> float:
        """Sum of the products of diameters of the measurable lesions of a region."""
        return sum(one.product_mm2 for one in self.lesions if one.region is region and one.measurable)
