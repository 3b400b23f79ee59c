"""Who is who among lesions that brain shift and mass effect have moved: balls in random tissue, without images.

Usage: python -m benchmarks.identities [--cases N] [--seed SEED] [--json]

Each case has three to seven lesions of 0.2 to 5 ml in half a brain, half of them 2 to 12 mm beside another, which grow
or shrink by up to four times; one in four vanishes. In two cases of three a new one lies 2 to 12 mm beside the place of
one that has vanished, or beside another. Tissue moves by up to 15 mm: not at all, as around a mass that grows or is
taken out (a lesion of 10 to 40 ml), or by a smooth field of its own of which the tumour's change tells nothing. The
course sees the movement as it does in images: blocks of 18 mm 12 mm apart, half of them, none in the tumour or near the
skin or that moved by more than 10 mm, told to 2 mm. Slices of 2.5 to 5 mm, heads aligned to 1 mm.
"""

import argparse
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.course.lesions import Labelled, lesions_of
from pipeline.course.matching import inherited, match_all, named
from pipeline.course.shift import MOVED_MM, BrainShift
from pipeline.course.symmetry import MidSagittalPlane
from pipeline.names import Region

Points = NDArray[np.float64]
Field = Callable[[Points], Points]
#: Half of the tissue's extent, mm; x, y, z.
_HALF: Final = np.array([32.0, 55.0, 40.0])
_OEDEMA_MM: Final = 8.0
#: How far from one side, the top and the back the blocks end, and how many of the others are known again.
_BELOW_SKIN_MM: Final = 12.0
_KNOWN: Final = 0.5
_FARTHEST_MM: Final = 15.0
_BESIDE_MM: Final = (2.0, 12.0)
_ANY_PLANE: Final = MidSagittalPlane(np.array([1.0, 0.0, 0.0]), 0.0)
_KINDS: Final = ("still", "mass", "field")


@dataclass(frozen=True)
class Ball:
    """A lesion: its centre in the tissue (mm), and its radius in both studies (mm; 0 where it is not there)."""

    place: Points
    radii: tuple[float, float]


@dataclass(frozen=True)
class Told:
    """What a lesion of the newer study is called.

    Attributes
    ----------
    kind
        What moved the tissue.
    right, unsure
        Whether its name is that of what it is, and whether the course said that it may be another.
    """

    kind: str
    right: bool
    unsure: bool


def radius_mm(ml: float) -> float:
    """Radius of a ball."""
    return float((3000 * ml / (4 * np.pi)) ** (1 / 3))


def tissue(kind: str, rng: np.random.Generator) -> tuple[Field, list[Ball]]:
    """How the tissue moves from the first study to the second, and the mass that moves it."""
    if kind == "still":
        return np.zeros_like, []
    mm = rng.uniform(3, _FARTHEST_MM)
    if kind == "field":
        centres, ways = rng.uniform(-_HALF, _HALF, (3, 3)), rng.normal(size=(3, 3))
        ways *= mm / np.linalg.norm(ways, axis=1, keepdims=True)

        def smooth(points: Points) -> Points:
            square = ((points[:, None] - centres) ** 2).sum(axis=2)
            moved = np.asarray(np.exp(-square / (2 * 25.0**2)) @ ways)
            far = np.linalg.norm(moved, axis=1, keepdims=True)
            return np.asarray(moved * np.minimum(1, _FARTHEST_MM / np.maximum(far, 1e-6)))

        return smooth, []
    radii = [radius_mm(rng.uniform(10, 40)), radius_mm(rng.uniform(1, 5))]
    if rng.random() < 0.5:
        radii.reverse()
    place, radius, sign = rng.uniform(-_HALF / 2, _HALF / 2), max(radii), np.sign(radii[1] - radii[0])

    def pushed(points: Points) -> Points:
        away = points - place
        far = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
        return np.asarray(sign * mm * away / far * np.minimum(far / radius, np.exp(-(far - radius) / 25)))

    return pushed, [Ball(place, (radii[0], radii[1]))]


def lesions(rng: np.random.Generator, masses: list[Ball]) -> list[Ball]:
    """The lesions of a case: none touches another in the tissue of the study that shows both."""
    found = list(masses)

    def free(ball: Ball) -> bool:
        return bool(np.all(np.abs(ball.place) < _HALF)) and all(
            np.linalg.norm(ball.place - one.place) > own + other + 4
            for one in found
            for own, other in zip(ball.radii, one.radii, strict=True)
            if own and other
        )

    def add(draw: Callable[[], Ball]) -> None:
        ball = next((one for one in (draw() for _ in range(50)) if free(one)), None)
        found.extend([ball] if ball else [])

    def beside(ball: Ball, radius: float) -> Points:
        way = rng.normal(size=3)
        gap = rng.uniform(*_BESIDE_MM) + radius + max(ball.radii)
        return np.asarray(ball.place + way / np.linalg.norm(way) * gap)

    def old(at: Ball | None) -> Ball:
        ml = np.exp(rng.uniform(np.log(0.2), np.log(5)))
        after = 0.0 if rng.random() < 1 / 4 else max(0.1, ml * np.exp(rng.uniform(-np.log(4), np.log(4))))
        radii = (radius_mm(ml), radius_mm(after))
        return Ball(beside(at, max(radii)) if at else rng.uniform(-_HALF, _HALF), radii)

    def new(at: Ball) -> Ball:
        radius = radius_mm(np.exp(rng.uniform(np.log(0.2), np.log(2))))
        return Ball(beside(at, radius), (0.0, radius))

    for _ in range(rng.integers(3, 8)):
        at = found[rng.integers(len(found))] if found and rng.random() < 1 / 2 else None
        add(functools.partial(old, at))
    if rng.random() < 2 / 3:
        gone = [one for one in found if not one.radii[1]] or found
        add(functools.partial(new, gone[rng.integers(len(gone))]))
    return found


