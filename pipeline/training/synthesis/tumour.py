"""Tumours: cores with rims, oedema that spreads along white matter, cavities."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pipeline.training.synthesis.anatomy import Anatomy, coordinates
from pipeline.training.synthesis.noise import Array, fractal_noise, smooth_noise
from pipeline.training.synthesis.tissues import Tissue


class TumourKind(StrEnum):
    """What is drawn; the weights are in :data:`KIND_SHARES`."""

    RING = "ring"
    SOLID = "solid"
    PATCHY = "patchy"
    MIXED = "mixed"
    LOW_GRADE = "low_grade"
    MULTIFOCAL = "multifocal"
    CAVITY = "cavity"
    NONE = "none"


KIND_SHARES: dict[TumourKind, float] = {
    TumourKind.RING: 0.29,
    TumourKind.SOLID: 0.09,
    TumourKind.PATCHY: 0.12,
    TumourKind.MIXED: 0.18,
    TumourKind.LOW_GRADE: 0.12,
    TumourKind.MULTIFOCAL: 0.07,
    TumourKind.CAVITY: 0.12,
    TumourKind.NONE: 0.30,
}

EDGE = 0.3
"""Share of oedema from which a voxel belongs to the whole tumour."""

CORE_TISSUES = (Tissue.NON_ENHANCING, Tissue.NECROSIS, Tissue.ENHANCING, Tissue.BLOOD)


@dataclass(frozen=True)
class Core:
    """One focus of a tumour.

    Attributes
    ----------
    centre
        (z, y, x), voxels.
    radius_mm
        Mean radius of the core.
    kind
        RING, SOLID, PATCHY, MIXED, LOW_GRADE or CAVITY.
    """

    centre: tuple[float, float, float]
    radius_mm: float
    kind: TumourKind


@dataclass
class Growth:
    """What a tumour replaces, each float32 share in 0..1, shape (z, y, x)."""

    core: Array
    oedema: Array
    parts: dict[Tissue, Array] = field(default_factory=dict)


def draw_kind(rng: np.random.Generator, shares: Mapping[TumourKind, float] | None = None) -> TumourKind:
    """Draw a kind by its share in :data:`KIND_SHARES`; ``shares`` (0 to 1) gives some kinds others."""
    given = dict(shares or {})
    left = {kind: share for kind, share in KIND_SHARES.items() if kind not in given}
    scale = (1 - sum(given.values())) / sum(left.values())
    weights = given | {kind: share * scale for kind, share in left.items()}
    kinds = list(KIND_SHARES)
    return kinds[int(rng.choice(len(kinds), p=[weights[kind] for kind in kinds]))]


def draw_cores(rng: np.random.Generator, kind: TumourKind, seeds: Array, spacing_mm: float) -> list[Core]:
    """Place the foci of a tumour.

    Parameters
    ----------
    rng
        Source of randomness.
    kind
        Of the tumour.
    seeds
        Weight of each voxel as a centre, shape (z, y, x).
    spacing_mm
        Of the grid.
    """
    if kind is TumourKind.NONE or not seeds.any():
        return []
    weights = np.cumsum(seeds.ravel(), dtype=np.float64)
    first = int(np.searchsorted(weights, rng.random() * weights[-1]))
    centre = np.array(np.unravel_index(min(first, seeds.size - 1), seeds.shape), dtype=float)
    if kind is not TumourKind.MULTIFOCAL:
        typical = {TumourKind.LOW_GRADE: 16.0, TumourKind.MIXED: 20.0}.get(kind, 14.0)
        radius = float(np.clip(typical * np.exp(rng.normal(0, 0.45)), 3.5, 38))
        return [Core((centre[0], centre[1], centre[2]), radius, kind)]
    cores = []
    for _ in range(int(rng.integers(2, 5))):
        place = centre + rng.normal(0, 18 / spacing_mm, 3) if rng.random() < 0.7 else None
        if place is None:
            other = int(np.searchsorted(weights, rng.random() * weights[-1]))
            place = np.array(np.unravel_index(min(other, seeds.size - 1), seeds.shape), dtype=float)
        inner = TumourKind.RING if rng.random() < 0.6 else TumourKind.SOLID
        cores.append(Core((place[0], place[1], place[2]), float(rng.uniform(3, 12)), inner))
    return cores


def _level(rng: np.random.Generator, core: Core, grid: Array, spacing_mm: float) -> Array:
    """Signed distance to the core's surface in mm, negative inside."""
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    stretch = np.exp(rng.normal(0, 0.22, 3))
    matrix = (axes @ np.diag(1 / stretch) @ axes.T).astype(np.float32)
    away = grid - np.array(core.centre, dtype=np.float32)[:, None, None, None]
    distance = np.sqrt((np.tensordot(matrix, away, 1) ** 2).sum(0)) * spacing_mm
    rough = rng.uniform(0.08, 0.35) * fractal_noise(rng, grid.shape[1:], core.radius_mm / spacing_mm, 3)
    return np.asarray(distance - core.radius_mm * (1 + rough), dtype=np.float32)


