"""Headers as no standard allows them: the objects are legal all the same, and the reader is told."""

import io
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from pipeline.case.stages import load_stage
from pipeline.case.workspace import Workspace
from pipeline.errors import GlioLoopError
from pipeline.identify import Decision
from pipeline.names import MRSequence as Kind
from pipeline.objects import build_objects
from pipeline.objects.legal import legal_header
from pipeline.objects.source import copied_attributes, require_references
from pipeline.volume.records import SourceVolume
from tests.unit.objects.phantom import phantom_series
from tests.unit.objects.test_objects import PROVENANCE, regions_of, reread

#: Attribute, what the file has, what objects carry ("" for empty, None for left out), whether it is told.
CASES = [
    ("PatientBirthDate", b"19500000", "", True),
    ("PatientBirthDate", b"1950-01-02", "19500102", True),
    ("PatientBirthDate", b"1950.01.02", "19500102", True),
    ("PatientBirthDate", b"01.02.1950", "", True),
    ("PatientBirthDate", b"19500230", "", True),
    ("PatientBirthDate", b"19500102-19600102", "", True),
    ("PatientBirthDate", b"19500102 ", "19500102", False),
    ("StudyDate", b"00000000", "", True),
    ("StudyTime", b"10:11:12", "101112", True),
    ("StudyTime", b"10:11:12.123456789", "101112.123456", True),
    ("StudyTime", b"101112.5", "101112.5", False),
    ("StudyTime", b"1011", "1011", False),
    ("StudyTime", b"256000", "", True),
    ("StudyTime", b"101160", "101159", True),
    ("PatientSex", b"male", "M", True),
    ("PatientSex", b"Female ", "F", True),
    ("PatientSex", b"unknown", "", True),
    ("PatientSex", b"m", "M", True),
    ("PatientSex", b"M\\F", "", True),
    ("PatientAge", b"45Y ", "045Y", True),
    ("PatientAge", b"45", None, True),
    ("PatientWeight", b"70,5", "70.5", True),
    ("PatientWeight", b"1,500", None, True),
    ("PatientWeight", b"nan ", None, True),
    ("PatientWeight", b"70.12345678123412345 ", "70.1234567812341", True),
    ("PatientWeight", b"70 kg ", None, True),
    ("AccessionNumber", b"A" * 20, "", True),
    ("StudyID", b"12\x0034", "1234", True),
    ("PatientID", b"P" * 70, "P" * 64, True),
    ("PatientID", b"P\x07\x081", "P1", True),
    ("PatientID", b" P1 \0", "P1", False),
    ("StudyDescription", b"x" * 200, "x" * 64, True),
    ("StudyDescription", b"one\\two ", "one two", True),
    ("StudyDescription", b"Kopf\r\n", "Kopf", True),
    ("StudyDescription", "Schädel".encode(), "Schädel", True),
    ("StudyDescription", "Schädel ".encode("latin-1"), "Schädel", True),
    ("PatientName", b"A^B^C^D^E^F^G^", "A^B^C^D^E F G", True),
    ("PatientName", b"A" * 65 + b"^B^", "A" * 64, True),
    ("PatientName", "山田^太郎".encode(), "山田^太郎", True),
    ("OtherPatientNames", b"A^B\\C^D", ["A^B", "C^D"], False),
    ("AdditionalPatientHistory", b"a\r\nb", "a\r\nb", False),
    ("AdditionalPatientHistory", b"a\x00b\\c", "ab\\c", True),
    ("PatientIdentityRemoved", b"yes ", "YES", True),
    ("PatientAlternativeCalendar", b"\t", None, True),
    ("LongitudinalTemporalEventType", b"T-1 ", None, True),
    ("TimezoneOffsetFromUTC", b"+0100 ", "+0100", False),
    ("AcquisitionDateTime", b"2026-01-02T10:11:12.5+01:00 ", "20260102101112.5+0100", True),
]  # fmt: skip


def raw(header: Dataset, keyword: str, value: bytes, vr: str = "") -> None:
    """Put a value into a header as a file would have it."""
    tag = Tag(keyword)
    header[tag] = RawDataElement(tag, vr or dictionary_VR(tag), len(value), value, 0, False, True)


