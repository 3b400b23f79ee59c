"""The table of codes and its page."""

import os
import re
from pathlib import Path

from pipeline.errors import REASONS, Kind, reasons_table

PAGE = Path(__file__).resolve().parents[3] / "docs" / "quality-gates.md"


def test_the_page_is_the_table() -> None:
    """GLIOLOOP_REASONS_TABLE=1 rewrites the page."""
    text = page = PAGE.read_text(encoding="utf-8")
    for kind in Kind:
        table = f"<!-- {kind} -->\n{reasons_table(kind)}\n<!-- /{kind} -->"
        page = re.sub(rf"<!-- {kind} -->.*?<!-- /{kind} -->", lambda _, new=table: new, page, flags=re.DOTALL)
        assert f"<!-- {kind} -->" in page
    if os.environ.get("GLIOLOOP_REASONS_TABLE"):
        PAGE.write_text(page, encoding="utf-8")
    else:
        assert page == text, "docs/quality-gates.md is not what pipeline/errors/reasons.py says"


def test_every_reason_speaks_to_both_readers_in_one_line() -> None:
    for code, reason in REASONS.items():
        assert reason.message and reason.hint, code
        assert "\n" not in reason.message + reason.hint and "|" not in reason.message + reason.hint, code