def _soft(level_mm: Array, width_mm: float) -> Array:
    return np.asarray(1 / (1 + np.exp(np.clip(level_mm / width_mm, -30, 30))), dtype=np.float32)


def _core_parts(rng: np.random.Generator, core: Core, level: Array, spacing_mm: float) -> dict[Tissue, Array]:
    """Divide a core among its tissues; the shares sum to 1 everywhere."""
    shape = level.shape
    width = spacing_mm * 0.35
    zero = np.zeros(shape, np.float32)
    patches = fractal_noise(rng, shape, max(core.radius_mm * 0.7, 4) / spacing_mm, 2)
    if core.kind is TumourKind.RING:
        thickness = rng.uniform(1.5, 4.5) + core.radius_mm * rng.uniform(0, 0.35)
        local = np.maximum(thickness * (1 + rng.uniform(0.1, 0.7) * patches), 0)
        outer = rng.uniform(0, 0.25) * core.radius_mm if rng.random() < 0.3 else 0.0
        gaps = smooth_noise(rng, shape, core.radius_mm / spacing_mm)[0] < rng.uniform(-3.5, -0.9)
        inner = _soft(level + outer + local, width)
        shell = (1 - inner) * _soft(level + outer, width) if outer else 1 - inner
        rim = np.where(gaps, 0, shell)
        solid_inside = _soft(patches - rng.uniform(-2, 3), 0.3) if rng.random() < 0.6 else zero
        return {
            Tissue.ENHANCING: rim,
            Tissue.NECROSIS: inner * (1 - solid_inside),
            Tissue.NON_ENHANCING: np.clip(1 - rim - inner * (1 - solid_inside), 0, 1),
        }
    if core.kind is TumourKind.SOLID:
        holes = _soft(rng.uniform(1.0, 3.0) - patches, 0.25)
        return {Tissue.ENHANCING: 1 - holes, Tissue.NECROSIS: holes}
    if core.kind is TumourKind.PATCHY:
        lit = _soft(rng.uniform(-0.2, 1.8) - patches, 0.25)
        dead = (1 - lit) * _soft(patches + rng.uniform(1.0, 2.5), 0.25)
        return {Tissue.ENHANCING: lit, Tissue.NECROSIS: dead, Tissue.NON_ENHANCING: 1 - lit - dead}
    if core.kind is TumourKind.MIXED:
        return _mixed_parts(rng, core, level, patches, spacing_mm)
    if core.kind is TumourKind.CAVITY:
        rim_mm = rng.uniform(0, 5) * (1 + patches) if rng.random() < 0.7 else zero
        lit = np.where(patches > rng.uniform(-0.5, 1), 1 - _soft(level + np.maximum(rim_mm, 0), width), 0)
        return {Tissue.ENHANCING: lit, Tissue.CAVITY: 1 - lit}
    cystic = _soft(rng.uniform(0.8, 4) - patches, 0.3)
    return {Tissue.NON_ENHANCING: 1 - cystic, Tissue.NECROSIS: cystic}