@pytest.mark.parametrize(("keyword", "value", "legal", "told"), CASES)
def test_values_are_brought_to_their_legal_form(keyword: str, value: bytes, legal: object, told: bool) -> None:
    header = Dataset()
    raw(header, keyword, value)
    found = legal_header(header, copied_attributes())
    got = found.dataset.get(keyword)
    written = [str(one) for one in got] if isinstance(legal, list) else None if got is None else str(got)
    assert written == legal or (not written and not legal)
    assert found.repaired == ((keyword,) if told else ())


@pytest.mark.parametrize("character_set", ["UTF-8", "ISO_IR 999", "", "ISO_IR 6", "ISO_IR 192"])
def test_letters_under_no_or_the_wrong_character_set(character_set: str) -> None:
    header = Dataset()
    raw(header, "SpecificCharacterSet", character_set.encode())
    raw(header, "PatientName", "Łukasz^Żółć".encode())
    found = legal_header(header, copied_attributes())
    assert str(found.dataset.PatientName) == "Łukasz^Żółć"
    assert found.repaired == (() if character_set in ("ISO_IR 192", "UTF-8") else ("PatientName",))


@pytest.mark.parametrize(
    ("character_set", "codec", "name"),
    [
        ("ISO_IR 144", "iso8859-5", "Люкceмбypг^Иван"),
        ("ISO_IR 126", "iso8859-7", "Διονυσιος^Α"),
        ("ISO_IR 127", "iso8859-6", "قباني^لنزار"),
        ("ISO_IR 138", "iso8859-8", "שרון^דבורה"),
        ("ISO_IR 166", "iso8859-11", "สมชาย^ใจดี"),
        ("GB18030", "gb18030", "王^小东"),
        ("GBK", "gbk", "王^小东"),
        ("ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        ("ISO_IR 192", "utf-8", "홍^길동"),
    ],
)
def test_names_in_every_script_survive_in_all_objects(character_set: str, codec: str, name: str) -> None:
    headers, volume = phantom_series((6, 16, 20))
    for header in headers:
        raw(header, "SpecificCharacterSet", character_set.encode())
        raw(header, "PatientName", name.encode(codec))
    for kind, dataset in made_of(headers, volume).items():
        again = reread(dataset)
        assert str(again.PatientName) == name, kind
        assert again.SpecificCharacterSet == "ISO_IR 192"


def test_nested_items_live_or_go_as_a_whole() -> None:
    header, good, bad = Dataset(), Dataset(), Dataset()
    good.CodeValue, good.CodingSchemeDesignator, good.CodeMeaning = "113100", "DCM", "Basic Profile"
    bad.CodeValue, bad.CodingSchemeDesignator, bad.CodeMeaning = "1" * 20, "DCM", "Something"
    header.DeidentificationMethodCodeSequence = [good, bad]
    found = legal_header(header, copied_attributes())
    (kept,) = found.dataset.DeidentificationMethodCodeSequence
    assert (kept.CodeValue, kept.CodeMeaning) == ("113100", "Basic Profile")
    assert found.repaired == ("CodeValue",)


def made_of(headers: list[Dataset], volume: SourceVolume) -> dict[str, Dataset]:
    return build_objects(headers, volume, *regions_of(volume), {}, PROVENANCE).datasets


def require_legal(datasets: dict[str, Dataset], folder: Path) -> None:
    """Read and write strictly, and let dciodvfy look at every value."""
    for kind, dataset in datasets.items():
        path = folder / f"{kind}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        before = pydicom.config.settings.reading_validation_mode, pydicom.config.settings.writing_validation_mode
        pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
        pydicom.config.settings.writing_validation_mode = pydicom.config.RAISE
        try:
            strict = pydicom.dcmread(path)
            Dataset.from_json(strict.to_json())
            strict.save_as(io.BytesIO(), enforce_file_format=True)
        finally:
            pydicom.config.settings.reading_validation_mode, pydicom.config.settings.writing_validation_mode = before
        if shutil.which("dciodvfy"):
            done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
            # What a module must hold beside what the source has of it is another matter, and so is what the
            # validator is too old to know.
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
            other = ("Missing attribute", "not a recognized standard attribute", "contains invalid data values")
            told = [line for line in lines if not any(one in line for one in other)]
            # It counts bytes, where DICOM counts characters (PS3.5, 6.2), as pydicom has done above.
            assert not [line for line in told if line.isascii() or "Length invalid" not in line], f"{kind}: {lines}"


def test_a_header_full_of_illegal_values(tmp_path: Path) -> None:
    headers, volume = phantom_series((6, 16, 20))
    for keyword, value, _, _ in CASES:
        for header in headers:
            raw(header, keyword, value)
    require_legal(made_of(headers, volume), tmp_path)


def test_what_stands_only_beside_another_is_not_left_alone(tmp_path: Path) -> None:
    headers, volume = phantom_series((6, 16, 20))
    for header in headers:
        raw(header, "PatientAlternativeCalendar", b"JAPANESE")
        raw(header, "ResponsiblePersonRole", b"PARENT")
        raw(header, "LongitudinalTemporalEventType", b"ENROLLMENT")
    made = made_of(headers, volume)
    require_legal(made, tmp_path)
    assert "PatientAlternativeCalendar" not in made["seg"]
    for header in headers:
        raw(header, "PatientDeathDateInAlternativeCalendar", b"H 10 5 1")
    assert made_of(headers, volume)["seg"].PatientAlternativeCalendar == "JAPANESE"


_KEYWORDS = sorted(
    keyword for tag in copied_attributes() if dictionary_VR(tag) != "SQ" and (keyword := keyword_for_tag(tag))
)  # fmt: skip
_VALUES = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from([value for _, value, _, _ in CASES]),
    st.integers(60, 12000).map(lambda length: b"W" * length),
)


