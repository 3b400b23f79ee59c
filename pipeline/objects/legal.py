"""Header values in the form that the standard allows (PS3.5, 6.2), whatever the source holds.

Real headers hold dates of day 0, times with colons, names of 200 characters, terms in lower case, text under the wrong
character set. What is copied from them into an object of ours goes through here: brought to its legal form where there
is only one that it can mean, left out where not. The rule is the attribute's value representation (VR) and
multiplicity (VM) in the data dictionary; no attribute has a rule of its own but those with enumerated values.
"""

import datetime
import math
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from pydicom import DataElement, Dataset, config
from pydicom.charset import convert_encodings, decode_bytes, default_encoding
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS, PersonName, format_number_as_ds, validate_value

#: Character set of everything that is written here.
UNICODE: Final = "ISO_IR 192"

_LONGEST: Final = {"SH": 16, "LO": 64, "ST": 1024, "LT": 10240, "UT": 2**16, "UC": 2**16, "AE": 16, "CS": 16, "UI": 64}
#: Text of which a backslash is a character, not the border of two values.
_SINGLE: Final = frozenset({"ST", "LT", "UT", "UR"})
_TEXT: Final = frozenset({"SH", "LO", "UC", "PN", *_SINGLE} - {"UR"})
_INTEGERS: Final = {"US": (0, 2**16), "SS": (-(2**15), 2**15), "UL": (0, 2**32), "SL": (-(2**31), 2**31)}

#: Attributes of patient and study with enumerated values, and what else has come to be written for them.
_ENUMERATED: Final[dict[str, dict[str, str]]] = {
    "PatientSex": {"MALE": "M", "FEMALE": "F", "OTHER": "O"} | {term: term for term in "MFO"},
    **{keyword: {"YES": "YES", "NO": "NO", "Y": "YES", "N": "NO"} for keyword in (
        "PatientIdentityRemoved", "QualityControlSubject",
    )},
    "SmokingStatus": {term: term for term in ("YES", "NO", "UNKNOWN")},
    "PatientSexNeutered": {term: term for term in ("ALTERED", "UNALTERED")},
    "LongitudinalTemporalInformationModified": {term: term for term in ("UNMODIFIED", "MODIFIED", "REMOVED")},
    "PregnancyStatus": {term: term for term in "1234"},
}  # fmt: skip
#: Identifiers name something else when they are cut. PatientID is worse off empty: all who have none are one patient.
_IDENTIFIER: Final = re.compile(r"(?<!^Patient)ID$|Number$")

_DATE: Final = re.compile(r"(\d{4})(?P<separator>[-./ ]?)(\d{2})(?P=separator)(\d{2})", re.ASCII)
_TIME: Final = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?)?", re.ASCII)
_DATE_TIME: Final = re.compile(
    rf"(?P<date>{_DATE.pattern})(?:[T ]?(?P<time>{_TIME.pattern}))?(?P<zone>Z|[+-]\d{{2}}:?\d{{2}})?", re.ASCII
)
_AGE: Final = re.compile(r"(\d{1,3}) ?([DWMY])", re.IGNORECASE | re.ASCII)
_DECIMAL_COMMA: Final = re.compile(r"([+-]?\d+),(\d{1,2}|\d{4,})", re.ASCII)


@dataclass(frozen=True)
class LegalHeader:
    """Attributes of a header in their legal form.

    Attributes
    ----------
    dataset
        A new dataset in Unicode that shares no element with the source.
    repaired
        Keywords of the attributes whose value was illegal, sorted; never their values.
    """

    dataset: Dataset
    repaired: tuple[str, ...]


def legal_header(header: Dataset, wanted: AbstractSet[BaseTag]) -> LegalHeader:
    """Copy attributes out of a header, each in its legal form or, as where it is empty, not at all.

    Parameters
    ----------
    header
        As read from a file, or made; nothing is expected of its values, and it is not changed.
    wanted
        The attributes to copy.

    Returns
    -------
    LegalHeader
    """
    repaired: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values
        dataset = _legal_items(header, wanted, _encodings(header, ()), repaired)
    dataset.SpecificCharacterSet = UNICODE
    return LegalHeader(dataset, tuple(sorted(repaired)))


def _legal_items(source: Dataset, wanted: Iterable[BaseTag], encodings: Sequence[str], repaired: set[str]) -> Dataset:
    copied = Dataset()
    for tag in sorted(wanted):
        if tag not in source or not (keyword := keyword_for_tag(tag)) or keyword == "SpecificCharacterSet":
            continue
        vr = dictionary_VR(tag)
        if vr == "SQ":
            items = _legal_sequence(source, tag, encodings, repaired)
            if items:
                copied.add(DataElement(tag, vr, items))
            continue
        try:
            values, was_legal = _legal_values(source, tag, vr, keyword, encodings)
        except Exception:  # a value that pydicom cannot even make sense of
            values, was_legal = [], False
        if not was_legal:
            repaired.add(keyword)
        if values:
            copied.add(DataElement(tag, vr, _as_value(vr, values)))
    return copied


