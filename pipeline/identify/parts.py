"""Several images at one position: what tells them apart, and the parts that a series falls into.

Echoes, acquisitions, temporal positions, the images of a Dixon method, magnitude and phase may share one series.
Identification looks at every part by itself; the one that was identified is named by its traits, and these select
its images again when the series is read.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isclose
from typing import Protocol, TypeVar

from pipeline.identify.traits import Order, Trait, Traits, Triple

#: Positions closer than this along the normal are one place: below any slice distance, above rounding, mm.
SAME_PLACE_MM = 0.02
#: Of the places of a series, what one value must cover at least to be a part; packages of slices cover half.
LEAST_COVER = 0.8
#: The trait of images that nothing but their order tells apart.
REPETITION = "repetition"
#: Traits by which two parts are one acquisition at two times.
TEMPORAL = frozenset(
    {
        "contrast agent",
        "contrast given",
        "temporal position index",
        "temporal position",
        "frame acquisition",
        "acquisition",
        "acquisition time",
        REPETITION,
    }
)


@dataclass(frozen=True)
class SeriesPart:
    """The images of a series that share these traits, where others at the same positions differ.

    Attributes
    ----------
    traits
        Names and values as :func:`traits_of` gives them; numbers in DICOM's units.
    """

    traits: Traits

    @property
    def repetition(self) -> int | None:
        """Which of otherwise equal images at each position, 1-based in the order of time; None for any."""
        found = dict(self.traits).get(REPETITION)
        return None if found is None else int(float(found))

    @property
    def moment(self) -> Traits:
        """The traits that tell when it was taken, and not of what kind it is."""
        return tuple(trait for trait in self.traits if trait[0] in TEMPORAL)

    def matches(self, traits: Mapping[str, Trait]) -> bool:
        """Whether an image of these traits is of the part, its repetition apart."""
        return all(name == REPETITION or _equal(value, traits.get(name)) for name, value in self.traits)

    def differs_in_time_only(self, other: "SeriesPart") -> bool:
        """Whether the two are one kind of image at two times."""
        own, others = dict(self.traits), dict(other.traits)
        return own != others and all(
            name in TEMPORAL or _equal(own.get(name, ""), others.get(name)) for name in own.keys() | others.keys()
        )

    def as_json(self) -> dict[str, Trait]:
        """Traits by name."""
        return dict(self.traits)

    @staticmethod
    def from_json(stored: Mapping[str, Trait]) -> "SeriesPart":
        """Inverse of :meth:`as_json`."""
        return SeriesPart(tuple(stored.items()))

    def __str__(self) -> str:
        return ", ".join(f"{name} {_shown(value)}" for name, value in self.traits)


def _equal(a: Trait, b: Trait | None) -> bool:
    # a number may have been through text on its way
    return isclose(a, b, rel_tol=1e-4) if isinstance(a, float) and isinstance(b, float) else a == b


def _shown(value: Trait) -> str:
    if isinstance(value, str):
        return value.replace("\\", "/") or "none"
    return "none" if value == -1.0 else f"{value:g}"


class Placed(Protocol):
    """An image with its place, its traits and its order."""

    @property
    def position(self) -> Triple:
        """ImagePositionPatient, mm."""

    @property
    def row_cosine(self) -> Triple:
        """Direction in which the column index grows."""

    @property
    def column_cosine(self) -> Triple:
        """Direction in which the row index grows."""

    @property
    def traits(self) -> Traits:
        """As :func:`traits_of` gives them."""

    @property
    def order(self) -> Order:
        """As :func:`order_of` gives it."""


Image = TypeVar("Image", bound=Placed)


def split(images: Sequence[Image]) -> list[tuple[SeriesPart, list[Image]]]:
    """Split images into parts with one image a position each.

    Traits are tried in their order. One is used where it tells images at the same place apart and a value of it
    reaches over most of the whole. What no trait tells apart goes by its order in time, as repetitions, where most
    places have equally many; what is equal in time and number, too, was sent twice and stays together.

    Returns
    -------
    list
        Parts with their images: those with most positions first, then in the order of the traits. One part without
        traits where no two images share a position.
    """
    groups: list[tuple[Traits, list[Image]]] = [((), list(images))]
    for index in range(len(images[0].traits) if images else 0):
        groups = [part for group in groups for part in _split_by(*group, index)]
    groups = [part for group in groups for part in _split_by_order(*group)]
    groups.sort(
        key=lambda group: (
            -len(set(places_of(group[1]))),
            tuple(_sortable(value) for _, value in group[1][0].traits),
            min(image.order for image in group[1]),
        )
    )
    return [(SeriesPart(traits), members) for traits, members in groups if members]


def _sortable(value: Trait) -> tuple[float, str]:
    return (0.0, value) if isinstance(value, str) else (value, "")


def _split_by(traits: Traits, images: list[Image], index: int) -> list[tuple[Traits, list[Image]]]:
    """Split by one trait where it separates images at equal places without tearing the stack up."""
    places = places_of(images)
    whole = len(set(places))
    if whole == len(places):
        return [(traits, images)]
    parts: dict[tuple[str, Trait], list[Image]] = defaultdict(list)
    covered: dict[tuple[str, Trait], set[int]] = defaultdict(set)
    for image, place in zip(images, places, strict=True):
        parts[image.traits[index]].append(image)
        covered[image.traits[index]].add(place)
    separates = whole < sum(map(len, covered.values()))
    if len(parts) == 1 or not separates or max(map(len, covered.values())) < LEAST_COVER * whole:
        return [(traits, images)]
    return [((*traits, trait), part) for trait, part in parts.items()]


def _split_by_order(traits: Traits, images: list[Image]) -> list[tuple[Traits, list[Image]]]:
    by_place = in_order(images)
    counts = [len(ranked) for ranked in by_place]
    most = max(counts)
    evenly = counts.count(most) >= LEAST_COVER * len(counts)
    sent_twice = all(len({image.order[:3] for image in ranked}) < len(ranked) for ranked in by_place if len(ranked) > 1)
    if most == 1 or not evenly or sent_twice:
        return [(traits, images)]
    return [
        ((*traits, (REPETITION, float(rank + 1))), [ranked[rank] for ranked in by_place if len(ranked) > rank])
        for rank in range(most)
    ]


def in_order(images: Sequence[Image]) -> list[list[Image]]:
    """The images of every place in the order of time; places along the normal."""
    by_place: dict[int, list[Image]] = defaultdict(list)
    for image, place in zip(images, places_of(images), strict=True):
        by_place[place].append(image)
    return [sorted(by_place[place], key=lambda image: image.order) for place in sorted(by_place)]


def part_of(images: Sequence[Image], part: SeriesPart) -> list[Image]:
    """The images of one part; none where the series holds no such part."""
    found = [image for image in images if part.matches(dict(image.traits))]
    if part.repetition is None:
        return found
    rank = part.repetition - 1
    return [ranked[rank] for ranked in in_order(found) if len(ranked) > rank]


def places_of(images: Sequence[Placed]) -> list[int]:
    """For every image the number of its place along the normal; equal places share a number."""
    if not images:
        return []
    # one normal for all, or the rounding of cosines would part images of one place
    distances = [_dot(normal_of(images[0]), image.position) for image in images]
    order = sorted(range(len(images)), key=distances.__getitem__)
    numbers, place = [0] * len(images), 0
    for before, after in pairwise(order):
        place += distances[after] - distances[before] > SAME_PLACE_MM
        numbers[after] = place
    return numbers


def normal_of(image: Placed) -> Triple:
    """Row direction times column direction."""
    (a, b, c), (d, e, f) = image.row_cosine, image.column_cosine
    return (b * f - c * e, c * d - a * f, a * e - b * d)


def _dot(a: Triple, b: Triple) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