def _mixed_parts(
    rng: np.random.Generator, core: Core, level: Array, patches: Array, spacing_mm: float
) -> dict[Tissue, Array]:
    """A large core as grown glioblastomas have it: cysts, solid tissue and uptake side by side, a rim in places."""
    cysts = fractal_noise(rng, level.shape, max(core.radius_mm * rng.uniform(0.5, 1.2), 5) / spacing_mm, 2)
    dead = _soft(rng.uniform(-0.3, 1.8) - cysts, 0.15)
    lit = _soft(rng.uniform(-0.3, 1.6) - patches, rng.uniform(0.1, 0.4))
    rim_mm = np.maximum(rng.uniform(1.0, 4.0) * (1 + rng.uniform(0.3, 1.0) * patches), 0)
    around = _soft(np.abs(rng.uniform(0.8, 1.2) - cysts) * 3 - rng.uniform(0, 0.8), 0.2)
    edge = 1 - _soft(level + rim_mm, spacing_mm * 0.35)
    enhancing = np.clip(lit * (1 - dead) + around * rng.integers(2) + edge * rng.integers(2), 0, 1)
    necrosis = dead * (1 - enhancing)
    return {
        Tissue.ENHANCING: enhancing,
        Tissue.NECROSIS: necrosis,
        Tissue.NON_ENHANCING: 1 - enhancing - necrosis,
    }


def _weaken(rng: np.random.Generator, parts: dict[Tissue, Array], shape: tuple[int, ...], spacing_mm: float) -> None:
    """Uptake that differs from place to place: some of the enhancing tissue is not (changed in place)."""
    lit = parts.get(Tissue.ENHANCING)
    if lit is None or rng.random() < 0.5:
        return
    kept = np.clip(rng.uniform(0.7, 1.0) + rng.uniform(0.1, 0.4) * fractal_noise(rng, shape, 8 / spacing_mm, 2), 0, 1)
    parts[Tissue.ENHANCING] = lit * kept
    parts[Tissue.NON_ENHANCING] = parts.get(Tissue.NON_ENHANCING, np.zeros(shape, np.float32)) + lit * (1 - kept)


def _arrival(core: Array, speed: Array, limit: float, spacing_mm: float, rng: np.random.Generator) -> Array:
    """Arrival time in mm of white matter by fast marching from the core (Sethian, PNAS 93, 1996)."""
    inside = np.argwhere(core > 0.5)
    if not len(inside):
        return np.full(core.shape, np.inf, np.float32)
    low = np.maximum(inside.min(0) - int(limit / spacing_mm) - 2, 0)
    high = np.minimum(inside.max(0) + int(limit / spacing_mm) + 3, core.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.where(core[box] > 0.5, 50, speed[box])))
    image.SetSpacing((spacing_mm,) * 3)
    chosen = inside[rng.choice(len(inside), min(len(inside), 60), replace=False)] - low
    points = [[int(x), int(y), int(z)] for z, y, x in chosen]
    times = sitk.GetArrayFromImage(sitk.FastMarching(image, points, 1.0, limit * 1.4))
    out = np.full(core.shape, 1e6, np.float32)
    out[box] = np.minimum(times, 1e6)
    return out


