"""When a series was acquired, from the dates and times of its header."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

_SOME_DAY = "20000101"
_DAY_S = 24 * 3600.0
#: Pairs of date and time that tell when a series was acquired, the nearest to it first.
_OWN = ("Acquisition", "Series", "Content")
#: A pause longer than this between two series, in seconds, parts two examinations; midnight does not.
LONGEST_PAUSE_S = 4 * 3600.0


def acquired(text: Callable[[str], str]) -> tuple[str, float | None, bool]:
    """Day and moment of the acquisition; those of the series where the acquisition's are unknown.

    Parameters
    ----------
    text
        Gives an attribute's value by keyword, empty where absent.

    Returns
    -------
    day
        YYYYMMDD, empty where unknown.
    moment
        Seconds since an arbitrary epoch, on some day where the day is unknown; None without a time. Midnight to the
        second stands for a time that was wiped.
    dated
        Whether the day is of that moment, and not that on which the study began: it goes with the clock that was
        taken, or differs from the study's, and does not lie before the study's own start.
    """
    for keyword in ("AcquisitionDateTime", "FrameAcquisitionDateTime"):
        combined = text(keyword)
        day = _day(combined[:8])
        moment = _moment(day, combined[8:].split("+")[0].split("-")[0]) if day else None
        if moment is not None:
            return day, moment, True
    study_day = _day(text("StudyDate"))
    days = {which: found for which in _OWN if (found := _day(text(f"{which}Date")))}
    whose, day = next(iter(days.items()), ("", study_day))
    clocks = {which: _moment(day or _SOME_DAY, text(f"{which}Time").replace(":", "")) for which in _OWN}
    clock, moment = next(((which, one) for which, one in clocks.items() if one is not None), (whose, None))
    start = _moment(study_day, text("StudyTime").replace(":", "")) if study_day else None
    early = moment is not None and start is not None and moment < start - _DAY_S / 2
    return day, moment, bool(whose) and (day != study_day or (clock == whose and not early))


@dataclass(frozen=True)
class Told:
    """When a series was acquired, as it says itself: moment and ``dated`` as of :func:`acquired`, and its
    FrameOfReferenceUID."""

    moment: float
    dated: bool
    frame: str


def over_midnight(study: Sequence[Told]) -> list[float]:
    """Moments of one day's series in seconds, those after midnight on the next day where theirs was not known.

    A study that goes on after midnight is told by its pause: most of the day lies between what came last by the clock
    and what came first, and hardly anything the other way round. Where the early ones say a day of their own, only a
    frame of reference that they share with the late ones tells: who comes again the same day lies in another.
    """
    order = sorted(range(len(study)), key=lambda index: study[index].moment)
    moments = [one.moment for one in study]
    pauses = [moments[after] - moments[before] for before, after in pairwise(order)]
    if not pauses or max(pauses) < _DAY_S / 2:
        return moments
    first_late = pauses.index(max(pauses)) + 1
    early, late = order[:first_late], order[first_late:]
    around = moments[early[0]] + _DAY_S - moments[late[-1]]
    shared = {study[index].frame for index in early} & {study[index].frame for index in late} - {""}
    if not 0 < around <= LONGEST_PAUSE_S or not (shared or not any(study[index].dated for index in early)):
        return moments
    return [moment + _DAY_S if index in early else moment for index, moment in enumerate(moments)]


def on_day(day: str, moment: float | None) -> float | None:
    """A moment of an unknown day on a known one; None where that is unknown, too."""
    return None if moment is None or not day else midnight(day) + moment - midnight(_SOME_DAY)


def midnight(day: str) -> float:
    """The moment at which a day (YYYYMMDD) begins."""
    return datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp()


def _day(text: str) -> str:
    """YYYYMMDD, also where it was written with separators; empty for what is no date."""
    digits = "".join(c for c in text if c.isdigit())
    try:
        return datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC).strftime("%Y%m%d")
    except ValueError:
        return ""


def _moment(day: str, clock: str) -> float | None:
    whole, _, fraction = clock.strip().partition(".")
    try:
        parsed = datetime.strptime(day + whole.ljust(6, "0")[:6], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    seconds = float(f"0.{fraction}") if fraction.isdigit() else 0.0
    return parsed.timestamp() + seconds if whole.strip("0") or seconds else None
