"""Pages for readers say what the product says: every flag, the reasons word for word, pictures that are there."""

import re

from pipeline.errors import REASONS, Kind
from pipeline.settings import ROOT

DOCS = ROOT / "docs"


def test_radiologists_find_every_flag_in_its_own_words() -> None:
    rows = re.findall(r"^\| (.*) \(`([A-Z_]+)`\) \| .+ \|$", (DOCS / "radiologists.md").read_text(), re.MULTILINE)
    listed = {code: message for message, code in rows}
    assert {code for code, reason in REASONS.items() if reason.kind is Kind.FLAG} <= set(listed)
    for code, message in listed.items():
        assert message == REASONS[code].message


def test_every_picture_is_there_and_is_shown() -> None:
    pages = [*DOCS.glob("*.md"), ROOT / "README.md"]
    shown = set()
    for page in pages:
        for alternative, path in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text()):
            assert alternative, f"{page.name}: {path} has no words for those who do not see it"
            assert (page.parent / path).is_file(), f"{page.name}: {path}"
            shown.add((page.parent / path).resolve())
    assert {path.resolve() for path in DOCS.glob("*.png")} <= shown
