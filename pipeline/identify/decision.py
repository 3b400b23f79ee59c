"""The stored decision: which series was taken for which sequence, and why."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipeline.errors import Flag, GlioLoopError
from pipeline.identify.exclude import Exclusion
from pipeline.identify.parts import SeriesPart
from pipeline.names import MRSequence

#: Where one of these lacks, the series taken for the other is it if the header was misread.
_LOOKALIKE = {
    MRSequence.T1: MRSequence.T1C,
    MRSequence.T1C: MRSequence.T1,
    MRSequence.T2: MRSequence.FLAIR,
    MRSequence.FLAIR: MRSequence.T2,
}

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
    score: float
    scores: dict[str, float]
    reasons: tuple[str, ...]
    exclusions: tuple[Exclusion, ...] = ()
    part: SeriesPart | None = None

    def as_json(self) -> dict[str, Any]:
        """The verdict as REST shows it."""
        return {
            "series_instance_uid": self.series_instance_uid,
            "orthanc_id": self.orthanc_id,
            "series_number": self.series_number,
            "description": self.description,
            "verdict": self.verdict,
            "sequence": None if self.sequence is None else self.sequence.value,
            "score": round(self.score, 1),
            "scores": {name: round(points, 1) for name, points in self.scores.items()},
            "reasons": list(self.reasons),
            "exclusions": [{"code": exclusion.code, "text": exclusion.text} for exclusion in self.exclusions],
            "part": None if self.part is None else self.part.as_json(),
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "SeriesVerdict":
        """Inverse of :meth:`as_json`."""
        return SeriesVerdict(
            series_instance_uid=stored["series_instance_uid"],
            orthanc_id=stored["orthanc_id"],
            series_number=stored["series_number"],
            description=stored["description"],
            verdict=stored["verdict"],
            sequence=None if stored["sequence"] is None else MRSequence(stored["sequence"]),
            score=stored["score"],
            scores=dict(stored["scores"]),
            reasons=tuple(stored["reasons"]),
            exclusions=tuple(Exclusion(item["code"], item["text"]) for item in stored["exclusions"]),
            part=_part(stored.get("part")),
        )


def _part(stored: Mapping[str, Any] | None) -> SeriesPart | None:
    return None if stored is None else SeriesPart.from_json(stored)


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
    earlier: SeriesPart
    later: SeriesPart

    def as_json(self) -> dict[str, Any]:
        """As jobs store it."""
        return {
            "sequence": self.sequence.value,
            "earlier": self.earlier.as_json(),
            "later": self.later.as_json(),
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "Rivals":
        """Inverse of :meth:`as_json`."""
        earlier, later = SeriesPart.from_json(stored["earlier"]), SeriesPart.from_json(stored["later"])
        return Rivals(MRSequence(stored["sequence"]), earlier, later)


@dataclass(frozen=True)
class SecondChoice:
    """A series, or a part of one, that stands in where the chosen one can't be read."""

    series_instance_uid: str
    part: SeriesPart | None = None

    def as_json(self) -> dict[str, Any]:
        """As jobs store it."""
        return {"series": self.series_instance_uid, "part": None if self.part is None else self.part.as_json()}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "SecondChoice":
        """Inverse of :meth:`as_json`."""
        return SecondChoice(stored["series"], _part(stored["part"]))


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

    chosen: dict[MRSequence, str]
    verdicts: tuple[SeriesVerdict, ...] = field(default_factory=tuple)
    open: tuple[OpenPair, ...] = ()
    unsure: tuple[MRSequence, ...] = ()
    parts: dict[MRSequence, SeriesPart] = field(default_factory=dict)
    rivals: tuple[Rivals, ...] = ()
    named: tuple[MRSequence, ...] = ()
    others: dict[MRSequence, tuple[SecondChoice, ...]] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()

    @property
    def missing(self) -> tuple[MRSequence, ...]:
        """Sequences for which no series was found."""
        return tuple(sequence for sequence in MRSequence if sequence not in self.chosen)

    def as_json(self) -> dict[str, Any]:
        """The decision as jobs store it and REST shows it."""
        return {
            "chosen": {sequence.value: uid for sequence, uid in self.chosen.items()},
            "missing": [sequence.value for sequence in self.missing],
            "series": [verdict.as_json() for verdict in self.verdicts],
            "open": [
                {"sequences": [one.value for one in pair.sequences], "reason": pair.reason, "stated": pair.stated}
                for pair in self.open
            ],
            "unsure": [sequence.value for sequence in self.unsure],
            "parts": {sequence.value: part.as_json() for sequence, part in self.parts.items()},
            "rivals": [rivals.as_json() for rivals in self.rivals],
            "named": [sequence.value for sequence in self.named],
            "others": {sequence.value: [one.as_json() for one in choices] for sequence, choices in self.others.items()},
            "flags": [{"code": flag.code, "detail": flag.detail} for flag in self.flags],
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "Decision":
        """Inverse of :meth:`as_json`."""
        # jobs queued by earlier versions lack what came later
        return Decision(
            chosen={MRSequence(name): uid for name, uid in stored.get("chosen", {}).items()},
            verdicts=tuple(SeriesVerdict.from_json(item) for item in stored.get("series", ())),
            open=tuple(
                OpenPair(
                    (MRSequence(pair["sequences"][0]), MRSequence(pair["sequences"][1])),
                    pair["reason"],
                    pair.get("stated", False),
                )
                for pair in stored.get("open", ())
            ),
            unsure=tuple(MRSequence(name) for name in stored.get("unsure", ())),
            parts={MRSequence(name): SeriesPart.from_json(part) for name, part in stored.get("parts", {}).items()},
            rivals=tuple(Rivals.from_json(one) for one in stored.get("rivals", ())),
            named=tuple(MRSequence(name) for name in stored.get("named", ())),
            others={
                MRSequence(name): tuple(SecondChoice.from_json(one) for one in choices)
                for name, choices in stored.get("others", {}).items()
            },
            flags=tuple(Flag(one["code"], one["detail"]) for one in stored.get("flags", ())),
        )

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

    def suffices(self, may_lack: Collection[MRSequence] = ()) -> bool:
        """Whether the study can be done: all four sequences, or all but one that may lack.

        Parameters
        ----------
        may_lack
            Sequences of which one may lack.
        """
        if not self.missing:
            return True
        lacking = self.missing[0]
        return len(self.missing) == 1 and lacking in may_lack and _LOOKALIKE[lacking] not in self.unsure

    def require(self, may_lack: Collection[MRSequence] = ()) -> tuple[Flag, ...]:
        """Refuse a study that cannot be done.

        Parameters
        ----------
        may_lack
            Sequences of which one may lack.

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
        if self.suffices(may_lack):
            return ((Flag("SEQUENCE_LACKING", f"Missing: {names}."),) if names else ()) + self.flags
        mr = [v for v in self.verdicts if "NOT_MR" not in {exclusion.code for exclusion in v.exclusions}]
        elsewhere = bool(mr) and all("NOT_HEAD" in {exclusion.code for exclusion in v.exclusions} for v in mr)
        code = "NOT_HEAD" if elsewhere else "SEQUENCE_MISSING"
        raise GlioLoopError(code, f"Missing: {names}.", self.as_json())
