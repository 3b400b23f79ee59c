"""When a series was acquired, from the dates and times of its header."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise

_SOME_DAY = "20000101"
_DAY_S = 24 * 3600.0
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
        Whether the day is of the series itself, and not that on which the study began.
    """
    for keyword in ("AcquisitionDateTime", "FrameAcquisitionDateTime"):
        combined = text(keyword)
        day = _day(combined[:8])
        moment = _moment(day, combined[8:].split("+")[0].split("-")[0]) if day else None
        if moment is not None:
            return day, moment, True
    days = ("AcquisitionDate", "SeriesDate", "ContentDate")
    own = next((found for keyword in days if (found := _day(text(keyword)))), "")
    day = own or _day(text("StudyDate"))
    clocks = ("AcquisitionTime", "SeriesTime", "ContentTime")
    moments = (_moment(day or _SOME_DAY, text(keyword).replace(":", "")) for keyword in clocks)
    return day, next((moment for moment in moments if moment is not None), None), bool(own)


def over_midnight(moments: Sequence[float], dated: Sequence[bool]) -> list[float]:
    """Moments of one study in seconds, those after midnight on the next day where only the study's day was known.

    A study that goes on after midnight is told by its pause: most of the day lies between what came last by the clock
    and what came first, and hardly anything the other way round.
    """
    order = sorted(range(len(moments)), key=moments.__getitem__)
    pauses = [moments[after] - moments[before] for before, after in pairwise(order)]
    if not pauses or max(pauses) < _DAY_S / 2:
        return list(moments)
    first_late = pauses.index(max(pauses)) + 1
    around = moments[order[0]] + _DAY_S - moments[order[-1]]
    early = {index for index in order[:first_late] if not dated[index]}
    if not 0 < around <= LONGEST_PAUSE_S or len(early) < first_late:
        return list(moments)
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