@given(
    values=st.dictionaries(st.sampled_from([k for k in _KEYWORDS if k != "StudyInstanceUID"]), _VALUES, max_size=12),
    character_set=st.sampled_from([b"", b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"nonsense", b"GB18030"]),
)
@example(values={"AccessionNumber": "洪吉洞洪吉洞洪吉".encode("gb18030")}, character_set=b"GB18030")
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a second a step: no shrinking
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_any_value_at_all(values: dict[str, bytes], character_set: bytes, tmp_path: Path) -> None:
    headers, volume = phantom_series((6, 16, 20))
    for header in headers:
        raw(header, "SpecificCharacterSet", character_set)
        for keyword, value in values.items():
            raw(header, keyword, value)
    require_legal(made_of(headers, volume), tmp_path)


@given(values=st.dictionaries(st.sampled_from(_KEYWORDS), _VALUES, max_size=20))
@example(values={"LongitudinalTemporalEventType": b"\t"})
@settings(max_examples=300, deadline=None)
def test_what_is_legal_stays_legal_and_is_not_told_again(values: dict[str, bytes]) -> None:
    header = Dataset()
    for keyword, value in values.items():
        raw(header, keyword, value)
    once = legal_header(header, copied_attributes())
    twice = legal_header(once.dataset, copied_attributes())
    assert twice.repaired == ()
    assert twice.dataset == once.dataset


@pytest.mark.parametrize("uid", ["1.2.x", "1..2", "1.2." + "9" * 70, "{4F1A}", ""])
@pytest.mark.parametrize("field", ["study_instance_uid", "series_instance_uid", "frame_of_reference_uid"])
def test_an_illegal_identifier_is_refused_before_the_work(uid: str, field: str) -> None:
    _, volume = phantom_series()
    values = {name: getattr(volume, name) for name in SourceVolume.__dataclass_fields__} | {field: uid}
    with pytest.raises(GlioLoopError, match="") as raised:
        require_references(SourceVolume(**values))
    assert raised.value.code in ("HEADER_ILLEGAL", "FRAME_OF_REFERENCE_MISSING")


def test_reading_a_study_tells_what_was_repaired(tmp_path: Path) -> None:
    case = Workspace(tmp_path)
    chosen = {}
    for kind in (Kind.T1C, Kind.FLAIR):
        headers, _ = phantom_series((6, 32, 40))
        chosen[kind] = str(headers[0].SeriesInstanceUID)
        store(headers, case.source(kind), {"PatientBirthDate": b"19500000", "StudyTime": b"10:11:12"})
    decision = Decision.from_json(Decision(chosen=chosen, verdicts=()).as_json())
    outcome = load_stage(case, decision, 1 << 30, lambda _: None, Kind.T1C)
    assert [(flag.code, flag.detail) for flag in outcome.flags if flag.code == "HEADER_REPAIRED"] == [
        ("HEADER_REPAIRED", "PatientBirthDate, StudyTime")
    ]
    assert "1950" not in str(outcome)


def store(headers: Sequence[Dataset], folder: Path, values: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for number, header in enumerate(headers):
        for keyword, value in values.items():
            raw(header, keyword, value)
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.save_as(folder / f"{number}.dcm", enforce_file_format=True)
