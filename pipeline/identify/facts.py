"""The attributes that identification weighs, read once from a header into plain values.

Everything here is tolerant: a value that is absent, empty, zero or malformed is None or empty.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from pydicom.dataset import Dataset

from pipeline.identify.header import SeriesHeader
from pipeline.identify.lookup import Lookup, decoded
from pipeline.identify.parts import SeriesPart
from pipeline.identify.times import Told, acquired, on_day, over_midnight
from pipeline.identify.traits import vendor_image_type
from pipeline.identify.wording import normalise


@dataclass(frozen=True)
class Patient:
    """Whose images a series holds: PatientID, the words of the name, the birth date; empty where unknown."""

    identifier: str
    name: frozenset[str]
    birth_date: str

    def is_another_than(self, other: "Patient") -> bool:
        """Whether two are surely two persons: what only one of them states, and how a name is written, says nothing."""
        if self.identifier and other.identifier and self.identifier != other.identifier:
            return True
        born = self.birth_date and other.birth_date and self.birth_date != other.birth_date
        return bool(born or (self.name and other.name and not self.name & other.name))


@dataclass(frozen=True)
class Facts:
    """One series as identification sees it.

    Times are milliseconds, lengths millimetres, angles degrees. ``day`` is when the series was acquired (YYYYMMDD,
    empty where unknown; ``dated`` where the series itself says so), ``moment`` the same to the second since an
    arbitrary epoch, None without a time. ``text`` is the normalised SeriesDescription and ProtocolName,
    ``derivation`` what a derived image says of its making, ``name`` the pulse sequence's name as the scanner calls it.
    ``part`` is None unless the header is of one part of a
    series, ``last_moment`` the latest moment of all its parts.
    """

    uid: str
    orthanc_id: str
    part: SeriesPart | None
    number: int | None
    description: str
    modality: str
    sop_class: str
    manufacturer: str
    text: str
    study_text: str
    name: str
    image_type: tuple[str, ...]
    scanning: frozenset[str]
    variant: frozenset[str]
    options: frozenset[str]
    tr: float | None
    te: float | None
    ti: float | None
    flip: float | None
    train: float | None
    three_d: bool
    agent: str
    agent_volume: float | None
    b_value: float | None
    weighting: str
    echo_planar: bool
    angio: bool
    body: str
    colour: bool
    vendor_image_type: str
    slices: int
    extent: float | None
    volumes: int
    thickness: float | None
    distance: float | None
    field_of_view: float | None
    field_strength: float | None
    plane: str
    day: str
    moment: float | None
    dated: bool
    frame: str
    derivation: str
    patient: Patient
    study_uid: str
    last_moment: float | None = None

    @property
    def derived(self) -> bool:
        """Whether the images were made from others: defaced, anonymised, corrected, or a map."""
        return self.image_type[:1] == ("DERIVED",) and self.image_type[1:2] != ("PRIMARY",)

    @property
    def key(self) -> str:
        """Names the candidate: the series, or the part of it."""
        return self.uid if self.part is None else f"{self.uid} {self.part}"

    @property
    def coverage(self) -> float | None:
        """Extent along the slice normal, mm; None where neither positions nor the header tell it."""
        if self.extent is not None:
            return self.extent
        step = self.distance or self.thickness
        return None if step is None else step * self.slices


def facts_of_study(headers: Iterable[SeriesHeader]) -> list[Facts]:
    """Facts of every series, sorted by SeriesInstanceUID.

    GE writes the name of the whole examination into the ProtocolName of every series ("BRAIN TUMOUR W/WO
    PERFUSION"): a name that half the series or more share under three descriptions tells nothing of one of them.
    """
    ordered = sorted(headers, key=lambda header: (_key(header), header.instance_count, header.orthanc_id))
    study = list({_key(header): header for header in ordered}.values())  # a series, or a part of one, counts once
    descriptions: dict[str, list[str]] = {}
    for header in study:
        look = Lookup(header.dataset)
        descriptions.setdefault(look.text("ProtocolName"), []).append(look.text("SeriesDescription"))
    of_the_exam = {
        protocol
        for protocol, described in descriptions.items()
        if len(set(described)) >= 3 and 2 * len(described) >= len(study)
    }
    found = _on_one_calendar([facts_of(header, of_the_exam) for header in study])
    last: dict[str, float] = {}
    for facts in found:
        if facts.moment is not None:
            last[facts.uid] = max(facts.moment, last.get(facts.uid, facts.moment))
    return [replace(facts, last_moment=last.get(facts.uid)) for facts in found]


def _on_one_calendar(study: list[Facts]) -> list[Facts]:
    """Times without a date are of the study's only day; where there are several, nothing is known of them."""
    days = {facts.day for facts in study if facts.day}
    if days:
        day = days.pop() if len(days) == 1 else ""
        study = [facts if facts.day else replace(facts, day=day, moment=on_day(day, facts.moment)) for facts in study]
    moved: dict[int, float] = {}
    for day in {facts.day for facts in study}:
        timed = {id(facts): facts for facts in study if facts.moment is not None and facts.day == day}
        told = [Told(facts.moment or 0.0, facts.dated, facts.frame) for facts in timed.values()]
        moved |= zip(timed, over_midnight(told), strict=True)
    return [replace(facts, moment=moved.get(id(facts), facts.moment)) for facts in study]


def _key(header: SeriesHeader) -> tuple[str, str]:
    return header.series_instance_uid, str(header.part or "")


def facts_of(header: SeriesHeader, exam_protocols: Collection[str] = ()) -> Facts:
    """Read a header, without its ProtocolName where that names the examination; never raises for a poor one."""
    look = Lookup(header.dataset, header.frame)
    description, protocol = look.text("SeriesDescription"), look.text("ProtocolName")
    if protocol in exam_protocols:
        protocol = ""
    frames = look.number("NumberOfFrames") or 1
    day, moment, dated = acquired(look.text)
    return Facts(
        uid=header.series_instance_uid,
        orthanc_id=header.orthanc_id,
        part=header.part,
        number=_integer(look.number("SeriesNumber", zero=True)),
        description=description,
        modality=look.text("Modality").upper(),
        sop_class=look.text("SOPClassUID"),
        manufacturer=look.text("Manufacturer").lower(),
        text=_joined(description, protocol),
        study_text=_joined(look.text("StudyDescription"), look.text("RequestedProcedureDescription")),
        name=_sequence_name(look),
        image_type=look.words("ImageType") + look.words("FrameType") + look.words("ComplexImageComponent"),
        scanning=frozenset(look.words("ScanningSequence")),
        variant=frozenset(look.words("SequenceVariant")),
        options=frozenset(look.words("ScanOptions")),
        tr=look.number("RepetitionTime"),
        te=look.number("EchoTime") or look.number("EffectiveEchoTime"),
        ti=look.number("InversionTime") or look.number("InversionTimes"),
        flip=look.number("FlipAngle"),
        train=look.number("EchoTrainLength") or look.number("RFEchoTrainLength"),
        three_d="3D" in look.words("MRAcquisitionType"),
        agent=_agent(look),
        agent_volume=look.number("ContrastBolusVolume"),
        b_value=_b_value(look),
        weighting=look.text("AcquisitionContrast").upper(),
        echo_planar=look.text("EchoPlanarPulseSequence").upper() == "YES",
        angio=look.text("AngioFlag").upper() == "Y",
        body=_body(look),
        colour=(look.number("SamplesPerPixel") or 1) > 1
        or look.text("PhotometricInterpretation")[:3] in {"RGB", "YBR"},
        vendor_image_type=vendor_image_type(header.dataset).upper(),
        slices=int(frames * header.instance_count) if header.slices is None else header.slices,
        extent=header.extent_mm,
        volumes=header.volumes,
        thickness=look.number("SliceThickness"),
        distance=_distance(look),
        field_of_view=_field_of_view(look),
        field_strength=look.number("MagneticFieldStrength"),
        plane=_plane(look),
        day=day,
        moment=moment,
        dated=dated,
        frame=look.text("FrameOfReferenceUID"),
        derivation=_derivation(look),
        patient=_patient(look),
        study_uid=look.text("StudyInstanceUID"),
    )


def _joined(*texts: str) -> str:
    """Normalised, equal texts once; words of two texts are not one phrase."""
    return " | ".join(dict.fromkeys(normal for text in texts if (normal := normalise(text))))


def _patient(look: Lookup) -> Patient:
    name = normalise(look.text("PatientName").split("=")[0])
    birth_date = "".join(c for c in look.text("PatientBirthDate") if c.isdigit())
    return Patient(look.text("PatientID"), frozenset(name.split()), birth_date)


def _derivation(look: Lookup) -> str:
    codes = [str(item.get("CodeMeaning", "")) for item in look.value("DerivationCodeSequence") or []]
    return _joined(look.text("DerivationDescription"), *codes)


def _integer(value: float | None) -> int | None:
    return None if value is None else int(value)


def _sequence_name(look: Lookup) -> str:
    names = [look.text("SequenceName"), look.text("PulseSequenceName")]
    if look.text("Manufacturer").upper().startswith("GE"):
        # GEMS_ACQU_01: pulse sequence name, internal pulse sequence name
        names += [decoded(look.private(0x0019, 0x109C)), decoded(look.private(0x0019, 0x109E))]
    return " ".join(name.lower() for name in names if name)


def _agent(look: Lookup) -> str:
    given = look.text("ContrastBolusAgentAdministered").upper()
    if given == "NO":  # an Enhanced object names the agent once for all its frames
        return "none"
    agent = look.text("ContrastBolusAgent")
    if not agent and (given == "YES" or look.value("ContrastBolusAgentSequence")):
        agent = "coded agent"
    return agent


def b_value_of(dataset: Dataset, frame: int | None = None) -> float | None:
    """Diffusion b-value of an instance (or frame), s/mm², None where it tells none; 0 without diffusion weighting."""
    return _b_value(Lookup(dataset, frame))


def _b_value(look: Lookup) -> float | None:
    values = list(look.numbers("DiffusionBValue"))
    maker = look.text("Manufacturer").upper()
    if maker.startswith("SIEMENS"):
        values += _private_number(look.private(0x0019, 0x100C))
    elif maker.startswith("GE"):
        # GEMS_PARM_01: first of four values, with 10^9 added where several directions were measured
        values += [v % 1e5 for v in _private_number(look.private(0x0043, 0x1039))]
    elif maker.startswith("PHILIPS"):
        values += _private_number(look.private(0x2001, 0x1003))
    return max(values, default=None)


def _private_number(value: Any) -> list[float]:
    first = value[0] if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)) and len(value) else value
    try:
        return [float(decoded(first).split("\\")[0])] if first is not None else []
    except ValueError:
        return []


def _body(look: Lookup) -> str:
    parts = [look.text("BodyPartExamined")]
    for item in look.value("AnatomicRegionSequence") or []:
        parts.append(str(item.get("CodeMeaning", "")))
    return normalise(" ".join(parts))


def _distance(look: Lookup) -> float | None:
    step = look.number("SpacingBetweenSlices")
    thickness = look.number("SliceThickness")
    # some scanners write the gap instead of the distance: slices cannot overlap by more than half in 2D
    if step and thickness and "3D" not in look.words("MRAcquisitionType") and step < 0.5 * thickness:
        return thickness + step
    return step


def _field_of_view(look: Lookup) -> float | None:
    spacing = look.numbers("PixelSpacing")
    rows, columns = look.number("Rows"), look.number("Columns")
    if len(spacing) != 2 or not rows or not columns:
        return None
    return max(spacing[0] * rows, spacing[1] * columns) or None


def _plane(look: Lookup) -> str:
    cosines = look.numbers("ImageOrientationPatient")
    if len(cosines) != 6:
        return ""
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    normal = (abs(b * f - c * e), abs(c * d - a * f), abs(a * e - b * d))
    return ("sagittal", "coronal", "axial")[normal.index(max(normal))]