def _as_value(vr: str, values: list[str]) -> object:
    made: list[object] = list(values)
    if vr == "PN":
        made = [PersonName(value.encode("utf-8"), ["utf_8"]) for value in values]
    elif vr in _INTEGERS:
        made = [int(value) for value in values]
    elif vr in ("FL", "FD"):
        made = [float(value) for value in values]
    return made if len(made) > 1 else made[0]


def _legal_sequence(source: Dataset, tag: BaseTag, encodings: Sequence[str], repaired: set[str]) -> list[Dataset]:
    """Return the items in which nothing had to be left out: an item lives by its mandatory attributes."""
    try:
        items = list(source[tag].value or [])
    except Exception:
        items = []
    kept = []
    for item in items:
        own: set[str] = set()
        legal = _legal_items(item, list(item.keys()), _encodings(item, encodings), own)
        repaired |= own
        if not own and len(legal):
            kept.append(legal)
    return kept


def _encodings(dataset: Dataset, otherwise: Sequence[str]) -> Sequence[str]:
    """Return Python's codecs for a dataset's character sets; those of what holds it where it names none.

    Nothing is declared of letters beyond ASCII by the default repertoire, nor by a term that does not exist.
    """
    try:
        declared = dataset.get("SpecificCharacterSet")
        codecs = convert_encodings(declared) if declared else otherwise
    except Exception:
        return otherwise
    return codecs if set(codecs) - {default_encoding} else ()


def _legal_values(
    source: Dataset, tag: BaseTag, vr: str, keyword: str, encodings: Sequence[str]
) -> tuple[list[str], bool]:
    """Return an attribute's legal values, and whether that is what the source had."""
    element = source.get_item(tag)
    text, was_legal = _text_of(source, tag, vr, encodings) if _is_raw(element, vr) else _text_made(source[tag], vr)
    found = [text] if vr in _SINGLE else text.split("\\")
    found = [one.strip(" \0") for one in found]
    while found and not found[-1]:
        found.pop()
    if not found:
        return [], True
    legal = [_legal(vr, keyword, one) for one in found]
    fitting = _fitted([one for one in legal if one is not None] if None not in legal else [], dictionary_VM(tag), vr)
    return fitting, was_legal and fitting == found


def _is_raw(element: object, vr: str) -> bool:
    return isinstance(element, RawDataElement) and vr not in (*_INTEGERS, "FL", "FD")


def _text_of(source: Dataset, tag: BaseTag, vr: str, encodings: Sequence[str]) -> tuple[str, bool]:
    """Decode a value as the file has it; second, whether the declared character set could do it."""
    element = source.get_item(tag)
    raw = bytes(element.value or b"") if isinstance(element, RawDataElement) else b""
    if vr not in _TEXT:
        return raw.decode("latin-1"), True
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii"), True
    if encodings:
        text = decode_bytes(raw, encodings, PN_DELIMS if vr == "PN" else TEXT_VR_DELIMS)
        if "\N{REPLACEMENT CHARACTER}" not in text:
            return text, True
    try:
        return raw.decode("utf-8"), False
    except UnicodeDecodeError:
        return raw.decode("latin-1"), False


def _text_made(element: DataElement, vr: str) -> tuple[str, bool]:
    """Return the value of a decoded element as text."""
    value = element.value
    values = [] if value is None else list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    # Numbers and dates know how they were written; a name's original is bytes.
    written = [getattr(one, "original_string", None) if vr != "PN" else None for one in values]
    texts = [was if isinstance(was, str) else str(one) for was, one in zip(written, values, strict=True)]
    return ("\\".join(texts) if vr not in _SINGLE else " ".join(texts)), True


def _fitted(values: list[str], vm: str, vr: str) -> list[str]:
    """Bring values to the number that the dictionary allows; none where that is not clear."""
    least, _, most = vm.partition("-")
    if most and most != "n" and not most.isdigit():  # "2-2n"
        return values if len(values) % int(most.rstrip("n") or 1) == 0 else []
    if most == "n" or int(least) <= len(values) <= int(most or least):
        return values
    if len(values) > 1 and int(most or least) == 1:
        if len(set(values)) == 1:
            return values[:1]
        joined = _legal_text(vr, " ".join(values)) if vr in ("SH", "LO") else None
        return [joined] if joined else []
    return []


