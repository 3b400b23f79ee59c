"""The readers of a study: whose corrections stand beside each other, and which case of a study counts.

No numpy here: the plugin answers with this.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Ordered
from typing import Final

from pipeline.corrections.record import CaseRecord, ReaderAgreement
from pipeline.errors import GlioLoopError
from pipeline.names import TUMOUR_REGIONS
from pipeline.records import Record

#: Readers that a consensus needs.
FEWEST_READERS: Final = 2
#: Dice from which two contours are said to agree well (Zijdenbos et al., IEEE Trans Med Imaging 13, 1994).
GOOD_DICE: Final = 0.7


class Reading(Record):
    """What a reader made of a study, latest.

    Attributes
    ----------
    number
        Of the reader among those of the study, from 1, in the order in which they came.
    case, reader, received, kind, trusted, source_sop_instance_uid
        See :class:`pipeline.corrections.record.CaseRecord`.
    volumes_ml
        Of the regions that the reader drew, left as they were or deleted; the others were taken over.
    """

    number: int
    case: str
    reader: str
    received: str
    kind: str
    trusted: bool
    source_sop_instance_uid: str
    volumes_ml: dict[str, float]


class RegionAgreement(Record):
    """A region that both of two readers drew.

    Attributes
    ----------
    dice, hd95_mm
        See :class:`pipeline.corrections.record.ReaderDifference`.
    difference_ml
        By how much the second one's is larger.
    low
        Whether they agree less than well: Dice below :data:`GOOD_DICE`.
    """

    dice: float
    hd95_mm: float | None
    difference_ml: float
    low: bool


class ReaderPair(Record):
    """Two readers, by their numbers, and how their contours agree.

    Attributes
    ----------
    regions
        Those that both drew; None where the two were not compared: they drew on other images, or an earlier version
        kept both.
    """

    first: int
    second: int
    regions: dict[str, RegionAgreement] | None


class Consensus(Record):
    """The latest consensus of a study's readers.

    Attributes
    ----------
    case, trusted, received, notes
        See :class:`pipeline.corrections.record.CaseRecord`.
    consensus_of
        Ids of the cases that it was made of.
    stale
        Whether a reader's later correction is not in it: then nothing is learnt from it.
    """

    case: str
    trusted: bool
    received: str
    notes: tuple[str, ...]
    consensus_of: tuple[str, ...]
    stale: bool


class Readers(Record):
    """All readers of a study.

    Attributes
    ----------
    readings
        The latest of each, in the order in which the readers came.
    pairs
        Each two of them.
    consensus
        The latest one; None where there is none.
    """

    readings: tuple[Reading, ...]
    pairs: tuple[ReaderPair, ...]
    consensus: Consensus | None


def reader_of(case: CaseRecord) -> str:
    """Whose contours a case holds; all that earlier versions kept of nobody named is one reader's."""
    return case.reader or case.reviewer


def latest_of_each(cases: Iterable[CaseRecord]) -> list[CaseRecord]:
    """Return the latest correction of each reader of a study.

    Parameters
    ----------
    cases
        The study's, newest first. A consensus is no reader's, and what may be a viewer's doing counts once somebody
        said that it was meant.

    Returns
    -------
    list
        In the order in which the readers came.
    """
    latest: dict[str, CaseRecord] = {}
    for case in reversed([one for one in cases if not one.consensus_of and one.kind != "holes_filled"]):
        latest[reader_of(case)] = case
    return list(latest.values())


def is_stale(consensus: CaseRecord, cases: Iterable[CaseRecord]) -> bool:
    """Whether a reader's latest correction is not in a consensus of the same study."""
    return not {one.id for one in latest_of_each(cases)} <= set(consensus.consensus_of)


def standing(cases: Iterable[CaseRecord]) -> list[CaseRecord]:
    """Leave out every consensus but the one that counts: the latest, where it is not stale.

    Parameters
    ----------
    cases
        Newest first, of one study or many.
    """
    found = list(cases)
    by_study: dict[str, list[CaseRecord]] = defaultdict(list)
    for case in found:
        by_study[case.study].append(case)
    latest = ((_latest_consensus(group), group) for group in by_study.values())
    counts = {one.id for one, group in latest if one is not None and not is_stale(one, group)}
    return [case for case in found if not case.consensus_of or case.id in counts]


