"""What each stage of a case found out, and the result that they make together. No numpy here: the plugin reads them."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import Field, PlainSerializer, PlainValidator

from pipeline.errors import Flag
from pipeline.errors.records import ErrorRecord, FlagRecord
from pipeline.identify import Decision
from pipeline.names import JobState, MRSequence, Region, Stage
from pipeline.records import Moment, StoredRecord

#: The identification, stored as :meth:`pipeline.identify.Decision.as_json` gives it.
StoredDecision = Annotated[Decision, PlainValidator(Decision.from_json), PlainSerializer(Decision.as_json)]


class VolumeOutcome(StoredRecord):
    """A series as it was read.

    Attributes
    ----------
    size
        Voxels along the columns, the rows and the slices.
    spacing_mm
        Their distances, mm, in the same order.
    """

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]


class AlignmentOutcome(StoredRecord):
    """How a sequence was moved onto the reference; see :class:`pipeline.align.Alignment`."""

    rotation_deg: float
    displacement_mm: float
    metric: float
    overlap: float


class ObjectOutcome(StoredRecord):
    """Names of a DICOM object that was written."""

    sop_instance_uid: str
    series_instance_uid: str = ""


class RoiOutcome(StoredRecord):
    """An ROI of the structure set: its name and number of contours."""

    name: str
    contours: int


class StructureSetOutcome(ObjectOutcome):
    """The structure set with its ROIs."""

    rois: tuple[RoiOutcome, ...] = ()


class SizeOutcome(StoredRecord):
    """How large a region is, in ml and mm; see :class:`pipeline.objects.measure.RegionSize`."""

    volume_ml: float = 0.0
    diameter_mm: float = 0.0
    long_axis_mm: float = 0.0
    short_axis_mm: float = 0.0
    slice_index: int | None = None


class StageOutcome(StoredRecord):
    """What every stage tells.

    Attributes
    ----------
    seconds
        How long it took.
    flags
        What the result is to be looked at for.
    """

    seconds: float = 0.0
    flags: tuple[FlagRecord, ...] = ()


class Identified(StageOutcome):
    """Of ``identify``.

    Attributes
    ----------
    created
        Time of creation that the objects will carry, the same at every try; of a job.
    identification
        The decision, where none came with the request.
    """

    created: Moment | None = None
    identification: StoredDecision | None = None


class Loaded(StageOutcome):
    """Of ``load``.

    Attributes
    ----------
    volumes
        Per sequence.
    identification
        The decision as the images settled it, where the headers had left it open.
    """

    volumes: dict[MRSequence, VolumeOutcome] = Field(default_factory=dict)
    identification: StoredDecision | None = None


class Aligned(StageOutcome):
    """Of ``align``, per sequence."""

    alignment: dict[MRSequence, AlignmentOutcome] = Field(default_factory=dict)


class Inferred(StageOutcome):
    """Of ``infer``.

    Attributes
    ----------
    brain_ml
        Volume of the brain.
    uncertainty
        See :class:`pipeline.inference.Delineation`.
    provider
        What the network ran on.
    """

    brain_ml: float
    uncertainty: float
    provider: str


class RestoredVolumes(StageOutcome):
    """Of ``restore``: volume of each region on the reference's slices, ml."""

    volumes_ml: dict[Region, float] = Field(default_factory=dict)


class Written(StageOutcome):
    """Of ``write``.

    Attributes
    ----------
    objects
        By kind; of a series its first one.
    sizes
        Of each region.
    rois
        Of the structure set; none where none was wanted.
    """

    objects: dict[str, ObjectOutcome] = Field(default_factory=dict)
    sizes: dict[Region, SizeOutcome] = Field(default_factory=dict)
    rois: tuple[RoiOutcome, ...] = ()


class Stored(StageOutcome):
    """Of ``store``: Orthanc's ids by kind.

    Attributes
    ----------
    stored
        Of the kinds that are one object.
    series
        Of the kinds that are a series: of each of its objects.
    """

    stored: dict[str, str] = Field(default_factory=dict)
    series: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    def of(self, kind: str) -> tuple[str, ...]:
        """The ids of a kind; none where it was not made."""
        return self.series.get(kind) or ((self.stored[kind],) if kind in self.stored else ())