def _legal(vr: str, keyword: str, text: str) -> str | None:
    """Return one value in its legal form; None where it has none, or more than one."""
    if vr in _LONGEST and len(text) > _LONGEST[vr] and _IDENTIFIER.search(keyword):
        return None
    legal = _FORMS[vr](text) if vr in _FORMS else _legal_text(vr, text)
    if legal is not None and keyword in _ENUMERATED:
        legal = _ENUMERATED[keyword].get(legal)
    if legal is None or (text and not legal):  # nothing but what no value may hold
        return None
    try:
        validate_value(vr, int(legal) if vr in _INTEGERS else legal if vr not in ("FL", "FD") else 0.0, config.RAISE)
    except ValueError:
        return None
    return legal


def _legal_text(vr: str, text: str) -> str | None:
    """Return text without what no text may hold, cut to the length that it may have."""
    lines = "\n\r\f\t" if vr in ("ST", "LT", "UT") else ""
    clean = "".join(one for one in text if one in lines or unicodedata.category(one) not in ("Cc", "Cs"))
    if vr not in _SINGLE:
        clean = clean.replace("\\", "/")
    return clean.strip()[: _LONGEST.get(vr, 64)].strip() or None


def _legal_name(text: str) -> str | None:
    """Return a name of at most three groups of 64 characters, each of at most five parts."""
    groups = []
    for group in text.split("=")[:3]:
        parts = [_legal_text("LO", part) or "" for part in group.split("^")]
        parts = [*parts[:4], " ".join(part for part in parts[4:] if part)] if len(parts) > 5 else parts
        groups.append("^".join(parts)[:64].rstrip("^ "))
    return "=".join(groups).rstrip("=") or None


def _legal_date(text: str) -> str | None:
    found = _DATE.fullmatch(text)
    try:
        return datetime.date(int(found[1]), int(found[3]), int(found[4])).strftime("%Y%m%d").zfill(8) if found else None
    except ValueError:
        return None


def _legal_time(text: str) -> str | None:
    found = _TIME.fullmatch(text)
    if not found:
        return None
    hours, minutes, seconds, fraction = found.groups()
    if int(hours) > 23 or int(minutes or 0) > 59 or int(seconds or 0) > 60:
        return None
    # A leap second is legal and yet breaks readers whose clocks have none.
    whole = "".join((hours, minutes or "", "59" if seconds == "60" else seconds or ""))
    return f"{whole}.{fraction[:6]}" if fraction else whole


def _legal_date_time(text: str) -> str | None:
    found = _DATE_TIME.fullmatch(text)
    if not found:
        return text if len(text) in (4, 6) and text.isdigit() else None
    date, time, zone = _legal_date(found["date"]), _legal_time(found["time"] or "00"), found["zone"] or ""
    if date is None or time is None:
        return None
    return date + (time if found["time"] else "") + ("+0000" if zone == "Z" else zone.replace(":", ""))


def _legal_age(text: str) -> str | None:
    found = _AGE.fullmatch(text)
    return f"{int(found[1]):03d}{found[2].upper()}" if found else None


def _legal_decimal(text: str) -> str | None:
    comma = _DECIMAL_COMMA.fullmatch(text)  # three digits after it may be thousands
    written = f"{comma[1]}.{comma[2]}" if comma else text
    try:
        number = float(Decimal(written))
    except (InvalidOperation, OverflowError, ValueError):
        return None
    if not math.isfinite(number) or "_" in written:
        return None
    return written if len(written) <= 16 and written.isascii() else format_number_as_ds(number)


def _legal_integer(least: int, beyond: int) -> Callable[[str], str | None]:
    def legal(text: str) -> str | None:
        if re.fullmatch(r"[+-]?[0-9]{1,12}(\.0*)?", text) is None:
            return None
        number = int(text.partition(".")[0])
        return (
            text if least <= number < beyond and "." not in text else str(number) if least <= number < beyond else None
        )

    return legal


def _legal_float(text: str) -> str | None:
    return text if math.isfinite(float(text)) else None


_FORMS: Final[dict[str, Callable[[str], str | None]]] = {
    "PN": _legal_name,
    "DA": _legal_date,
    "TM": _legal_time,
    "DT": _legal_date_time,
    "AS": _legal_age,
    "CS": lambda text: " ".join(text.upper().split()) or (None if text else ""),
    "DS": _legal_decimal,
    "IS": _legal_integer(-(2**31), 2**31),
    "AE": lambda text: text,
    "UI": lambda text: text,
    "UR": lambda text: text,
    "FL": _legal_float,
    "FD": _legal_float,
    **{vr: _legal_integer(*bounds) for vr, bounds in _INTEGERS.items()},
}
