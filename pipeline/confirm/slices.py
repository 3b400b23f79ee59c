"""Does every slice of a series show its own place, and none but it? Headers need not tell that it does not.

Projections over slabs that overlap give neighbouring slices most of their values in common. Averages over such slabs,
and slices interpolated from thick ones, change from slice to slice as they changed before, and turn back a slab later.
One picture may be stored at several places, and slices between those that came may lack.
"""

from collections.abc import Iterable

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from pipeline.confirm.neighbours import odd_slices
from pipeline.errors import Flag, GlioLoopError
from pipeline.volume import SourceVolume

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Most rows and columns looked at, around the middle.
_LOOKED_AT = 96
#: Of the range from the darkest to the brightest, where tissue begins.
_TISSUE = 0.15
#: Fewest voxels of tissue that say something.
_FEWEST = 200
#: Most differences that are counted.
_MOST_COUNTED = 400_000
#: Coarsest grey levels that differences are counted in: so many between the darkest and the brightest tissue.
_FEWEST_LEVELS = 24
#: Finest ones.
_MOST_LEVELS = 4096
#: How much oftener two slices are equal than their smallest differences let expect, or than neighbours within a slice
#: are: up to 1.4 in real series, 3 in such of 8 bits interpolated between slices, from 15 in projections over two.
_OFTENER = 6.0
#: Least share of equal values in two slices of a projection.
_LEAST_EQUAL = 0.05
#: Share of equal values from which two slices are one picture, and within a slice, a drawing or a phantom.
_ONE_PICTURE, _FLAT = 0.995, 0.5
#: Correlation of one change from slice to slice with the next: to -0.14 in real series, from -0.02 in averages over two
#: slices and more; and a slab later: to -0.34 in averages.
_GOES_ON, _TURNS_BACK = -0.07, -0.1
#: Most slices of a slab.
_MOST_SLAB = 40
#: Thicker, or farther apart, no slices of usual protocols are: 6 mm with a third of it as gap.
_COARSE_MM = 7.8
#: On slices farther apart nothing is delineated.
_TOO_COARSE_MM = 12.0
#: Farther apart, slices need not resemble their neighbours.
_NEIGHBOURS_MM = 7.0
#: Slices that are named one by one.
_MOST_NAMED = 12
#: Of the slices' thickness: usual gaps are up to a third, and all of it where every second slice lacks.
_GAP = 0.5


def look_at_slices(volume: SourceVolume) -> tuple[Flag, ...]:
    """What is to be told of a series' slices.

    Parameters
    ----------
    volume
        As it was read, not resampled.

    Returns
    -------
    tuple
        ``COARSE_SLICES``, ``SLICES_REPEATED``, ``SLICES_ODD``; their details do not name the sequence.

    Raises
    ------
    GlioLoopError
        ``PIXELS_INVALID`` for projections over overlapping slabs, and for one picture at most places;
        ``GEOMETRY_INCOMPLETE`` for slices too far apart.
    """
    spacing = float(volume.image.GetSpacing()[2])
    if spacing > _TOO_COARSE_MM:
        raise _refusal("GEOMETRY_INCOMPLETE", volume, f"its slices lie {spacing:.1f} mm apart")
    values, tissue = _middle(volume)
    repeated = _repeated(values, tissue)
    if 2 * len(repeated) >= len(values):
        raise _refusal("PIXELS_INVALID", volume, f"{len(repeated)} of its slices show the picture of the one before")
    own = [k for k in range(len(values)) if k not in repeated]
    if _projected(values[own], tissue[own]):
        raise _refusal("PIXELS_INVALID", volume, "its slices share their values, as projections over slabs do")
    flags = _coarse(spacing, volume.slice_thickness_mm, _slab(values, tissue) * spacing)
    if repeated:
        flags += (
            Flag("SLICES_REPEATED", f"slices {_list(k + 1 for k in repeated)} show the picture of the one before."),
        )
    if spacing <= _NEIGHBOURS_MM and (odd := odd_slices(values, tissue)):
        flags += (Flag("SLICES_ODD", f"slices {_list(k + 1 for k in odd)} do not fit between their neighbours."),)
    return flags


def _refusal(code: str, volume: SourceVolume, seen: str) -> GlioLoopError:
    detail = f"Series {volume.series_instance_uid}: {seen}."
    return GlioLoopError(code, detail, {"series_instance_uid": volume.series_instance_uid})


def _list(numbers: Iterable[int]) -> str:
    first, *more = map(str, numbers)
    return ", ".join((first, *more)) if len(more) < _MOST_NAMED else f"{first} and {len(more)} more"


