"""Series that are never a candidate, each with a code and the reason."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.identify.facts import Facts
from pipeline.identify.score import tells_weighting
from pipeline.identify.siblings import FAT_OR_OPPOSED, image_words
from pipeline.identify.traits import is_mr_image
from pipeline.identify.vocabulary import AFTER_ANOTHER, ALSO_OTHERWISE, ELSEWHERE, EXCLUDED, HEAD, first_match
from pipeline.names import MANUFACTURER
from pipeline.settings.identification import IdentificationRules

MEANING: dict[str, str] = {
    "NOT_MR": "not an MR image",
    "OWN_OBJECT": "made by this node",
    "COLOUR": "colour image",
    "LOCALIZER": "localizer, survey or calibration",
    "DERIVED": "derived from other images, and there are originals",
    "OTHER_SESSION": "of another examination",
    "PROJECTION": "reformatted or projected (MPR, MIP)",
    "SUBTRACTION": "subtraction",
    "DIFFUSION": "diffusion-weighted or a map made from it",
    "PERFUSION": "perfusion or dynamic",
    "FUNCTIONAL": "functional MR",
    "ECHO_PLANAR": "echo-planar imaging",
    "SUSCEPTIBILITY": "susceptibility- or T2*-weighted",
    "PHASE_IMAGE": "phase or complex part, not magnitude",
    "FAT_OR_OPPOSED": "fat or opposed-phase image of a Dixon method",
    "ANGIOGRAPHY": "angiography or flow",
    "SPECTROSCOPY": "spectroscopy",
    "FIELDMAP": "field map",
    "QUANTITATIVE": "parameter map or intermediate image",
    "FAT_NULLED": "short-inversion or double-inversion recovery",
    "CISTERNOGRAPHY": "steady-state cisternography",
    "TARGETED": "aimed at a part of the head or another region",
    "NOT_HEAD": "another body part",
    "TOO_FEW_SLICES": "too few slices",
    "COVERAGE_PARTIAL": "covers only part of the head",
    "MANY_VOLUMES": "many volumes in one series (diffusion, perfusion, function)",
    "EXCLUDED_BY_RULE": "excluded by this site's rules",
}

# values of ImageType (and of frame types and acquisition contrasts) that tell on their own
_TYPES: dict[str, frozenset[str]] = {
    "LOCALIZER": frozenset({"LOCALIZER", "SCOUT", "SURVEY"}),
    "SUBTRACTION": frozenset({"SUB", "DIFFERENCE"}),
    "PROJECTION": frozenset(
        {
            "MPR",
            "MIP",
            "PROJECTION IMAGE",
            "REFORMATTED",
            "MAX_IP",
            "MIN_IP",
            "MNIP",
            "CURVED_MPR",
            "CPR",
            "VOLREN",
            "SCREEN SAVE",
            "COLLAGE",
        }
    ),
    "DIFFUSION": frozenset(
        {
            "DIFFUSION",
            "ADC",
            "TRACEW",
            "TRACE",
            "FA",
            "TENSOR",
            "DIFFUSION_ANISO",
            "EADC",
            "EXP_ADC",
            "DWI",
            "CALC_BVALUE",
        }
    ),
    "PERFUSION": frozenset(
        {"PERFUSION", "ASL", "CBF", "CBV", "RCBF", "RCBV", "MTT", "TTP", "RELCBF", "RELCBV", "RELMTT", "DCE", "DSC"}
    ),
    "FUNCTIONAL": frozenset({"FMRI", "TTEST", "BOLD"}),
    "SUSCEPTIBILITY": frozenset({"SWI", "SUSCEPTIBILITY", "T2_STAR", "SWAN", "R2_STAR", "MINIP"}),
    "PHASE_IMAGE": frozenset({"P", "PHASE", "PHASE MAP", "I", "IMAGINARY"}),
    "ANGIOGRAPHY": frozenset({"ANGIO", "TOF", "FLOW_ENCODED", "PCA", "VELOCITY", "TIME_OF_FLIGHT"}),
    "FIELDMAP": frozenset({"FIELD_MAP", "B0", "B0 MAP", "B1", "B1 MAP"}),
    "QUANTITATIVE": frozenset({"T1 MAP", "T2 MAP", "T2_STAR MAP", "R1", "R2", "T1_MAP", "T2_MAP", "QMAP"}),
    "FAT_NULLED": frozenset({"STIR"}),
    "FAT_OR_OPPOSED": FAT_OR_OPPOSED,
}

_NAMES: dict[str, tuple[str, ...]] = {
    "DIFFUSION": (r"\bep_b\d|ep_calc|ep2d_diff|re_b\d",),
    "ANGIOGRAPHY": (r"_tof|\btof|fl\dd_?pc|\bfl3d1_?r|3dtof",),
    "SUSCEPTIBILITY": (r"swi\dd|swan|qswi",),
    "LOCALIZER": (r"localizer|scout|aahead",),
    "SPECTROSCOPY": (r"\bsvs_|\bcsi_|press|steam|probe-p",),
}

# what a derived image may be that no longer shows the anatomy as it was measured
_MAPS = ("SUBTRACTION", "DIFFUSION", "PERFUSION", "PROJECTION", "QUANTITATIVE", "ANGIOGRAPHY", "FUNCTIONAL")

_SEVERE = ("NOT_MR", "OWN_OBJECT", "COLOUR")  # a site cannot switch these off


@dataclass(frozen=True)
class Exclusion:
    """Why a series is never taken.

    Attributes
    ----------
    code
        A key of :data:`MEANING`.
    text
        The code's meaning and what showed it.
    """

    code: str
    text: str


def exclusions(facts: Facts, rules: IdentificationRules) -> tuple[Exclusion, ...]:
    """Every reason that excludes a series, the first of each code; empty for a possible candidate."""
    found: dict[str, Exclusion] = {}
    for code, shown in _all(facts, rules):
        if code in _SEVERE or code not in rules.ignored_exclusions:
            found.setdefault(code, Exclusion(code, f"{MEANING[code]}: {shown}"))
    return tuple(found.values())


def _all(facts: Facts, rules: IdentificationRules) -> Iterator[tuple[str, str]]:
    yield from _by_object(facts)
    if facts.modality != "MR":
        return
    yield from _by_image_type(facts)
    yield from _by_timing(facts)
    yield from _by_description(facts, rules)
    yield from _by_extent(facts, rules)


def _by_object(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.modality != "MR":
        yield "NOT_MR", f"modality {facts.modality or 'unknown'}"
    elif not is_mr_image(facts.sop_class):
        yield "NOT_MR", f"SOP class {facts.sop_class}"
    if facts.manufacturer.startswith(MANUFACTURER.lower()):
        yield "OWN_OBJECT", "manufacturer"
    if facts.colour:
        yield "COLOUR", "photometric interpretation"


def _by_image_type(facts: Facts) -> Iterator[tuple[str, str]]:
    told = {*image_words(facts), facts.weighting}
    for code, values in _TYPES.items():
        hit = sorted(told & values)
        if hit:
            yield code, f"image type {hit[0]}"
    if any(value.startswith("SUBTR") for value in told):
        yield "SUBTRACTION", "image type"
    for code, patterns in _NAMES.items():
        hit_name = first_match(patterns, facts.name)
        if hit_name:
            yield code, f"pulse sequence {facts.name}"


def _by_timing(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.b_value:
        yield "DIFFUSION", f"b-value {facts.b_value:g}"
    if facts.angio:
        yield "ANGIOGRAPHY", "AngioFlag"
    if "EP" in facts.scanning or facts.echo_planar or "ep2d" in facts.name or facts.name.startswith("*ep"):
        yield "ECHO_PLANAR", "scanning sequence"
    gradient = "GR" in facts.scanning and "SE" not in facts.scanning
    if gradient and facts.te and facts.te >= 12:
        yield "SUSCEPTIBILITY", f"gradient echo with TE {facts.te:g} ms"
    short = facts.ti is not None and 80 <= facts.ti <= 320
    if short and "GR" not in facts.scanning and "MP" not in facts.variant and (facts.tr or 0) > 1500:
        yield "FAT_NULLED", f"TI {facts.ti:g} ms"


def _by_description(facts: Facts, rules: IdentificationRules) -> Iterator[tuple[str, str]]:
    text = facts.text
    for pattern in AFTER_ANOTHER:
        text = re.sub(pattern, " | ", text)
    for code, patterns in EXCLUDED.items():
        hit = first_match(patterns, text)
        if hit:
            yield code, f"description has '{hit}'"
    for code, patterns in ALSO_OTHERWISE.items():
        hit = first_match(patterns, text)
        if hit and not tells_weighting(facts, rules):
            yield code, f"description has '{hit}'"
    for code in _MAPS if facts.derived else ():
        hit = first_match(EXCLUDED[code], facts.derivation)
        if hit:
            yield code, f"its derivation has '{hit}'"
    # Siemens calls its MPRAGE "t1_mpr": the word alone does not make a reformatted series
    if first_match((r"\bmpr\b",), facts.text) and facts.image_type[:1] != ("ORIGINAL",):
        yield "PROJECTION", "description has 'mpr'"
    hit = first_match(rules.excluded_patterns, facts.text)
    if hit:
        yield "EXCLUDED_BY_RULE", f"description has '{hit}'"


def _by_extent(facts: Facts, rules: IdentificationRules) -> Iterator[tuple[str, str]]:
    if first_match(ELSEWHERE, facts.body) and not first_match((HEAD,), f"{facts.body} {facts.text}"):
        yield "NOT_HEAD", facts.body
    if facts.volumes > 1:
        yield "MANY_VOLUMES", f"{facts.volumes} images at each position"
    if facts.slices < rules.minimum_slices:
        yield "TOO_FEW_SLICES", f"{facts.slices}, at least {rules.minimum_slices}"
    elif facts.coverage is not None and facts.coverage < rules.minimum_coverage_mm:
        yield "COVERAGE_PARTIAL", f"{facts.coverage:.0f} mm, at least {rules.minimum_coverage_mm:.0f} mm"
    elif facts.coverage is not None and facts.coverage > rules.maximum_coverage_mm:
        yield "MANY_VOLUMES", f"{facts.slices} slices would be {facts.coverage:.0f} mm"
    if facts.field_of_view is not None and facts.field_of_view < rules.minimum_fov_mm:
        yield "COVERAGE_PARTIAL", f"field of view {facts.field_of_view:.0f} mm"