def stale_of(cases: Iterable[CaseRecord]) -> list[str]:
    """Ids of every consensus among cases, newest first, that does not count."""
    found = list(cases)
    counts = {one.id for one in standing(found)}
    return [one.id for one in found if one.id not in counts]


def _latest_consensus(cases: Ordered[CaseRecord]) -> CaseRecord | None:
    return next((one for one in cases if one.consensus_of), None)


def counting(cases: Iterable[CaseRecord], usable: Callable[[CaseRecord], bool]) -> list[CaseRecord]:
    """Return the one case of each study that may be learnt from or leave the node, where there is one.

    Parameters
    ----------
    cases
        Newest first, of all studies.
    usable
        Whether a case may be used at all.

    Returns
    -------
    list
        Oldest first: of each study its consensus, where that is usable and not stale; else its newest correction, where
        that is usable.
    """
    chosen: dict[str, CaseRecord] = {}
    for case in standing(cases):
        if not case.consensus_of or usable(case):
            chosen.setdefault(case.study, case)
    return sorted(filter(usable, chosen.values()), key=lambda one: (one.received, one.id))


def readers_of(cases: Ordered[CaseRecord]) -> Readers:
    """Tell how the readers of a study stand to each other.

    Parameters
    ----------
    cases
        The study's, newest first.
    """
    latest = latest_of_each(cases)
    consensus = _latest_consensus(cases)
    return Readers(
        readings=tuple(_reading(number, case) for number, case in enumerate(latest, 1)),
        pairs=tuple(
            _pair(first, second, latest)
            for second in range(2, len(latest) + 1)
            for first in range(1, second)
        ),
        consensus=None if consensus is None else _told(consensus, is_stale(consensus, cases)),
    )  # fmt: skip


def _reading(number: int, case: CaseRecord) -> Reading:
    return Reading(
        number=number,
        case=case.id,
        reader=reader_of(case),
        received=case.received,
        kind=case.kind,
        trusted=case.trusted,
        source_sop_instance_uid=case.source_sop_instance_uid,
        volumes_ml={name: one.corrected_ml for name, one in case.regions.items() if one.drawn},
    )


def _told(consensus: CaseRecord, stale: bool) -> Consensus:
    return Consensus(
        case=consensus.id,
        trusted=consensus.trusted,
        received=consensus.received,
        notes=consensus.notes,
        consensus_of=consensus.consensus_of,
        stale=stale,
    )


def _pair(first: int, second: int, latest: list[CaseRecord]) -> ReaderPair:
    one, other = latest[first - 1], latest[second - 1]
    found = _between(other, one.id)
    sign = 1
    if found is None:  # held by whichever came later
        found, sign = _between(one, other.id), -1
    if found is None:
        return ReaderPair(first=first, second=second, regions=None)
    regions = {
        region.value: RegionAgreement(
            dice=difference.dice,
            hd95_mm=difference.hd95_mm,
            difference_ml=round(sign * (difference.own_ml - difference.other_ml), 3),
            low=difference.dice < GOOD_DICE,
        )
        for region in TUMOUR_REGIONS
        if (difference := found.regions.get(region.value)) is not None
    }
    return ReaderPair(first=first, second=second, regions=regions)


def _between(case: CaseRecord, other: str) -> ReaderAgreement | None:
    return next((one for one in case.agreement if one.other == other), None)


def require_readers(cases: Iterable[CaseRecord]) -> list[CaseRecord]:
    """Return what a consensus of a study's readers is made of.

    Raises
    ------
    GlioLoopError
        READERS_TOO_FEW.
    """
    latest = latest_of_each(cases)
    if len(latest) < FEWEST_READERS:
        raise GlioLoopError("READERS_TOO_FEW", f"readers of this study: {len(latest)}")
    return latest
