"""What other tools call sequences and regions; a name that is not surely known is refused, never guessed."""

import re
from collections.abc import Mapping
from collections.abc import Sequence as Listing
from itertools import product
from typing import Final, Literal

from pipeline.errors import GlioLoopError
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.registry import Output

_SEQUENCES: Final[dict[MRSequence, str]] = {
    MRSequence.T1: "t1 t1n t1w t1pre t1native t1noncontrast t1precontrast t1weighted",
    MRSequence.T1C: "t1c t1ce t1gd t1post t1ca t1cw t1wce t1wgd t1contrast t1postcontrast t1wpostcontrast"
    " t1contrastenhanced postcontrastt1 postcontrastt1weighted cet1 gdt1 t1km",
    MRSequence.T2: "t2 t2w t2weighted",
    MRSequence.FLAIR: "flair t2f t2flair flairw fl t2wflair t2fluidattenuatedinversionrecovery",
}
_REGIONS: Final[dict[Region, str]] = {
    Region.WT: "wt, whole tumor",
    Region.TC: "tc, tumor core",
    Region.ET: "et, enhancing, enhancing tumor, contrast enhancing tumor, gd enhancing tumor",
    Region.CAVITY: "rc, cavity, resection cavity",
    Region.BRAIN: "brain",
}
#: Labels that exclude each other, by the innermost region that holds them.
_LABELS: Final[dict[Region, str]] = _REGIONS | {
    Region.WT: "ed, edema, peritumoral edema, peritumoral edematous invaded tissue, snfh, "
    "peritumoral edematous and invaded tissue, surrounding non enhancing flair hyperintensity, "
    "non enhancing flair hyperintensity, surrounding flair hyperintensity",
    Region.TC: "ncr, net, netc, ncr net, net ncr, ncr and net, necrosis, necrotic, necrotic core, necrotic tumor core, "
    "non enhancing tumor, non enhancing tumor core, necrotic and non enhancing tumor core, nonenhancing tumor core, "
    "necrotic and non enhancing tumor, necrosis and non enhancing tumor, necrotic non enhancing tumor core",
}
Nesting = Literal["outer", "inner"]


def sequences_of(names: Listing[str], given: Mapping[str, MRSequence]) -> tuple[MRSequence, ...]:
    """Return the sequence of each input channel, by its name or by what was said of its name or number.

    Raises
    ------
    GlioLoopError
        IMPORT_CHANNEL_UNKNOWN.
    """
    known = {word: sequence for sequence, words in _SEQUENCES.items() for word in words.split()}
    _all_used(given, {*names, *map(str, range(len(names)))})
    found: list[MRSequence] = []
    for number, name in enumerate(names):
        sequence = given.get(name) or given.get(str(number)) or known.get(re.sub(r"[^a-z0-9]", "", name.lower()))
        if sequence is None:
            raise GlioLoopError("IMPORT_CHANNEL_UNKNOWN", f"input channel {number} is called {name!r}")
        if sequence in found:
            raise GlioLoopError(
                "IMPORT_CHANNEL_UNKNOWN", f"two input channels are {sequence.value}: {', '.join(names)}"
            )
        found.append(sequence)
    return tuple(found)


def region_of(name: str, given: Mapping[str, Region | None], exclusive: bool) -> Region | None:
    """Return what an output is: a region, or of labels that exclude each other the innermost region that holds it.

    Raises
    ------
    GlioLoopError
        IMPORT_REGION_UNKNOWN.
    """
    if name in given:
        return given[name]
    plain = " ".join(
        re.sub(r"[^a-z0-9]", " ", name.lower().replace("tumour", "tumor").replace("oedema", "edema")).split()
    )
    for region, words in (_LABELS if exclusive else _REGIONS).items():
        if plain in words.split(", "):
            return region
    raise GlioLoopError("IMPORT_REGION_UNKNOWN", f"output {name!r}")


def outputs_of_labels(labels: Mapping[str, int], given: Mapping[str, Region | None]) -> tuple[Output, ...]:
    """Return the regions of labels that exclude each other; a label's value is its channel, 0 the background's.

    Raises
    ------
    GlioLoopError
        IMPORT_REGION_UNKNOWN.
    """
    _all_used(given, labels)
    inner = {channel: region_of(name, given, exclusive=True) for name, channel in labels.items() if channel}
    wanted: dict[Region, tuple[Region, ...]] = {
        region: TUMOUR_REGIONS[number:] for number, region in enumerate(TUMOUR_REGIONS)
    }
    wanted |= {region: (region,) for region in (Region.CAVITY, Region.BRAIN)}
    channels = {
        region: tuple(k for k, one in sorted(inner.items()) if one in within) for region, within in wanted.items()
    }
    return _complete({region: found for region, found in channels.items() if found}, 0.5)


def outputs_of_regions(
    names: Listing[str], given: Mapping[str, Region | None], threshold: float = 0.5
) -> tuple[Output, ...]:
    """Return the regions of channels that are regions themselves.

    Raises
    ------
    GlioLoopError
        IMPORT_REGION_UNKNOWN.
    """
    _all_used(given, names)
    regions = [region_of(name, given, exclusive=False) for name in names]
    return _complete({one: (channel,) for channel, one in enumerate(regions) if one is not None}, threshold)


def nesting_of(outputs: Listing[Output], members: Mapping[int, frozenset[int]], painted: Mapping[int, int]) -> Nesting:
    """Return which region gives way where a tool paints one region's label over the other's.

    Parameters
    ----------
    outputs
        The regions, one channel each.
    members
        By channel, the labels that make up its region.
    painted
        By channel, in this order, the label that is written where the channel is sure.

    Raises
    ------
    GlioLoopError
        IMPORT_REGION_UNKNOWN where it is neither.
    """
    channels = {one.region: one.channels[0] for one in outputs}
    order = [channel for channel in painted if channel in (channels[region] for region in TUMOUR_REGIONS)]
    fitting: set[Nesting] = {"inner", "outer"}
    for sure in product((False, True), repeat=3):
        said = {channels[region]: one for region, one in zip(TUMOUR_REGIONS, sure, strict=True)}
        label = next((painted[channel] for channel in reversed(order) if said[channel]), 0)
        found = [label in members[channels[region]] for region in TUMOUR_REGIONS]
        if found != [any(sure[k:]) for k in range(3)]:
            fitting.discard("inner")
        if found != [all(sure[: k + 1]) for k in range(3)]:
            fitting.discard("outer")
    if not fitting:
        raise GlioLoopError(
            "IMPORT_REGION_UNKNOWN",
            "labels are written in an order (nnU-Net's regions_class_order) by which a region replaces one inside it",
        )
    return "inner" if "inner" in fitting else "outer"


def _complete(channels: Mapping[Region, tuple[int, ...]], threshold: float) -> tuple[Output, ...]:
    lacking = [region.value for region in TUMOUR_REGIONS if region not in channels]
    if lacking:
        raise GlioLoopError("IMPORT_REGION_UNKNOWN", f"no output is {', '.join(lacking)}")
    return tuple(Output(region=region, channels=found, threshold=threshold) for region, found in channels.items())


def _all_used(given: Mapping[str, object], names: Mapping[str, object] | Listing[str] | set[str]) -> None:
    if unknown := sorted(set(given) - set(names)):
        raise GlioLoopError(
            "IMPORT_UNREADABLE", f"there is no {', '.join(unknown)}; there are {', '.join(sorted(names))}"
        )
