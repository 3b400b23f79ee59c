"""The page of a course: what was measured in the reader's words, up to its study and no further."""

import pytest

from pipeline.course.change import PatientCourse, course_of
from pipeline.course.page import course_page
from pipeline.course.points import Origin, point_of
from pipeline.course.records import TimePoint
from pipeline.names import Language
from pipeline.objects.page.content import Page
from pipeline.objects.page.pdf import render
from pipeline.objects.page.picture import draw
from tests.unit.course.shapes import Ball
from tests.unit.course.test_points import ONE, OTHER, beside, facts, measured

GROWN: Ball = ((30, 1, 0), 12)


@pytest.fixture(scope="module")
def course() -> PatientCourse:
    scans = [measured(ONE), measured(GROWN, OTHER), measured(GROWN)]
    points: list[TimePoint] = []
    for month, scan in enumerate(scans, start=1):
        before = beside(points[-1], scans[month - 2], scan) if points else None
        points.append(point_of(facts(month), Origin("a@1", "automatic", str(month)), scan, before))
    return course_of("p", points)


def words_of(page: Page) -> str:
    cells = [cell for table in page.tables for row in [table.header, *table.rows] for cell in row]
    return "\n".join([page.title, page.subtitle, *page.warnings, *cells, *page.footer])


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (Language.ENGLISH, ["8.7 ml", "+4.5 ml (+105 %) since the study before", "new", "left", "2026-02-01"]),
        (Language.DUTCH, ["8,7 ml", "sinds het vorige onderzoek", "nieuw", "links", "01-02-2026", "onderzoek"]),
        (Language.FRENCH, ["8,7 ml", "depuis l'examen précédent", "nouvelle", "gauche", "01/02/2026"]),
        (Language.GERMAN, ["8,7 ml", "seit der Voruntersuchung", "neu", "links", "01.02.2026", "Forschung"]),
    ],
)
def test_it_says_what_has_changed_in_the_reader_s_words(
    course: PatientCourse, language: Language, expected: list[str]
) -> None:
    page = course_page(course.studies[1], course, language)
    text = words_of(page)
    for one in expected:
        assert one in text, one
    assert len(page.tables[0].rows) == 2  # the study after it is not told of
    assert render(page).startswith(b"%PDF")
    assert draw(page).height > 400


def test_a_lesion_that_is_gone_is_told(course: PatientCourse) -> None:
    text = words_of(course_page(course.studies[2], course, Language.ENGLISH))
    assert "no longer found" in text
    assert "below what repeats" in text
