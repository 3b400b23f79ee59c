"""The page of a result: valid, one page, and in each language what was found, how large, flagged and by what."""

import re
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from pipeline.errors import REASONS, Flag
from pipeline.names import TUMOUR_REGIONS, Language, Region
from pipeline.objects import build
from pipeline.objects.page.content import Page
from pipeline.volume.records import SourceVolume
from tests.unit.objects.phantom import phantom_series
from tests.unit.objects.test_objects import built, reread, validate

Study = tuple[list[Dataset], SourceVolume]
SAID = {
    Language.ENGLISH: ("Research use only", "touches the edge", "Whole tumour", "No tumour", "2026-01-02"),
    Language.DUTCH: ("Alleen voor onderzoek", "raakt de rand", "Gehele tumor", "geen tumor", "02-01-2026"),
    Language.FRENCH: ("Recherche uniquement", "touche le bord", "Tumeur entière", "aucune tumeur", "02/01/2026"),
    Language.GERMAN: ("Nur für die Forschung", "berührt den Rand", "Gesamttumor", "keinen Tumor", "02.01.2026"),
}


@pytest.fixture(scope="module")
def study() -> Study:
    return phantom_series((12, 40, 48))


@pytest.mark.parametrize(
    ("language", "empty"),
    list(zip(Language, [(), TUMOUR_REGIONS, TUMOUR_REGIONS, ()], strict=True)),
)
def test_the_page_says_in_each_language_what_was_found(
    study: Study, language: Language, empty: tuple[Region, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Page] = []

    def noted(*arguments: object) -> Page:
        written.append(original(*arguments))  # type: ignore[arg-type]
        return written[-1]

    original = build.result_page
    monkeypatch.setattr(build, "result_page", noted)
    made = built(*study, want={"pdf"}, language=language, empty=empty, flags=[Flag("TUMOUR_AT_EDGE", "superior")])
    (page,) = written
    research, edge, region, nothing, date = SAID[language]
    assert research in page.footer[0]
    assert "unet@1.2.3" in page.footer[0]
    assert date in page.subtitle
    assert f"{edge}" in " ".join(page.warnings)
    assert "superior" in " ".join(page.warnings)
    assert (nothing in page.warnings[0]) is bool(empty)
    (table,) = page.tables
    volume = made.sizes[Region.WT].volume_ml
    point = "." if language is Language.ENGLISH else ","
    assert table.rows[0][0].split("\n") == [region, "GTV_WT"]
    assert table.rows[0][1] == f"{volume:.1f} ml".replace(".", point)
    assert (table.rows[0][2:] == ["–"] * 3) is bool(empty)
    assert (np.asarray(page.pictures[0]) == (255, 214, 0)).all(axis=2).any()  # its legend, where nothing else
    whole = " ".join(
        [page.title, page.subtitle, *page.warnings, *page.footer, *(cell for row in table.rows for cell in row)]
    )
    assert "Doe" not in whole
    assert "P1" not in whole
    assert reread(made.datasets["pdf"]).EncapsulatedDocument.startswith(b"%PDF")


def test_it_is_one_page_with_every_flag_and_passes_the_validators(study: Study, tmp_path: Path) -> None:
    flags = [Flag(code, "t1c: slices 3 to 7") for code in REASONS]
    made = built(*study, want={"pdf"}, language=Language.FRENCH, flags=flags)
    validate(made.datasets, tmp_path)
    assert len(re.findall(rb"/Type\s*/Page\b", made.datasets["pdf"].EncapsulatedDocument)) == 1