def grow(rng: np.random.Generator, cores: list[Core], anatomy: Anatomy, reach_mm: float | None = None) -> Growth:
    """Grow a tumour from its foci in an anatomy.

    Oedema spreads fast in white matter, slowly in grey and not through CSF, at a speed modulated by smooth
    noise, which makes its fingers and its irregular, rather sharp edge.

    Parameters
    ----------
    rng
        Source of randomness.
    cores
        Foci.
    anatomy
        Tissue shares, not changed here.
    reach_mm
        How far oedema spreads; None draws it, and whether there is any.

    Returns
    -------
    Growth
    """
    shape, spacing = anatomy.brain.shape, anatomy.spacing_mm
    core = np.zeros(shape, np.float32)
    growth = Growth(core, np.zeros(shape, np.float32))
    if not cores:
        return growth
    grid = coordinates(shape)
    tissue = anatomy.brain_tissue()
    invades = np.clip(anatomy.brain - 0.6 * anatomy.fractions[Tissue.CSF], 0, 1) > 0.4
    for focus in cores:
        level = _level(rng, focus, grid, spacing)
        share = _soft(level, spacing * 0.35) * invades
        fresh = share * (1 - growth.core)
        parts = _core_parts(rng, focus, level, spacing)
        _weaken(rng, parts, shape, spacing)
        for part, weight in parts.items():
            growth.parts[part] = growth.parts.get(part, 0) + fresh * weight.astype(np.float32)
        growth.core = growth.core + fresh
    if rng.random() < 0.15:
        _bleed(rng, growth, spacing)
    white = anatomy.fractions[Tissue.WHITE]
    grey = tissue - white
    low_grade = cores[0].kind is TumourKind.LOW_GRADE
    reach = float(np.clip(rng.lognormal(np.log(6.0 if low_grade else 13.0), 0.6), 1.0, 40.0))
    if rng.random() < (0.3 if low_grade else 0.06) and reach_mm is None:
        return growth
    reach = reach if reach_mm is None else reach_mm
    speed = white + rng.uniform(0.1, 0.5) * grey + 0.02
    speed = speed * np.exp(rng.uniform(0.2, 0.7) * fractal_noise(rng, shape, rng.uniform(8, 24) / spacing, 3))
    times = _arrival(growth.core, speed.astype(np.float32), reach, spacing, rng)
    allowed = np.clip(tissue * 1.3, 0, 1) * (1 - growth.core)
    growth.oedema = (_soft(times - reach, rng.uniform(0.3, 3.0)) * allowed).astype(np.float32)
    return growth


def _bleed(rng: np.random.Generator, growth: Growth, spacing_mm: float) -> None:
    where = _soft(rng.uniform(0.8, 2) - fractal_noise(rng, growth.core.shape, 10 / spacing_mm, 2), 0.3)
    for part in (Tissue.NECROSIS, Tissue.NON_ENHANCING):
        if part in growth.parts:
            moved = growth.parts[part] * where
            growth.parts[part] = growth.parts[part] - moved
            growth.parts[Tissue.BLOOD] = growth.parts.get(Tissue.BLOOD, 0) + moved


def implant(growth: Growth, anatomy: Anatomy, strength: Array | float) -> npt.NDArray[np.bool_]:
    """Put a tumour into an anatomy (changed in place).

    Parameters
    ----------
    growth
        What to put.
    anatomy
        Where.
    strength
        Share of the oedematous tissue's signal that is oedema, scalar or (z, y, x).

    Returns
    -------
    bool, shape (3, z, y, x): WT, TC, ET.
    """
    fractions = anatomy.fractions
    fractions *= 1 - growth.core
    for part, share in growth.parts.items():
        fractions[part] += share
    for tissue in (Tissue.WHITE, Tissue.CORTEX, Tissue.DEEP_GREY, Tissue.LESION):
        moved = fractions[tissue] * growth.oedema * strength
        fractions[tissue] -= moved
        fractions[Tissue.OEDEMA] += moved
    zero = np.zeros_like(growth.core)
    core = sum((growth.parts.get(t, zero) for t in CORE_TISSUES), zero)
    enhancing = growth.parts.get(Tissue.ENHANCING, zero)
    tumour_core = core > 0.5
    # Readers include the fading edge: on real cases, networks taught with half of it drew the whole tumour too small.
    whole = tumour_core | (growth.oedema > EDGE)
    return np.stack([whole, tumour_core, tumour_core & (enhancing > 0.42)])
