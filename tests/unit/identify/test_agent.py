"""ContrastBolusAgent as people and scanners fill it in."""

import pytest

from pipeline.identify import identify
from pipeline.names import MRSequence
from tests.unit.identify.headers import header_of

NONE = (
    "NONE|0|no|No contrast|N/A|ohne|sin contraste|sans|0 ml|0.0|none given|нет|なし|non contrast|pre contrast|native|"
    "sem contraste|brak|yok|ingen|NO GD|not applicable|n.v.t.|kein KM|без контраста"
)
GIVEN = "Gadovist|GADOVIST 7.5 ml|Gd|yes|CONTRAST|Clariscan 0.5 mmol/ml|gadobutrol|造影剤|20 ML MULTIHANCE"


def t1_of(agents: tuple[str, str]) -> list[str]:
    """Which series is T1 and which T1C of two that only the agent tells apart."""
    row = {
        "SeriesDescription": "AX T1",
        "ScanningSequence": "SE",
        "RepetitionTime": 500.0,
        "EchoTime": 12.0,
        "slices": 30,
        "SliceThickness": 4.0,
        "SpacingBetweenSlices": 4.5,
    }
    headers = [
        header_of({}, {**row, "ContrastBolusAgent": agent, "SpecificCharacterSet": "ISO_IR 192"}, number)
        for number, agent in enumerate(agents, start=1)
    ]
    chosen = identify(headers).chosen
    return [chosen.get(MRSequence.T1, ""), chosen.get(MRSequence.T1C, "")]


@pytest.mark.parametrize("word", NONE.split("|"))
def test_no_agent(word: str) -> None:
    assert t1_of(("Gadovist", word)) == ["1.2.2", "1.2.1"]


@pytest.mark.parametrize("word", GIVEN.split("|"))
def test_an_agent(word: str) -> None:
    assert t1_of(("none", word)) == ["1.2.1", "1.2.2"]


@pytest.mark.parametrize("word", ["unknown", "-", "?", "Unbekannt"])
def test_a_word_that_says_nothing_decides_nothing(word: str) -> None:
    """The other T1 has an agent, and this one may be the native one."""
    assert t1_of(("Gadovist", word)) == ["1.2.2", "1.2.1"]
