"""Series of one examination, told from those of another day or another patient that lie in the same study."""

from collections.abc import Sequence

from pipeline.errors import GlioLoopError
from pipeline.identify.facts import Facts
from pipeline.identify.times import LONGEST_PAUSE_S, midnight

_DAY_S = 24 * 3600.0


def sessions_of(study: Sequence[Facts]) -> list[list[Facts]]:
    """Group series by when they were acquired, the earliest group first.

    A series with a day and no time is of the group that was at work on that day. Where there is more than one group,
    a series of which nothing is known is a group of its own, the first.
    """
    timed = sorted((facts for facts in study if facts.moment is not None), key=lambda facts: facts.moment or 0.0)
    groups: list[list[Facts]] = []
    for facts in timed:
        if groups and (facts.moment or 0.0) - (groups[-1][-1].moment or 0.0) <= LONGEST_PAUSE_S:
            groups[-1].append(facts)
        else:
            groups.append([facts])
    of_days: dict[str, list[Facts]] = {}
    for facts in study:
        if facts.moment is None and facts.day:
            same_day = next((group for group in reversed(groups) if _at_work(group, facts.day)), None)
            if same_day is None:
                of_days.setdefault(facts.day, []).append(facts)
            else:
                same_day.append(facts)
    groups = sorted([*groups, *of_days.values()], key=_start)
    unknown = [facts for facts in study if facts.moment is None and not facts.day]
    if len(groups) == 1:
        return [[*groups[0], *unknown]]
    return [unknown, *groups] if unknown else groups


def _at_work(group: Sequence[Facts], day: str) -> bool:
    begin = midnight(day)
    return any(one.moment is not None and begin <= one.moment < begin + _DAY_S for one in group)


def _start(group: Sequence[Facts]) -> float:
    return min(one.moment if one.moment is not None else midnight(one.day) for one in group)


def require_one_patient(study: Sequence[Facts]) -> None:
    """Refuse MR series of several patients, or of several studies.

    Raises
    ------
    GlioLoopError
        ``PATIENTS_MIXED``, ``STUDIES_MIXED``, with the series of each in ``data``.
    """
    groups: list[list[Facts]] = []
    for facts in study:
        same_patient = next(
            (group for group in groups if not any(facts.patient.is_another_than(o.patient) for o in group)), None
        )
        if same_patient is None:
            groups.append([facts])
        else:
            same_patient.append(facts)
    if len(groups) > 1:
        listed = [_listed(group) for group in groups]
        raise GlioLoopError("PATIENTS_MIXED", f"{len(groups)} patients: {'; '.join(listed)}.", {"patients": [*listed]})
    studies: dict[str, list[Facts]] = {}
    for facts in study:
        if facts.study_uid:
            studies.setdefault(facts.study_uid, []).append(facts)
    if len(studies) > 1:
        told = {uid: _listed(group) for uid, group in sorted(studies.items())}
        detail = "; ".join(f"{uid} ({series})" for uid, series in told.items())
        raise GlioLoopError("STUDIES_MIXED", f"{len(studies)} studies: {detail}.", {"studies": {**told}})


def _listed(group: Sequence[Facts]) -> str:
    """Series by number where they have one: no names, no dates."""
    return "series " + ", ".join(
        sorted(str(facts.number) if facts.number is not None else facts.uid for facts in group)
    )
