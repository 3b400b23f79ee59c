"""What may tell the images of one series apart: echo, time, component, acquisition, as plain values.

Sources: DICOM PS3.3 C.7.6.16 (Multi-frame Functional Groups), C.8.3 (MR Image), C.8.13 (Enhanced MR).
"""

from math import isfinite
from typing import Any

from pydicom.dataset import Dataset

Trait = str | float
Traits = tuple[tuple[str, Trait], ...]
#: Acquisition time, instance number, frame number, SOP Instance UID.
Order = tuple[str, int, int, str]
Triple = tuple[float, float, float]


MR_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.4",  # MR Image Storage
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image Storage
        "1.2.840.10008.5.1.4.1.1.4.3",  # Enhanced MR Color Image Storage
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image Storage
    }
)


def is_mr_image(sop_class_uid: str) -> bool:
    """Whether a SOP class is one of MR images; an unknown (empty) one counts."""
    return not sop_class_uid or sop_class_uid in MR_CLASSES


class FrameGroups:
    """Looks an attribute up in a frame's functional groups, then the shared ones, then at the instance's top level.

    Parameters
    ----------
    top
        The instance.
    per_frame
        The frame's item of the per-frame functional groups; None in a classic instance.
    """

    def __init__(self, top: Dataset, per_frame: Dataset | None = None) -> None:
        shared = first_item(top, "SharedFunctionalGroupsSequence")
        self._places = [place for place in (per_frame, shared) if place is not None]
        self.top = top

    def get(self, sequence: str, keyword: str) -> Any:
        """Value of an attribute inside a functional group, or its top-level namesake, or None."""
        for place in self._places:
            group = first_item(place, sequence)
            if group is not None and group.get(keyword) is not None:
                return group.get(keyword)
        return self.top.get(keyword)


def first_item(dataset: Dataset, sequence: str) -> Dataset | None:
    """First item of a sequence, None where there is none."""
    items = dataset.get(sequence)
    return items[0] if items else None


def number_of(value: Any) -> float | None:
    """A value as a number, also one with a decimal comma; None where it is none."""
    try:
        number = float(value.replace(",", ".") if isinstance(value, str) else value)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def triple_of(value: Any) -> Triple | None:
    """Three finite numbers, None where the value is anything else."""
    numbers = [number_of(one) for one in value] if hasattr(value, "__iter__") else []
    known = [number for number in numbers if number is not None]
    return (known[0], known[1], known[2]) if len(numbers) == len(known) == 3 else None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        value = value.decode("latin-1").strip("\0 ")
    return str(value) if isinstance(value, str) or not hasattr(value, "__iter__") else "\\".join(map(str, value))


#: Where vendors say what kind of image it is: GE (magnitude, phase, real, imaginary), Philips, Siemens.
_VENDOR_IMAGE_TYPE = {"GE": (0x0043, 0x102F), "PHILIPS": (0x2005, 0x1011), "SIEMENS": (0x0051, 0x1016)}


def vendor_image_type(top: Dataset) -> str:
    """What a vendor's private attribute calls the image, empty where absent."""
    maker = _text(top.get("Manufacturer")).upper()
    tags = [tag for name, tag in _VENDOR_IMAGE_TYPE.items() if maker.startswith(name)]
    found = top.get(tags[0]) if tags else None
    return "" if found is None else _text(found.value)


def traits_of(groups: FrameGroups) -> Traits:
    """What may separate images at one position, the most telling first; absent values compare as equal."""
    frame_type = _text(groups.get("MRImageFrameTypeSequence", "FrameType")) or _text(groups.get("", "ImageType"))
    echo = groups.get("MREchoSequence", "EffectiveEchoTime")
    timing = "MRTimingAndRelatedParametersSequence"
    inversion = groups.get("MRModifierSequence", "InversionTimes")
    values: tuple[tuple[str, Any], ...] = (
        ("stack", _text(groups.get("FrameContentSequence", "StackID"))),
        ("component", _text(groups.get("MRImageFrameTypeSequence", "ComplexImageComponent"))),
        ("image type", frame_type),
        ("vendor image type", vendor_image_type(groups.top)),
        ("description", _text(groups.get("", "SeriesDescription"))),
        ("echo time", number_of(echo if echo is not None else groups.get("", "EchoTime"))),
        ("echo number", number_of(groups.get("", "EchoNumbers"))),
        ("inversion time", number_of(groups.get(timing, "InversionTime"))),
        ("inversion times", _text(inversion)),
        ("repetition time", number_of(groups.get(timing, "RepetitionTime"))),
        ("flip angle", number_of(groups.get(timing, "FlipAngle"))),
        ("b-value", number_of(groups.get("MRDiffusionSequence", "DiffusionBValue"))),
        ("diffusion direction", _text(groups.get("MRDiffusionSequence", "DiffusionGradientOrientation"))),
        ("contrast agent", _text(groups.get("", "ContrastBolusAgent"))),
        ("contrast given", _text(groups.get("ContrastBolusUsageSequence", "ContrastBolusAgentAdministered"))),
        ("temporal position index", number_of(groups.get("FrameContentSequence", "TemporalPositionIndex"))),
        ("temporal position", number_of(groups.get("", "TemporalPositionIdentifier"))),
        ("frame acquisition", number_of(groups.get("FrameContentSequence", "FrameAcquisitionNumber"))),
        ("acquisition", number_of(groups.get("", "AcquisitionNumber"))),
        ("acquisition time", _text(groups.get("", "AcquisitionDateTime") or groups.get("", "AcquisitionTime"))),
    )
    return tuple((name, -1.0 if value is None else value) for name, value in values)


def order_of(groups: FrameGroups, frame_number: int | None) -> Order:
    """Where an image stands in time among its equals."""
    top = groups.top
    moment = _text(groups.get("FrameContentSequence", "FrameAcquisitionDateTime")) or _text(
        top.get("AcquisitionDateTime")
    )
    if not moment:
        moment = _text(top.get("AcquisitionDate")) + _text(top.get("AcquisitionTime"))
    instance = number_of(top.get("InstanceNumber"))
    return (moment, int(instance or 0), frame_number or 0, _text(top.get("SOPInstanceUID")))
