"""Which part of a series is the best for a sequence, and which parts are one image at several times."""

import re
from collections.abc import Iterable

from pipeline.identify.facts import Facts
from pipeline.identify.parts import TEMPORAL
from pipeline.identify.score import Weighting

#: What a Dixon method calls images that show fat alone, or fat against water.
FAT_OR_OPPOSED = frozenset(
    {"F", "FAT", "FAT_ONLY", "OP", "OPP", "OPP_PHASE", "OPPOSED", "OPPOSED_PHASE", "OPPOSED PHASE", "OUT", "OUTPHASE"}
    | {"OUT_PHASE", "OUT_OF_PHASE", "OUT OF PHASE", "OOP", "FF", "FAT_FRACTION", "FATFRACTION", "PDFF", "FAT_FRAC"}
)
_WATER = frozenset({"W", "WATER", "WATER_ONLY"})
_IN_PHASE = frozenset({"IP", "IN_PHASE", "IN PHASE", "INPHASE", "IN"})
_REAL = frozenset({"R", "REAL"})
#: In this time (ms, at 1 T) fat turns once against water: 3.4 ppm of 42.58 MHz.
_FAT_TURN_MS_T = 1000 / (3.4 * 42.58)
#: Echo and inversion time (ms), flip angle (degrees) and repetition time (ms) that suit a sequence best: of several
#: the nearest is taken. T1 grows with short times and large angles.
_USUAL = {
    Weighting.T1: (0.0, 900.0, 90.0, 500.0),
    Weighting.T2: (95.0, 0.0, 180.0, 6000.0),
    Weighting.FLAIR: (110.0, 2400.0, 180.0, 9000.0),
}
_STEPS = (0.01, 50.0, 5.0, 200.0)
#: What scanners call their corrections of one image: of intensity, of distortion, filters.
_PROCESSING = frozenset({"NORM", "ND", "DIS2D", "DIS3D", "FIL", "FM", "PFF", "NORMALIZED", "FILTERED", "SCIC", "PURE"})


def image_words(facts: Facts) -> frozenset[str]:
    """Everything that attributes call the kind of image, in capitals."""
    vendor = re.split(r"[\\/ ]+", facts.vendor_image_type)
    numbers = {"1": "PHASE", "2": "REAL", "3": "IMAGINARY"} if facts.manufacturer.startswith("ge") else {}
    return frozenset({*facts.image_type, *(numbers.get(word, word) for word in vendor)})


def standing(facts: Facts, weighting: Weighting | None) -> tuple[object, ...]:
    """Order of the parts of one series for a sequence, the best first: by their kind, then later."""
    later = tuple(-number for number in time_of(facts))
    return (*kind_of(facts, weighting), later, facts.key)


def kind_of(facts: Facts, weighting: Weighting | None) -> tuple[object, ...]:
    """What kind of image a part is, the best for a sequence first: whole, water, magnitude, usual times and angle.

    Parts of one kind that no processing tells apart are one image, taken several times.
    """
    words = image_words(facts)
    dixon = 0 if words & _WATER else 1 if words & _IN_PHASE else 3 if _opposed_by_time(facts) else 2
    made = ("ND" in words, *sorted(words & _PROCESSING))
    return (-facts.slices, dixon, bool(words & _REAL), _unusual(facts, weighting), made)


def _unusual(facts: Facts, weighting: Weighting | None) -> tuple[float, ...]:
    """How far times and angle are from those that suit a sequence best, each in steps that matter."""
    if weighting is None:
        return ()
    measured = zip((facts.te, facts.ti, facts.flip, facts.tr), _USUAL[weighting], _STEPS, strict=True)
    return tuple(0.0 if value is None else round(abs(value - best) / step) * step for value, best, step in measured)


def _opposed_by_time(facts: Facts) -> bool:
    """Whether fat is against water at the echo time of a gradient echo, which nothing else need tell."""
    if "GR" not in facts.scanning or "SE" in facts.scanning or not facts.te or not facts.field_strength:
        return False
    turns = facts.te * facts.field_strength / _FAT_TURN_MS_T
    return abs(turns % 1 - 0.5) < 0.2


def time_of(facts: Facts) -> tuple[float, ...]:
    """When a part was acquired: by the clock, then by what numbers it among its siblings."""
    traits = () if facts.part is None else facts.part.traits
    numbers = [value for name, value in traits if name in TEMPORAL and isinstance(value, float)]
    return (facts.moment or 0.0, *numbers)


def at_other_times(one: Facts, others: Iterable[Facts], weighting: Weighting | None) -> list[Facts]:
    """Parts of the same series that are of one kind with one, itself among them, in the order of time."""
    alike = [
        other
        for other in others
        if one.part is not None
        and other.part is not None
        and other.uid == one.uid
        and (kind_of(other, weighting) == kind_of(one, weighting) or other.part.differs_in_time_only(one.part))
    ]
    return sorted(alike, key=lambda facts: (time_of(facts), facts.key))
