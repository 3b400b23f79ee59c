"""One clock for all times of all objects; which installation and which network made them."""

import datetime
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.valuerep import DT

from pipeline.database.engine import database_in
from pipeline.database.installation import installation_id
from pipeline.objects import Provenance, build_objects
from tests.unit.objects.phantom import phantom_series
from tests.unit.objects.test_objects import regions_of, reread

#: 23:30 on the second of January where the offset is one hour.
CREATED = datetime.datetime(2026, 1, 2, 22, 30, 15, 123456, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def local_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bring the process back to its own time zone."""
    yield
    monkeypatch.undo()
    time.tzset()


def made(offset: str | None, provenance: Provenance, zone: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Dataset]:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    headers, volume = phantom_series((6, 16, 20))
    for header in headers:
        if offset is not None:
            header.TimezoneOffsetFromUTC = offset
    built = build_objects(headers, volume, *regions_of(volume), {}, provenance).datasets
    return {kind: reread(dataset) for kind, dataset in built.items()}


@pytest.mark.parametrize(
    ("offset", "zone", "expected"),
    [
        ("+0100", "UTC", ("+0100", "20260102", "233015")),
        ("+0530", "Europe/Brussels", ("+0530", "20260103", "040015")),
        ("-1000", "UTC", ("-1000", "20260102", "123015")),
        (None, "Europe/Brussels", ("+0100", "20260102", "233015")),
        (None, "America/New_York", ("-0500", "20260102", "173015")),
        (None, "UTC", ("+0000", "20260102", "223015")),
        ("", "Asia/Tokyo", ("+0900", "20260103", "073015")),
        ("+99", "Asia/Tokyo", ("+0900", "20260103", "073015")),
    ],
)
def test_all_times_of_all_objects_are_by_one_clock(
    offset: str | None, zone: str, expected: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    zone_offset, date, moment = expected
    for kind, dataset in made(offset, Provenance("unet@1", created=CREATED), zone, monkeypatch).items():
        assert dataset.TimezoneOffsetFromUTC == zone_offset, kind
        dates = {one.keyword: one.value for one in dataset.iterall() if one.VR == "DA" and one.value}
        times = {one.keyword: one.value for one in dataset.iterall() if one.VR == "TM" and one.value}
        ours = {key: value for key, value in dates.items() if not key.startswith(("Study", "Patient", "Acquisition"))}
        assert set(ours.values()) == {date}, kind
        ours = {key: value for key, value in times.items() if not key.startswith(("Study", "Patient", "Acquisition"))}
        assert {str(value).partition(".")[0] for value in ours.values()} == {moment}, kind
        for element in dataset.iterall():
            if element.VR == "DT" and element.keyword != "AcquisitionDateTime":
                assert DT(str(element.value)).strftime("%Y%m%d%H%M%S") == date + moment, element


def test_objects_sort_after_images_of_just_before_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Acquired at 23:29 local time, delineated a minute later on a node whose system clock runs in UTC."""
    for dataset in made("+0100", Provenance("unet@1", created=CREATED), "UTC", monkeypatch).values():
        assert (dataset.InstanceCreationDate, str(dataset.InstanceCreationTime)) > ("20260102", "232900")


def test_an_installation_keeps_its_identifier(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: installation_id(database_in(tmp_path / "new" / "state")), range(32)))
    (one,) = found
    assert one != installation_id(database_in(tmp_path / "other"))


def test_installations_are_told_apart_in_every_object(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (
        made(None, Provenance("unet@1", instance=name), "UTC", monkeypatch) for name in ("a" * 32, "b" * 32)
    )
    for kind, dataset in first.items():
        assert dataset.DeviceSerialNumber == "a" * 32
        assert second[kind].DeviceSerialNumber == "b" * 32
    observers = [
        {item.UID for item in one["sr"].ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "121012"}
        for one in (first, second)
    ]
    assert all(len(one) == 1 for one in observers)
    assert observers[0] != observers[1]


def test_the_label_tells_network_and_version() -> None:
    names = ("gliounet", "gliounet-fast", "gliomanet", "g", "a-very-long-name-of-a-network")
    versions = (
        "0.3.0",
        "0.3.1",
        "0.3.0-ft.1",
        "0.3.0-ft.12",
        "0.3.0-ft.123",
        "2026.11-build.4711",
        "2026.11-build.4712",
    )
    labels = {Provenance(f"{name}@{version}").label(16): (name, version) for name in names for version in versions}
    assert len(labels) == len(names) * len(versions)
    assert max(map(len, labels)) <= 16
    assert all(label[0] == name[0] for label, (name, version) in labels.items() if len(version) < 12)
    assert all(version in label for label, (_, version) in labels.items() if len(version) < 12)
