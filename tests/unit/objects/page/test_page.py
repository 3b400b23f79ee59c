"""Pages: one page whatever stands on it, words in four languages, valid objects."""

import re
import tomllib
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from pydicom import Dataset

from pipeline.errors import REASONS, Kind
from pipeline.names import Language
from pipeline.objects.page import words as words_module
from pipeline.objects.page.content import Page, Table
from pipeline.objects.page.pdf import render
from pipeline.objects.page.picture import WIDTH, draw
from pipeline.objects.page.sop import PageDocument
from pipeline.objects.page.words import Words
from pipeline.objects.preview.sop import PreviewCapture
from pipeline.volume.records import SourceVolume
from tests.unit.objects.phantom import phantom_series
from tests.unit.objects.test_objects import PROVENANCE, reread, validate

Study = tuple[list[Dataset], SourceVolume]


@pytest.fixture(scope="module")
def study() -> Study:
    return phantom_series((6, 20, 24))


def page(rows: int = 3, text: str = "12,3 ml <b> & è ß €") -> Page:
    table = Table("Lesions", ["One", "Two"], [[text, "a\nb"]] * rows, [2, 1])
    return Page("Évolution", "Untersuchung", ["Achtung"], [Image.new("RGB", (400, 100), (9, 9, 9))], [table], ["Foot"])


def pages_of(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_every_language_says_the_same_things() -> None:
    tables = tomllib.loads(Path(words_module.__file__).with_name("words.toml").read_text(encoding="utf-8"))
    assert set(tables) == {one.value for one in Language}
    filled = re.compile(r"\{\w+\}")
    for table in tables.values():
        assert {key: filled.findall(text) for key, text in table.items()} == {
            key: filled.findall(text) for key, text in tables["en"].items()
        }
        assert all(table.values())


@pytest.mark.parametrize("language", list(Language))
def test_flags_are_said_in_each_language(language: Language) -> None:
    words, english = Words(language), Words(Language.ENGLISH)
    assert english("TUMOUR_AT_EDGE") == REASONS["TUMOUR_AT_EDGE"].message
    if language is not Language.ENGLISH:
        table = tomllib.loads(Path(words_module.__file__).with_name("flags.toml").read_text(encoding="utf-8"))[language]
        assert {code for code in table if REASONS[code].kind is not Kind.FLAG} == set()
        assert all(words(code) == text != english(code) for code, text in table.items())
        # One that is not translated is told in English, and that it is.
        assert words("NO_MR") == f"{english('NO_MR')} ({words('only_english')})"


@pytest.mark.parametrize("rows", [0, 3, 150])
def test_it_is_one_page_whatever_stands_on_it(rows: int) -> None:
    made = render(page(rows))
    assert made.startswith(b"%PDF")
    assert pages_of(made) == 1
    assert made == render(page(rows))  # the same again has the same bytes
    assert b"/FontFile2" in made  # a viewer elsewhere shows the same letters
    drawn = draw(page(rows))
    assert drawn.width == WIDTH
    border = drawn.crop((WIDTH - 20, 0, WIDTH, drawn.height))
    assert ImageChops.invert(border).getbbox() is None  # nothing runs over the edge


def test_they_pass_the_validators_and_hold_the_page(study: Study, tmp_path: Path) -> None:
    document = PageDocument(*study, page(), "course page", PROVENANCE, series_number=9008, uid_seed="a")
    picture = PreviewCapture(*study, draw(page()), PROVENANCE, kind="course picture", series_number=9007, uid_seed="a")
    validate({"pdf": document, "picture": picture}, tmp_path)
    read = reread(document)
    content = read.EncapsulatedDocument[: read.EncapsulatedDocumentLength]
    assert content == render(page())
    assert read.SourceInstanceSequence[0].ReferencedSOPInstanceUID in {one.SOPInstanceUID for one in study[0]}
    assert len({document.SOPInstanceUID, picture.SOPInstanceUID}) == 2
