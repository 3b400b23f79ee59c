"""When a study on its way counts as quiet: fed by hand, without an Orthanc."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.errors import GlioLoopError
from plugin.arrivals import Arrivals

QUIET = 10


@dataclass
class _Site:
    """An archive with one study, and a clock that is moved by hand."""

    seconds: float = 0.0
    latest: float = 0.0
    stable: bool = False
    images: dict[str, int] = field(default_factory=dict)
    made_here: dict[str, int] = field(default_factory=dict)
    away: bool = False
    told: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start = datetime(2026, 1, 1, tzinfo=UTC)
        self.arrivals = Arrivals(
            self,
            QUIET,
            lambda _study: self.told.append(self.seconds),
            lambda: self.seconds,
            lambda: self.start + timedelta(seconds=self.seconds),
        )

    def get(self, path: str) -> Any:
        if self.away:
            raise GlioLoopError("ORTHANC_UNREACHABLE")
        listed = [self._series(one, "MR") for one in self.images] + [self._series(o, "SEG") for o in self.made_here]
        if path.startswith("/series/"):
            return next(one for one in listed if one["ID"] == path.removeprefix("/series/"))
        if path.endswith("/series"):
            return listed
        last = (self.start + timedelta(seconds=self.latest)).strftime("%Y%m%dT%H%M%S")
        return {"ID": "study", "IsStable": self.stable, "LastUpdate": last}

    def post(self, path: str, body: str | bytes) -> Any:
        raise NotImplementedError

    def _series(self, name: str, modality: str) -> dict[str, Any]:
        count = self.images.get(name) or self.made_here[name]
        instances = [f"{name}{number}" for number in range(count)]
        return {
            "ID": name,
            "ParentStudy": "study",
            "Instances": instances,
            "MainDicomTags": {"Modality": modality, "SeriesInstanceUID": name},
        }

    def arrive(self, series: str) -> None:
        self.images[series] = self.images.get(series, 0) + 1
        self.latest = self.seconds
        if self.images[series] == 1:
            self.arrivals.note_series(series)
        self.arrivals.note_image()

    def pass_until(self, seconds: float, others_arrive: bool = False) -> None:
        while self.seconds < seconds:
            self.seconds += 0.5
            if others_arrive:
                self.arrivals.note_image()
            self.arrivals.look()


def test_told_once_it_was_quiet_and_not_again() -> None:
    site = _Site()
    for second in range(8):
        site.pass_until(second)
        site.arrive("t1")
    site.pass_until(100)
    assert site.told == [7 + QUIET]


def test_told_while_other_studies_arrive_all_the_time() -> None:
    site = _Site()
    site.arrive("t1")
    site.pass_until(60, others_arrive=True)
    assert site.told and QUIET <= site.told[0] <= QUIET + 2
    assert len(site.told) == 1


def test_a_sender_with_long_pauses_is_waited_for_twice_as_long_each_time() -> None:
    site = _Site()
    for number in range(10):
        site.pass_until(12 * number)
        site.arrive("t1")
    site.pass_until(400)
    # After the first pause, which looked like the end, 20 s must pass: not before the last image.
    assert site.told == [QUIET + 0.5, 12 * 9 + 2 * QUIET]


def test_a_stable_study_is_left_to_its_event_and_what_was_made_of_it_counts_for_nothing() -> None:
    site = _Site()
    site.arrive("t1")
    site.pass_until(5)
    site.stable = True
    site.made_here["seg"] = 1
    site.arrivals.note_series("seg")
    site.pass_until(60)
    assert site.told == []


def test_an_archive_that_is_away_is_asked_again() -> None:
    site = _Site()
    site.arrive("t1")
    site.pass_until(5)
    site.away = True
    site.pass_until(30)
    assert site.told == []
    site.away = False
    site.pass_until(60)
    assert len(site.told) == 1