def _coarse(spacing: float, thickness: float | None, slab: float) -> tuple[Flag, ...]:
    """``COARSE_SLICES`` by distance, thickness and slab, mm."""
    if thickness and spacing > (1 + _GAP) * thickness:
        seen = f"slices of {thickness:.1f} mm every {spacing:.1f} mm; what lies between was not shown"
    elif spacing > _COARSE_MM:
        seen = f"slices every {spacing:.1f} mm"
    elif slab > _COARSE_MM:
        seen = f"slices every {spacing:.1f} mm, each over about {slab:.0f} mm, as an average or interpolated"
    else:
        return ()
    return (Flag("COARSE_SLICES", f"{seen}."),)


def _middle(volume: SourceVolume) -> tuple[Values, Mask]:
    """Grey values of the middle of every slice, and where they are tissue's."""
    whole = sitk.GetArrayViewFromImage(volume.image)
    middle = (
        slice(None),
        *(slice(max(0, n // 2 - _LOOKED_AT // 2), n // 2 + _LOOKED_AT // 2) for n in whole.shape[1:]),
    )
    values = np.array(whole[middle])
    dark, bright = np.percentile(values, [2, 99])
    tissue = (values > dark + _TISSUE * (bright - dark)) & (values < values.max())
    if volume.valid is not None:
        tissue &= sitk.GetArrayViewFromImage(volume.valid)[middle] > 0
    return values, tissue


def _differences(values: Values, tissue: Mask, axis: int) -> Values:
    """Sizes of the differences between neighbours along an axis, in tissue, sorted; no more than are counted."""
    size = values.shape[axis]
    one, other = range(1, size), range(size - 1)
    both = np.take(tissue, one, axis) & np.take(tissue, other, axis)
    found = np.abs(np.take(values, one, axis)[both] - np.take(values, other, axis)[both])
    return np.sort(found[:: max(1, found.size // _MOST_COUNTED)])


def _repeated(values: Values, tissue: Mask) -> list[int]:
    """Slices that show the picture of the one before them."""
    within = _differences(values, tissue, 2)
    if within.size < _FEWEST or (within == 0).mean() > _FLAT:
        return []
    pairs = ((k, (values[k] == values[k - 1])[tissue[k] | tissue[k - 1]]) for k in range(1, len(values)))
    return [k for k, same in pairs if same.size >= _FEWEST and same.mean() > _ONE_PICTURE]


def _projected(values: Values, tissue: Mask) -> bool:
    """Whether slices are equal far oftener than nearly equal, at any fineness of grey, as noise never is."""
    between, *within = (_differences(values, tissue, axis) for axis in range(3))
    if min(map(len, (between, *within))) < _FEWEST:
        return False
    low, high = np.percentile(values[tissue], [0.5, 99.5])
    level = max(float(np.median(np.diff(np.unique(values)))), float(high - low) / _MOST_LEVELS)
    while high - low > _FEWEST_LEVELS * level:
        usual = max(1.0, *(_excess(one, level) for one in within))
        if _excess(between, level) > _OFTENER * usual:
            return True
        level *= 2
    return False


def _excess(differences: Values, level: float) -> float:
    """How often values are equal, in parts of what those a level and two apart let expect; 0 where seldom."""
    ends = np.searchsorted(differences, np.array([0.5, 1.5, 2.5]) * level)
    none, one, two = np.diff(ends, prepend=0) / len(differences) / (1, 2, 2)
    if none < _LEAST_EQUAL:
        return 0.0
    fewest = 1 / len(differences)
    return float(none / max(one, one**2 / max(two, fewest), fewest))


def _slab(values: Values, tissue: Mask) -> int:
    """Slices over which each is an average; 1 where it is none.

    Averages differ by what enters the slab and what leaves it: what enters now, leaves a slab later.
    """
    fine = values - uniform_filter(values, (0, 3, 3))
    if tissue.sum() < _FEWEST or not (most := float(np.percentile(np.abs(fine[tissue]), 95))):
        return 1
    changes = np.diff(np.clip(fine, -most, most), axis=0)
    changes[~(tissue[1:] & tissue[:-1])] = 0
    found = [_correlation(changes, 1)]
    if found[0] < _GOES_ON:
        return 1
    found += (_correlation(changes, lag) for lag in range(2, min(_MOST_SLAB, 2 * len(changes) // 3) + 1))
    return int(np.argmin(found)) + 1 if min(found) < _TURNS_BACK else 1


def _correlation(changes: Values, lag: int) -> float:
    """Of changes with those so many slices later, about zero; where one is not known, it is zero."""
    one, other = changes[lag:].ravel(), changes[:-lag].ravel()
    size = float(np.sqrt(one.dot(one) * other.dot(other)))
    return float(one.dot(other)) / size if size else 0.0
