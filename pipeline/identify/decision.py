"""The stored decision: which series was taken for which sequence, and why."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue, PlainSerializer, PlainValidator, TypeAdapter

from pipeline.errors import Flag, GlioLoopError
from pipeline.identify.exclude import Exclusion
from pipeline.identify.parts import SeriesPart
from pipeline.names import REQUIRED_SEQUENCES, MRSequence

#: Where one of these lacks, the series taken for the other is it if the header was misread.
_COUNTERPART = {
    MRSequence.T1: MRSequence.T1C,
    MRSequence.T1C: MRSequence.T1,
    MRSequence.T2: MRSequence.FLAIR,
    MRSequence.FLAIR: MRSequence.T2,
}

#: Points of a weighting; people see tenths.
Points = Annotated[float, PlainSerializer(lambda points: round(points, 1), return_type=float)]


def _part(stored: object) -> SeriesPart:
    return stored if isinstance(stored, SeriesPart) else SeriesPart.from_json(_TRAITS.validate_python(stored))


_TRAITS: Final[TypeAdapter[dict[str, float | str]]] = TypeAdapter(dict[str, float | str])
#: A part by the values of its traits.
StoredPart = Annotated[SeriesPart, PlainValidator(_part), PlainSerializer(SeriesPart.as_json)]
#: A flag without its words.
StoredFlag = Annotated[Flag, PlainSerializer(lambda flag: {"code": flag.code, "detail": flag.detail})]

VerdictName = Literal["chosen", "candidate", "excluded", "unmatched"]


@dataclass(frozen=True)
class SeriesVerdict:
    """What was found about one series.

    Attributes
    ----------
    series_instance_uid, orthanc_id, series_number, description
        To recognise it.
    verdict
        ``chosen``; ``candidate`` (right, but another was preferred); ``excluded``; ``unmatched`` (an image
        whose sequence the header does not tell well enough).
    sequence
        The sequence it is or would be, None where unmatched or excluded.
    score
        Points of that weighting, 0-100.
    scores
        Points of every weighting.
    reasons
        Sentences a radiologist can read, evidence first, the decision last.
    exclusions
        Code and text of every reason to exclude it.
    part
        Which part of the series this is about; None for all of it.
    """

    series_instance_uid: str
    orthanc_id: str
    series_number: int | None
    description: str
    verdict: VerdictName
    sequence: MRSequence | None
    score: Points
    scores: dict[str, Points]
    reasons: tuple[str, ...]
    exclusions: tuple[Exclusion, ...] = ()
    part: StoredPart | None = None


@dataclass(frozen=True)
class OpenPair:
    """Two series and two sequences that headers do not tell apart, or by one source alone: the images are asked.

    Attributes
    ----------
    sequences
        T1 and T1C, or T2 and FLAIR.
    reason
        What the headers tell.
    stated
        Whether the headers are taken at their word where the images say nothing.
    """

    sequences: tuple[MRSequence, MRSequence]
    reason: str
    stated: bool = False


@dataclass(frozen=True)
class Rivals:
    """Two parts of one series that differ in nothing but their time: the images tell what happened between them.

    Attributes
    ----------
    sequence
        For which one of them is taken: T1 or T1C.
    earlier, later
        The parts.
    """

    sequence: MRSequence
    earlier: StoredPart
    later: StoredPart


@dataclass(frozen=True)
class SecondChoice:
    """A series, or a part of one, that stands in where the chosen one can't be read."""

    series_instance_uid: Annotated[str, Field(validation_alias="series", serialization_alias="series")]
    part: StoredPart | None = None


