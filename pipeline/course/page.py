"""A study's place in the course as one page: the curve, what was measured, and what has changed."""

from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.course.change import Change, Event, LesionCourse, PatientCourse, StudyCourse
from pipeline.course.curve import draw_curve
from pipeline.names import MANUFACTURER, Language, Region
from pipeline.objects.page.content import Page, Table
from pipeline.objects.page.words import Words

#: Studies and lesions that find room; of more the newest, and the largest.
_MOST_STUDIES: Final = 12
_MOST_LESIONS: Final = 16
_EVENTS: Final = {"not shown": "not_shown"}


def course_page(study: StudyCourse, course: PatientCourse, language: Language) -> Page:
    """Write the course up to a study, without patient data.

    Parameters
    ----------
    study
        The study.
    course
        Of its patient; what is later than the study is left out.
    """
    words = Words(language)
    place = [one.study for one in course.studies].index(study.study)
    shown = course.studies[max(0, place + 1 - _MOST_STUDIES) : place + 1]
    flags = [" ".join(part for part in (words(one.code), one.detail) if part) for one in study.flags]
    return Page(
        title=words("course"),
        subtitle=f"{words('study')}: {words.date(study.at)}. {words('no_category')}",
        warnings=flags,
        pictures=[draw_curve(shown, words)],
        tables=[_studies(shown, words), *_lesions(study, words)],
        footer=[f"{MANUFACTURER}, {study.model}. {words('research')}"],
        language=language,
    )


def _studies(studies: Sequence[StudyCourse], words: Words) -> Table:
    regions = [one for one in Region if any(one in study.regions for study in studies)]
    rows = [
        [
            f"{words.date(study.at)}\n{words(study.source)}",
            *(_volume(study, region, words) for region in regions),
            f"{words.number(study.regions[Region.ET].product_mm2, 0)} mm²" if Region.ET in study.regions else "",
            "\n".join(_event(event, words) for event in study.events),
        ]
        for study in studies
    ]
    header = [words("study"), *(words(one.value) for one in regions), words("products"), words("changes")]
    return Table(words("volume"), header, rows, [1.0, *(1.5 for _ in regions), 1.1, 1.8])


def _volume(study: StudyCourse, region: Region, words: Words) -> str:
    if region not in study.regions:
        return "–"
    one = study.regions[region]
    # The smallest and the first may be the study before, too.
    first = {change.study: change for change in reversed(one.volume_changes)}
    changes = [told(change, words, " " + words(f"since_{change.against}")) for change in reversed(first.values())]
    return "\n".join([f"{words.number(one.volume_ml, 1)} ml", *changes])


def told(change: Change, words: Words, since: str = "") -> str:
    """A change of a volume in words, since when, and what it is worth."""
    percent = f" ({words.number(change.percent, 0, sign=True)} %)" if change.percent is not None else ""
    worth = f", {words('below')}" if change.repeats else ""
    return f"{words.number(change.difference, 1, sign=True)} ml{percent}{since}{worth}"


def _event(event: Event, words: Words) -> str:
    before, after = (", ".join(_short(one) for one in uids) for uids in (event.before, event.after))
    names = " → ".join(dict.fromkeys(one for one in (before, after) if one))
    return f"{words(event.region.value)} {names}: {words(_EVENTS.get(event.kind, event.kind))}"


def _lesions(study: StudyCourse, words: Words) -> Iterator[Table]:
    if not study.lesions:
        return
    largest = sorted(study.lesions, key=lambda one: -one.volume_ml)[:_MOST_LESIONS]
    rows = [_lesion(one, words) for one in study.lesions if one in largest]
    if len(study.lesions) > _MOST_LESIONS:
        rows.append([words("more").format(count=len(study.lesions) - _MOST_LESIONS), "", "", "", ""])
    header = [words(key) for key in ("lesion", "side", "volume", "diameters", "changes")]
    yield Table(words("lesions"), header, rows, [2.2, 1.0, 1.0, 1.4, 2.6])


def _lesion(one: LesionCourse, words: Words) -> list[str]:
    return [
        f"{words(one.region.value)} {_short(one.tracking_uid)}",
        words(one.side.value),
        f"{words.number(one.volume_ml, 2)} ml",
        f"{words.number(one.long_axis_mm, 0)} × {words.number(one.short_axis_mm, 0)} mm",
        told(one.change, words) if one.change else "",
    ]


def _short(uid: str) -> str:
    return f"…{uid[-5:]}"
