"""From the list of a series' instances to the headers that identification looks at: one for every part.

A list (of files, or of Orthanc's main attributes) says where the images lie. Where positions repeat, the headers of a
few positions tell what the images at one position are; where they do not, one image stands for the series.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pydicom.dataset import Dataset

from pipeline.identify.facts import b_value_of
from pipeline.identify.header import SeriesHeader
from pipeline.identify.parts import SeriesPart, normal_of, places_of, split
from pipeline.identify.traits import FrameGroups, Order, Traits, Triple, is_mr_image, order_of, traits_of, triple_of

#: More images at one position than this are no parts that could be told apart: diffusion, perfusion, function.
MOST_PARTS = 16
#: A kind of image at more times than this is dynamic.
MOST_TIMES = 3
#: Of positions that hold unequally many images, how many headers are read.
MOST_READ = 1200
#: A part with fewer positions than this fraction of the fullest is none: a projection, a slice taken again.
LEAST_PART = 0.25
#: Of a place whose images cannot all be read, how many neighbours are tried.
PLACES_TRIED = 4
#: Where the list tells no positions: how many headers are read in search of a b-value.
OTHERS_LOOKED_AT = 8
_SAME_DIRECTION = 0.002

Reader = Callable[[str], Dataset | None]


@dataclass(frozen=True)
class ListedInstance:
    """An instance of a series as a list tells it.

    Attributes
    ----------
    key
        By which its header is read: a path or Orthanc's id.
    number
        InstanceNumber, 0 where absent.
    frames
        NumberOfFrames, 0 where absent.
    position, cosines
        ImagePositionPatient (mm) and ImageOrientationPatient; None where the list does not tell them.
    sop_class
        SOP Class UID, empty where the list does not tell it.
    """

    key: str
    number: int = 0
    frames: int = 0
    position: Triple | None = None
    cosines: tuple[Triple, Triple] | None = None
    sop_class: str = ""


@dataclass(frozen=True)
class _Image:
    """One image with its place; traits only once its header is read."""

    key: str
    position: Triple
    row_cosine: Triple
    column_cosine: Triple
    frame: int | None = None
    traits: Traits = ()
    order: Order = ("", 0, 0, "")


def headers_of_series(
    uid: str, listed: Iterable[ListedInstance], read: Reader, orthanc_id: str = ""
) -> list[SeriesHeader]:
    """The headers of a series, one for each part that it falls into.

    Parameters
    ----------
    uid
        SeriesInstanceUID.
    listed
        Every instance, in any order.
    read
        Gives the header to a key, None where it cannot be had; the next best is taken then.
    orthanc_id
        Orthanc's id of the series.

    Returns
    -------
    list
        Empty where no header can be had.
    """
    ordered = sorted(listed, key=lambda one: (one.number, one.key))
    images = [one for one in ordered if is_mr_image(one.sop_class)] or ordered
    maker = _Maker(uid, orthanc_id, len(ordered))
    placed = _main_plane([image for one in images if (image := _placed(one)) is not None])
    if placed:
        return _of_classic(placed, read, maker)
    found = _of_multi_frame([one for one in images if one.frames], read, maker)
    return found or _of_unplaced(images, read, maker)


def _placed(one: ListedInstance) -> _Image | None:
    if one.position is None or one.cosines is None or one.frames > 1:
        return None
    return _Image(one.key, one.position, *one.cosines, order=("", one.number, 0, one.key))


def _main_plane(images: list[_Image]) -> list[_Image]:
    """The images of the orientation that most have."""
    groups: list[list[_Image]] = []
    for image in images:
        group = next((one for one in groups if _parallel(one[0], image)), None)
        if group is None:
            groups.append([image])
        else:
            group.append(image)
    return max(groups, key=len, default=[])


def _parallel(a: _Image, b: _Image) -> bool:
    pairs = zip(a.row_cosine + a.column_cosine, b.row_cosine + b.column_cosine, strict=True)
    return all(abs(x - y) <= _SAME_DIRECTION for x, y in pairs)


@dataclass(frozen=True)
class _Maker:
    """Makes the headers of one series."""

    uid: str
    orthanc_id: str
    instances: int

    def header(
        self,
        dataset: Dataset,
        frame: int | None = None,
        slices: int | None = None,
        extent_mm: float | None = None,
        volumes: int = 1,
        part: SeriesPart | None = None,
    ) -> SeriesHeader:
        return SeriesHeader(self.uid, self.instances, dataset, self.orthanc_id, frame, part, slices, extent_mm, volumes)


def _of_unplaced(images: Sequence[ListedInstance], read: Reader, maker: _Maker) -> list[SeriesHeader]:
    """The middle instance; of a diffusion sequence one with a b-value, where a few others have one."""
    keys = [one.key for one in images]
    dataset = _first_readable(_from_middle(keys), read)
    if dataset is not None and b_value_of(dataset) == 0:
        step = max(1, len(keys) // OTHERS_LOOKED_AT)
        found = [dataset, *(one for key in keys[::step][:OTHERS_LOOKED_AT] if (one := read(key)) is not None)]
        dataset = max(found, key=lambda one: b_value_of(one) or 0.0)
    return [] if dataset is None else [maker.header(dataset)]


def _of_classic(images: list[_Image], read: Reader, maker: _Maker) -> list[SeriesHeader]:
    by_place = _by_place(images)
    counts = Counter(map(len, by_place))
    most = max(counts)
    if most == 1:
        dataset = _first_readable(_from_middle([place[0].key for place in by_place]), read)
        return [] if dataset is None else [maker.header(dataset, None, len(by_place), _extent(by_place))]
    datasets = _read_some(by_place, read)
    known = []
    for image in images:
        dataset = datasets.get(image.key)
        if dataset is not None and is_mr_image(str(dataset.get("SOPClassUID", ""))):
            groups = FrameGroups(dataset)
            known.append(replace(image, traits=traits_of(groups), order=order_of(groups, None)))
    return _of_parts(known, datasets, maker, most, by_place if _evenly(by_place) else None)


def _evenly(by_place: list[list[_Image]]) -> bool:
    return len(set(map(len, by_place))) == 1 or sum(map(len, by_place)) > MOST_READ


def _read_some(by_place: list[list[_Image]], read: Reader) -> dict[str, Dataset]:
    """Headers of two places where every place has equally many images, else all; of very many images some."""
    most = max(map(len, by_place))
    full = _full(by_place, most)
    if most > MOST_PARTS:
        return _read(full[0][:: max(1, most // MOST_PARTS)], read)
    if not _evenly(by_place):
        return _read([image for place in by_place for image in place], read)
    found: dict[str, Dataset] = {}
    for start in (len(full) // 3, 2 * len(full) // 3):
        for place in full[start : start + PLACES_TRIED]:
            datasets = _read(place, read)
            found |= datasets
            if len(datasets) == most:
                break
    return found


def _read(images: Sequence[_Image], read: Reader) -> dict[str, Dataset]:
    return {image.key: dataset for image in images if (dataset := read(image.key)) is not None}


def _full(by_place: list[list[_Image]], most: int) -> list[list[_Image]]:
    return [place for place in by_place if len(place) == most]


def _of_multi_frame(instances: Sequence[ListedInstance], read: Reader, maker: _Maker) -> list[SeriesHeader]:
    datasets = {one.key: dataset for one in instances[:MOST_PARTS] if (dataset := read(one.key)) is not None}
    datasets = {key: one for key, one in datasets.items() if is_mr_image(str(one.get("SOPClassUID", "")))}
    images = _main_plane([image for key, dataset in datasets.items() for image in _frames(key, dataset)])
    if not images:
        return []
    most = max(map(len, _by_place(images)))
    if most == 1:
        by_place = _by_place(images)
        middle = by_place[len(by_place) // 2][0]
        return [maker.header(datasets[middle.key], middle.frame, len(by_place), _extent(by_place))]
    return _of_parts(images, datasets, maker, most, None)


def _frames(key: str, dataset: Dataset) -> Iterable[_Image]:
    for number, item in enumerate(dataset.get("PerFrameFunctionalGroupsSequence") or [], start=1):
        groups = FrameGroups(dataset, item)
        position = triple_of(groups.get("PlanePositionSequence", "ImagePositionPatient"))
        cosines = list(groups.get("PlaneOrientationSequence", "ImageOrientationPatient") or [])
        row, column = triple_of(cosines[:3]), triple_of(cosines[3:])
        if position is not None and row is not None and column is not None:
            yield _Image(key, position, row, column, number, traits_of(groups), order_of(groups, number))


def _of_parts(
    images: list[_Image],
    datasets: dict[str, Dataset],
    maker: _Maker,
    most: int,
    whole: list[list[_Image]] | None,
) -> list[SeriesHeader]:
    """One header a part; one for all where the parts are diffusion weightings or moments of a dynamic series.

    Parameters
    ----------
    most
        Images at one position.
    whole
        The images of all positions where ``images`` are those of a few; then every part counts as whole.
    """
    if not images:
        return []
    b_values = [b_value_of(datasets[image.key], image.frame) or 0.0 for image in images]
    weighted = images[b_values.index(max(b_values))]
    parts = split(images)
    fullest = max(len(_by_place(members)) for _, members in parts)
    real = [one for one in parts if len(_by_place(one[1])) >= LEAST_PART * fullest]
    times = max(1 + sum(part.differs_in_time_only(other) for other, _ in real) for part, _ in real)
    if max(b_values) or most > MOST_PARTS or times > MOST_TIMES:
        middle = weighted if max(b_values) else images[len(images) // 2]
        return [maker.header(datasets[middle.key], middle.frame, volumes=most)]
    headers = []
    for part, members in real:
        by_place = _by_place(members)
        middle = by_place[len(by_place) // 2][0]
        there = whole or by_place
        headers.append(
            maker.header(
                datasets[middle.key],
                middle.frame,
                len(there),
                _extent(there),
                part=part if len(real) > 1 else None,
            )
        )
    return headers


def _by_place(images: Sequence[_Image]) -> list[list[_Image]]:
    places: dict[int, list[_Image]] = {}
    for image, place in zip(images, places_of(images), strict=True):
        places.setdefault(place, []).append(image)
    return [places[place] for place in sorted(places)]


def _extent(by_place: list[list[_Image]]) -> float | None:
    """From the first slice's outer face to the last one's, as far as positions tell, mm."""
    first = by_place[0][0]
    normal = normal_of(first)
    along = [sum(a * b for a, b in zip(normal, place[0].position, strict=True)) for place in by_place]
    gaps = sorted(after - before for before, after in pairwise(along))
    return along[-1] - along[0] + gaps[len(gaps) // 2] if gaps else None


def _from_middle(keys: Sequence[str]) -> list[str]:
    """The middle one first, then its neighbours outwards."""
    middle = (len(keys) - 1) // 2
    outwards = sorted(range(len(keys)), key=lambda i: (abs(i - middle), i))
    return [keys[i] for i in outwards[: OTHERS_LOOKED_AT + 1]]


def _first_readable(keys: Sequence[str], read: Reader) -> Dataset | None:
    return next((dataset for key in keys if (dataset := read(key)) is not None), None)