@dataclass(frozen=True)
class Decision:
    """Which series stands for which sequence.

    Attributes
    ----------
    chosen
        SeriesInstanceUID per sequence; a sequence without a series is absent.
    verdicts
        One a series, in the order of series number and UID.
    open
        Sequences whose two series are chosen, but may be the other way round.
    named
        Sequences whose series a person named.
    others
        What to fall back to where the chosen series can't be read, per sequence, the best first.
    flags
        What is to be looked at with care: derived images, series of another examination.
    unsure
        Sequences whose series might be its look-alike (T1 and T1C, T2 and FLAIR): right where the study has both,
        a guess where it has one.
    parts
        Which part of its series stands for a sequence, where the series has several images at each position.
    rivals
        Parts between which the images have still to choose; the later is chosen until then.
    """

    chosen: dict[MRSequence, str] = field(default_factory=dict)
    verdicts: Annotated[tuple[SeriesVerdict, ...], Field(validation_alias="series", serialization_alias="series")] = ()
    open: tuple[OpenPair, ...] = ()
    unsure: tuple[MRSequence, ...] = ()
    parts: dict[MRSequence, StoredPart] = field(default_factory=dict)
    rivals: tuple[Rivals, ...] = ()
    named: tuple[MRSequence, ...] = ()
    others: dict[MRSequence, tuple[SecondChoice, ...]] = field(default_factory=dict)
    flags: tuple[StoredFlag, ...] = ()

    @property
    def missing(self) -> tuple[MRSequence, ...]:
        """Required sequences for which no series was found."""
        return tuple(sequence for sequence in REQUIRED_SEQUENCES if sequence not in self.chosen)

    def as_json(self) -> dict[str, JsonValue]:
        """The decision as jobs store it and REST shows it."""
        stored = _STORED.dump_python(self, mode="json", by_alias=True)
        return {"chosen": stored["chosen"], "missing": [sequence.value for sequence in self.missing], **stored}

    @staticmethod
    def from_json(stored: object) -> "Decision":
        """Inverse of :meth:`as_json`; jobs queued by earlier versions lack what came later."""
        return _STORED.validate_python(stored)

    def settled(self, pair: OpenPair, swapped: bool, reason: str) -> "Decision":
        """The decision after the images told a pair apart, with the reason in both verdicts."""
        first, second = pair.sequences
        other = {first: second, second: first} if swapped else {}
        before = {sequence: other.get(sequence, sequence) for sequence in self.chosen}
        chosen = {sequence: self.chosen[old] for sequence, old in before.items()}
        parts = {sequence: self.parts[old] for sequence, old in before.items() if old in self.parts}
        flags = self.flags
        if swapped and pair.stated:
            flags += (Flag("IMAGES_OVER_HEADER", f"{first.value} and {second.value}: {pair.reason}; {reason}."),)
        left = tuple(one for one in self.open if one != pair)
        settled = replace(self, chosen=chosen, parts=parts, open=left, flags=flags)
        return settled._told(dict.fromkeys(pair.sequences, reason))

    def preferred(self, rivals: Rivals, part: SeriesPart, reason: str) -> "Decision":
        """The decision after the images chose between two parts of a series, with the reason in the verdicts."""
        decided = replace(
            self,
            parts=self.parts | {rivals.sequence: part},
            rivals=tuple(one for one in self.rivals if one != rivals),
        )
        return decided._told({rivals.sequence: reason})

    def fallen_back(self, sequence: MRSequence, choice: SecondChoice, damage: str) -> "Decision":
        """The decision after the chosen series of a sequence could not be read and another stands in for it."""
        before, part = self.chosen[sequence], self.parts.get(sequence)
        verdicts = tuple(
            replace(one, reasons=(*one.reasons, f"it can't be read: {damage}"))
            if (one.series_instance_uid, one.part) == (before, part)
            else one
            for one in self.verdicts
        )
        parts = {key: one for key, one in self.parts.items() if key is not sequence}
        detail = f"{sequence.value}: {self._named(choice.series_instance_uid)} for {self._named(before)}, {damage}"
        fallen = replace(
            self,
            chosen=self.chosen | {sequence: choice.series_instance_uid},
            verdicts=verdicts,
            parts=parts | ({sequence: choice.part} if choice.part is not None else {}),
            rivals=tuple(one for one in self.rivals if one.sequence is not sequence),
            flags=(*self.flags, Flag("SECOND_CHOICE", detail)),
        )
        return fallen._told({sequence: "taken because the preferred series can't be read"})

    def _named(self, series_instance_uid: str) -> str:
        numbers = (v.series_number for v in self.verdicts if v.series_instance_uid == series_instance_uid)
        number = next((one for one in numbers if one is not None), None)
        return "another series" if number is None else f"series {number}"

    def _told(self, reasons: Mapping[MRSequence, str]) -> "Decision":
        """With verdicts that say what is chosen now, and why."""
        taken = {(uid, self.parts.get(sequence)): sequence for sequence, uid in self.chosen.items()}
        verdicts = tuple(self._restated(one, taken, reasons) for one in self.verdicts)
        return replace(self, verdicts=verdicts)

    @staticmethod
    def _restated(
        verdict: SeriesVerdict,
        taken: Mapping[tuple[str, SeriesPart | None], MRSequence],
        reasons: Mapping[MRSequence, str],
    ) -> SeriesVerdict:
        sequence = taken.get((verdict.series_instance_uid, verdict.part))
        if sequence is None:
            return replace(verdict, verdict="candidate") if verdict.verdict == "chosen" else verdict
        if sequence not in reasons:
            return verdict
        return replace(verdict, verdict="chosen", sequence=sequence, reasons=(*verdict.reasons, reasons[sequence]))

    def split_flags(self) -> tuple[Flag, ...]:
        """``SERIES_SPLIT`` for every sequence that stands in a series of several images at each position."""
        return tuple(Flag("SERIES_SPLIT", self._split(sequence, part)) for sequence, part in self.parts.items())

    def _split(self, sequence: MRSequence, part: SeriesPart) -> str:
        siblings = [one for one in self.verdicts if one.series_instance_uid == self.chosen[sequence]]
        number = next((one.series_number for one in siblings if one.series_number is not None), None)
        why = next((one.reasons[-1] for one in siblings if one.part == part and one.reasons), "")
        others = "; ".join(str(one.part) for one in siblings if one.part != part)
        where = "" if number is None else f" in series {number}"
        return f"{sequence.value}: {part} taken{where} ({why}), not {others}"

    def suffices(self, optional: Collection[MRSequence] = ()) -> bool:
        """Whether the study can be done: all four sequences, or all but an optional one.

        Parameters
        ----------
        optional
            Sequences of which one may be absent.
        """
        if not self.missing:
            return True
        lacking = self.missing[0]
        return len(self.missing) == 1 and lacking in optional and _COUNTERPART[lacking] not in self.unsure

    def require(self, optional: Collection[MRSequence] = ()) -> tuple[Flag, ...]:
        """Refuse a study that cannot be done.

        Parameters
        ----------
        optional
            Sequences of which one may be absent.

        Returns
        -------
        tuple
            ``SEQUENCE_LACKING`` where the study is done without a sequence; what the decision is flagged with.

        Raises
        ------
        GlioLoopError
            ``NOT_HEAD`` where every MR series shows another body part, else ``SEQUENCE_MISSING``; both with the
            verdict of every series in ``data``.
        """
        names = ", ".join(sequence.value for sequence in self.missing)
        if self.suffices(optional):
            return ((Flag("SEQUENCE_LACKING", f"Missing: {names}."),) if names else ()) + self.flags
        mr = [v for v in self.verdicts if "NOT_MR" not in {exclusion.code for exclusion in v.exclusions}]
        elsewhere = bool(mr) and all("NOT_HEAD" in {exclusion.code for exclusion in v.exclusions} for v in mr)
        code = "NOT_HEAD" if elsewhere else "SEQUENCE_MISSING"
        raise GlioLoopError(code, f"Missing: {names}.", self.as_json())


_STORED: Final = TypeAdapter(Decision)