class SegmentationResult(StoredRecord):
    """What REST, result.json and the dashboard show of a case that is done; the stages' outcomes have the details."""

    model: str = ""
    reference: MRSequence | None = None
    flags: tuple[FlagRecord, ...] = ()
    created: Moment | None = None
    identification: StoredDecision | None = None
    volumes: dict[MRSequence, VolumeOutcome] = Field(default_factory=dict)
    alignment: dict[MRSequence, AlignmentOutcome] = Field(default_factory=dict)
    brain_ml: float | None = None
    uncertainty: float | None = None
    provider: str = ""
    volumes_ml: dict[Region, float] = Field(default_factory=dict)
    objects: dict[str, ObjectOutcome] = Field(default_factory=dict)
    sizes: dict[Region, SizeOutcome] = Field(default_factory=dict)
    rois: tuple[RoiOutcome, ...] = ()
    stored: dict[str, str] = Field(default_factory=dict)
    rtstruct: StructureSetOutcome | None = None
    tumour_found: bool = False
    timings_s: dict[str, float] = Field(default_factory=dict)


class JobOutput(StoredRecord):
    """How a job ended: with its result, or with what it was refused for.

    Attributes
    ----------
    timings_s
        Seconds of each stage that ended.
    """

    state: JobState = JobState.DONE
    result: SegmentationResult | None = None
    error: ErrorRecord | None = None
    timings_s: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True)
class CaseOutcomes:
    """The outcomes of a case whose stages all ended well; ``stored`` is absent where there is no archive."""

    identified: Identified
    loaded: Loaded
    aligned: Aligned
    inferred: Inferred
    restored: RestoredVolumes
    written: Written
    stored: Stored | None = None

    def by_stage(self) -> dict[Stage, StageOutcome]:
        """The outcomes in the order of the stages."""
        found = {
            Stage.IDENTIFY: self.identified,
            Stage.LOAD: self.loaded,
            Stage.ALIGN: self.aligned,
            Stage.INFER: self.inferred,
            Stage.RESTORE: self.restored,
            Stage.WRITE: self.written,
        }
        return found if self.stored is None else found | {Stage.STORE: self.stored}

    def result(self, model: str, reference: MRSequence) -> SegmentationResult:
        """Join them into what people see.

        Parameters
        ----------
        model
            ``name@version``.
        reference
            Sequence whose slices carry the contours.
        """
        result = SegmentationResult(
            model=model,
            reference=reference,
            flags=all_flags(self.by_stage().values()),
            volumes=self.loaded.volumes,
            alignment=self.aligned.alignment,
            brain_ml=self.inferred.brain_ml,
            uncertainty=self.inferred.uncertainty,
            provider=self.inferred.provider,
            volumes_ml=self.restored.volumes_ml,
            objects=self.written.objects,
            sizes=self.written.sizes,
            rois=self.written.rois,
            tumour_found=self.restored.volumes_ml.get(Region.WT, 0.0) > 0,
        )
        structure_set = self.written.objects.get("rtstruct")
        further = {
            "created": self.identified.created,
            "identification": self.loaded.identification or self.identified.identification,
            "stored": self.stored.stored if self.stored else None,
            "rtstruct": structure_set
            and StructureSetOutcome(
                sop_instance_uid=structure_set.sop_instance_uid,
                series_instance_uid=structure_set.series_instance_uid,
                rois=self.written.rois,
            ),
        }
        return result.model_copy(update={name: value for name, value in further.items() if value is not None})


def all_flags(outcomes: Iterable[StageOutcome]) -> tuple[FlagRecord, ...]:
    """The flags of the stages, in their order."""
    return tuple(flag for outcome in outcomes for flag in outcome.flags)


def told(flags: Iterable[Flag]) -> tuple[FlagRecord, ...]:
    """Flags with their words."""
    return tuple(FlagRecord.of(flag) for flag in flags)


_StageOutcome = TypeVar("_StageOutcome", bound=StageOutcome)


def timed(work: Callable[[], _StageOutcome]) -> _StageOutcome:
    """Run a stage; its outcome says how long that took, in seconds."""
    start = time.perf_counter()
    outcome = work()
    return outcome.model_copy(update={"seconds": round(time.perf_counter() - start, 3)})
