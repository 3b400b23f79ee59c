"""Which studies come first, and when earlier ones are done again."""

from datetime import datetime

import pytest

from pipeline.errors import GlioLoopError
from pipeline.settings import load_settings
from pipeline.settings.turns import Turns


@pytest.mark.parametrize(
    ("hours", "now", "seconds"),
    [
        ((20, 6), "2026-01-01 19:30", 1800),
        ((20, 6), "2026-01-01 20:00", 0),
        ((20, 6), "2026-01-02 05:59", 0),
        ((20, 6), "2026-01-02 06:00", 14 * 3600),
        ((1, 5), "2026-01-01 00:00", 3600),
        ((1, 5), "2026-01-01 05:00", 20 * 3600),
        ((1, 5), "2026-12-31 23:00", 2 * 3600),
        (None, "2026-01-01 12:00", 0),
    ],
)
def test_quiet_hours_may_go_over_midnight(hours: tuple[int, int] | None, now: str, seconds: float) -> None:
    assert Turns(quiet_hours=hours).seconds_to_quiet(datetime.fromisoformat(now)) == seconds


def test_urgent_is_what_the_description_says() -> None:
    turns = load_settings({"Turns": {"UrgentPatterns": ["stat", r"\bcito\b"]}}).turns
    assert turns.urgent("MR Brain STAT")
    assert turns.urgent("Kopf, cito")
    assert not turns.urgent("MR Brain")
    assert not turns.urgent("")


@pytest.mark.parametrize("wrong", [{"UrgentPatterns": ["("]}, {"QuietHours": [20, 24]}, {"QuietHours": [20]}])
def test_what_is_wrong_is_told(wrong: dict[str, object]) -> None:
    with pytest.raises(GlioLoopError, match="Turns"):
        load_settings({"Turns": wrong})