def scan(
    balls: list[Ball], which: int, field: Field, thickness_mm: float
) -> tuple[dict[Region, Labelled], list[set[int]]]:
    """The whole tumour and the core of a study, and which balls each lesion of the core is made of."""
    size = np.ceil((2 * _HALF + 50) / [1.5, 1.5, thickness_mm]).astype(int)
    grid = sitk.Image([int(one) for one in size], sitk.sitkUInt8)
    grid.SetSpacing((1.5, 1.5, thickness_mm))
    grid.SetOrigin((-(size - 1) * np.array(grid.GetSpacing()) / 2).tolist())
    points = np.moveaxis(np.indices(size[::-1]), 0, -1)[..., ::-1] * np.array(grid.GetSpacing()) + grid.GetOrigin()
    whose = np.zeros(points.shape[:3], dtype=np.int32)
    for number, ball in enumerate(balls, start=1):
        if ball.radii[which]:
            centre = ball.place + (field(ball.place[None])[0] if which else 0.0)
            whose[np.linalg.norm(points - centre, axis=-1) <= ball.radii[which]] = number
    far = ndimage.distance_transform_edt(whose == 0, sampling=grid.GetSpacing()[::-1])
    masks = {Region.WT: far <= _OEDEMA_MM, Region.TC: whose > 0}
    found = lesions_of(masks, grid, _ANY_PLANE)
    core = found[Region.TC]
    return found, [set(np.unique(whose[core.array == one + 1]).tolist()) for one in range(len(core.lesions))]


def seen_shift(balls: list[Ball], field: Field, rng: np.random.Generator) -> BrainShift:
    """What blocks outside of the tumour tell of the movement."""
    axes = [np.arange(-half, half + 1, 12.0) for half in _HALF]
    former = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 3)
    steps = field(former)
    centres = former + steps
    clear = (np.linalg.norm(steps, axis=1) <= 10) & (rng.random(len(steps)) < _KNOWN)
    clear &= np.all(centres < _HALF - _BELOW_SKIN_MM, axis=1)
    for ball in balls:
        now = ball.place + field(ball.place[None])[0]
        for place, radius in ((ball.place, ball.radii[0]), (now, ball.radii[1])):
            clear &= np.linalg.norm(centres - place, axis=1) > radius + _OEDEMA_MM + 9 if radius else True
    told = -2.0 * np.round((steps + rng.normal(scale=0.7, size=steps.shape)) / 2)
    told[np.linalg.norm(told, axis=1) < MOVED_MM] = 0  # one step of the grid is no better than the own place
    centres, told = centres[clear], told[clear]
    far = np.linalg.norm(told, axis=1)
    moved = far[far >= MOVED_MM]
    enough = len(moved) >= max(5, 0.01 * len(far))
    return BrainShift(float(np.median(moved)) if enough else 0.0, centres, told)


def followed(kind: str, rng: np.random.Generator) -> list[Told]:
    """One case: what each lesion of the newer study is called."""
    field, masses = tissue(kind, rng)
    balls = lesions(rng, masses)
    (before, former), (now, present) = (scan(balls, which, field, float(rng.uniform(2.5, 5))) for which in (0, 1))
    shift = seen_shift(balls, field, rng)
    turn = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.0, 0.0, 0.0, rng.normal(scale=0.6, size=3).tolist())
    known = named(before[Region.TC].lesions, "before")
    matched = match_all(before, now, turn, shift.local(now[Region.TC].labels))[Region.TC]
    names = {one.tracking_uid: whose for one, whose in zip(known, former, strict=True)}
    after = inherited(known, now[Region.TC].lesions, matched.pairs)
    found = []
    for place, (lesion, whose) in enumerate(zip(after, present, strict=True)):
        old = set().union(*names.values()) & whose
        right = bool(names[lesion.tracking_uid] & whose) if lesion.tracking_uid else not old
        if not lesion.tracking_uid and old:  # a part of several that bore one name
            right = any(names[one.tracking_uid] & whose for one in after if one.tracking_uid)
        found.append(Told(kind, right, place in matched.unsure))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cases = [
        followed(_KINDS[number % len(_KINDS)], np.random.default_rng([options.seed, number]))
        for number in range(options.cases)
    ]
    rows = {}
    for kind in (*_KINDS, "all"):
        of_kind = [case for case in cases if case and kind in ("all", case[0].kind)]
        every = [one for case in of_kind for one in case]
        wrong = [one for one in every if not one.right]
        rows[kind] = {
            "cases": len(of_kind),
            "cases right": sum(all(one.right for one in case) for case in of_kind),
            "lesions": len(every),
            "right": len(every) - len(wrong),
            "wrong and told": sum(one.unsure for one in wrong),
            "wrong and not told": sum(not one.unsure for one in wrong),
            "right and told": sum(one.unsure for one in every if one.right),
        }
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for kind, row in rows.items():
        print(f"{kind}: " + ", ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
