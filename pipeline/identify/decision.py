"""The stored decision: which series was taken for which sequence, and why."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipeline.errors import Flag, GlioLoopError
from pipeline.identify.exclude import Exclusion
from pipeline.names import Sequence

#: Where one of these lacks, the series taken for the other is it if the header was misread.
_LOOKALIKE = {
    Sequence.T1: Sequence.T1C,
    Sequence.T1C: Sequence.T1,
    Sequence.T2: Sequence.FLAIR,
    Sequence.FLAIR: Sequence.T2,
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
    """

    series_instance_uid: str
    orthanc_id: str
    series_number: int | None
    description: str
    verdict: VerdictName
    sequence: Sequence | None
    score: float
    scores: dict[str, float]
    reasons: tuple[str, ...]
    exclusions: tuple[Exclusion, ...] = ()

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
            sequence=None if stored["sequence"] is None else Sequence(stored["sequence"]),
            score=stored["score"],
            scores=dict(stored["scores"]),
            reasons=tuple(stored["reasons"]),
            exclusions=tuple(Exclusion(item["code"], item["text"]) for item in stored["exclusions"]),
        )


@dataclass(frozen=True)
class OpenPair:
    """Two series and two sequences that no header tells apart: the images must, once they are read.

    Attributes
    ----------
    sequences
        T1 and T1C, or T2 and FLAIR.
    reason
        Why the headers do not tell.
    """

    sequences: tuple[Sequence, Sequence]
    reason: str


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
    unsure
        Sequences whose series might be its look-alike (T1 and T1C, T2 and FLAIR): right where the study has both,
        a guess where it has one.
    """

    chosen: dict[Sequence, str]
    verdicts: tuple[SeriesVerdict, ...] = field(default_factory=tuple)
    open: tuple[OpenPair, ...] = ()
    unsure: tuple[Sequence, ...] = ()

    @property
    def missing(self) -> tuple[Sequence, ...]:
        """Sequences for which no series was found."""
        return tuple(sequence for sequence in Sequence if sequence not in self.chosen)

    def as_json(self) -> dict[str, Any]:
        """The decision as jobs store it and REST shows it."""
        return {
            "chosen": {sequence.value: uid for sequence, uid in self.chosen.items()},
            "missing": [sequence.value for sequence in self.missing],
            "series": [verdict.as_json() for verdict in self.verdicts],
            "open": [{"sequences": [one.value for one in pair.sequences], "reason": pair.reason} for pair in self.open],
            "unsure": [sequence.value for sequence in self.unsure],
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "Decision":
        """Inverse of :meth:`as_json`."""
        return Decision(
            chosen={Sequence(name): uid for name, uid in stored["chosen"].items()},
            verdicts=tuple(SeriesVerdict.from_json(item) for item in stored["series"]),
            open=tuple(
                OpenPair((Sequence(pair["sequences"][0]), Sequence(pair["sequences"][1])), pair["reason"])
                for pair in stored.get("open", ())  # jobs queued by earlier versions have none
            ),
            unsure=tuple(Sequence(name) for name in stored.get("unsure", ())),
        )

    def settled(self, pair: OpenPair, swapped: bool, reason: str) -> "Decision":
        """The decision after the images told a pair apart, with the reason in both verdicts."""
        first, second = pair.sequences
        other = {first: second, second: first} if swapped else {}
        chosen = {sequence: self.chosen[other.get(sequence, sequence)] for sequence in self.chosen}
        uids = {chosen[first]: first, chosen[second]: second}
        verdicts = tuple(
            replace(one, sequence=uids[one.series_instance_uid], reasons=(*one.reasons, reason))
            if one.series_instance_uid in uids
            else one
            for one in self.verdicts
        )
        return Decision(chosen, verdicts, tuple(one for one in self.open if one != pair), self.unsure)

    def suffices(self, may_lack: Collection[Sequence] = ()) -> bool:
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

    def require(self, may_lack: Collection[Sequence] = ()) -> tuple[Flag, ...]:
        """Refuse a study that cannot be done.

        Parameters
        ----------
        may_lack
            Sequences of which one may lack.

        Returns
        -------
        tuple
            ``SEQUENCE_LACKING`` where the study is done without a sequence.

        Raises
        ------
        GlioLoopError
            ``NOT_HEAD`` where every MR series shows another body part, else ``SEQUENCE_MISSING``; both with the
            verdict of every series in ``data``.
        """
        names = ", ".join(sequence.value for sequence in self.missing)
        if self.suffices(may_lack):
            return (Flag("SEQUENCE_LACKING", f"Missing: {names}."),) if names else ()
        mr = [v for v in self.verdicts if "NOT_MR" not in {exclusion.code for exclusion in v.exclusions}]
        elsewhere = bool(mr) and all("NOT_HEAD" in {exclusion.code for exclusion in v.exclusions} for v in mr)
        code = "NOT_HEAD" if elsewhere else "SEQUENCE_MISSING"
        raise GlioLoopError(code, f"Missing: {names}.", self.as_json())
