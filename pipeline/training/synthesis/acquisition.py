"""From tissues to the four sequences: MR physics, coil, slices, motion, noise."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.nn import functional

from pipeline.names import REQUIRED_SEQUENCES, MRSequence
from pipeline.training.synthesis.anatomy import apply_affine, coordinates, random_affine, sample
from pipeline.training.synthesis.noise import Array, smooth_noise
from pipeline.training.synthesis.tissues import BRAIN_TISSUES, RELAXATION, Tissue

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Patient:
    """Relaxation of one patient's tissues, each of shape (len(Tissue),)."""

    t1: Vector
    t1_enhanced: Vector
    t2: Vector
    density: Vector


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient's relaxation times around the table's centres."""
    rows = [RELAXATION[t] for t in Tissue]
    spread = np.array([r.spread for r in rows])
    common = rng.normal(0, 0.05)
    t1 = np.array([r.t1 for r in rows]) * np.exp(rng.normal(0, 1, len(rows)) * spread + common)
    uptake = np.array([r.t1_enhanced / r.t1 for r in rows]) ** np.clip(rng.normal(1.0, 0.15), 0.5, 1.4)
    uptake = np.where(uptake < 0.9, uptake * np.exp(rng.normal(0, 1, len(rows)) * spread), uptake)
    t2 = np.array([r.t2 for r in rows]) * np.exp(rng.normal(0, 1, len(rows)) * spread)
    density = np.array([r.density for r in rows]) * np.exp(rng.normal(0, 0.03, len(rows)))
    if rng.random() < 0.6:  # from a faint blush to a rim as bright as a vessel
        uptake[Tissue.ENHANCING] = np.exp(rng.uniform(np.log(0.28), np.log(0.8)))
    if rng.random() < 0.3:  # a cyst: its fluid is nearly that of the ventricles, and as dark on FLAIR
        t1[Tissue.NECROSIS] *= rng.uniform(1.2, 1.7)
        t2[Tissue.NECROSIS] *= rng.uniform(1.5, 3.0)
    return Patient(t1, t1 * np.minimum(uptake, 1.0), t2, density)


def spin_echo(p: Patient, t1: Vector, tr: float, te: float) -> Vector:
    """Spin echo signal of every tissue; times in ms."""
    return np.asarray(p.density * (1 - np.exp(-tr / t1)) * np.exp(-te / p.t2))


def _spoiled_echo(p: Patient, t1: Vector, tr: float, flip: float) -> Vector:
    e1 = np.exp(-tr / t1)
    return np.asarray(p.density * np.sin(flip) * (1 - e1) / (1 - np.cos(flip) * e1))


def _prepared_echo(p: Patient, t1: Vector, tr: float, ti: float) -> Vector:
    return np.asarray(np.abs(p.density * (1 - 2 * np.exp(-ti / t1) + np.exp(-tr / t1))))


def inversion_recovery(p: Patient, t1: Vector, tr: float, ti: float, te: float) -> Vector:
    """Magnitude signal of an inversion recovery spin echo of every tissue; times in ms."""
    return np.asarray(_prepared_echo(p, t1, tr, ti) * np.exp(-te / p.t2))


def _t1_weighted(rng: np.random.Generator, p: Patient, t1: Vector, kind: float) -> Vector:
    if kind < 0.45:
        return spin_echo(p, t1, rng.uniform(400, 750), rng.uniform(7, 18))
    if kind < 0.75:
        return _spoiled_echo(p, t1, rng.uniform(8, 30), np.deg2rad(rng.uniform(16, 32)))
    return _prepared_echo(p, t1, rng.uniform(1700, 2500), rng.uniform(850, 1150))


def draw_signals(rng: np.random.Generator) -> dict[MRSequence, Vector]:
    """Signal of every tissue in every sequence, each of shape (len(Tissue),).

    Spin echo, spoiled gradient echo and inversion recovery equations (Bernstein, King and Zhou, Handbook of
    MRI Pulse Sequences, 2004) with random timings, then a random factor per tissue and sequence.
    """
    p = draw_patient(rng)
    kind = rng.random()
    kind_enhanced = kind if rng.random() < 0.7 else rng.random()
    tr = rng.uniform(7000, 11000)
    null = p.t1[Tissue.CSF] * np.log(2 / (1 + np.exp(-tr / p.t1[Tissue.CSF])))
    inversion = inversion_recovery(p, p.t1, tr, null * rng.uniform(0.86, 1.03), rng.uniform(85, 145))
    signals = {
        MRSequence.T1: _t1_weighted(rng, p, p.t1, kind),
        MRSequence.T1C: _t1_weighted(rng, p, p.t1_enhanced, kind_enhanced),
        MRSequence.T2: spin_echo(p, p.t1, rng.uniform(2800, 6500), rng.uniform(75, 125)),
        MRSequence.FLAIR: inversion,
    }
    spread = 0.05 if rng.random() < 0.7 else 0.16
    unlike = rng.choice([0.0, 0.06, 0.14])  # tumours resemble each other less than healthy tissue does
    for sequence, ideal in signals.items():
        jitter = np.exp(rng.normal(0, spread, len(ideal)))
        jitter[list(BRAIN_TISSUES)] **= 0.5
        jitter[Tissue.OEDEMA : Tissue.CAVITY] *= np.exp(rng.normal(0, unlike, Tissue.CAVITY - Tissue.OEDEMA))
        saturated = rng.random() < 0.3
        values = ideal * jitter
        if saturated:
            values[Tissue.FAT] *= rng.uniform(0.1, 0.5)
            values[Tissue.MARROW] *= rng.uniform(0.2, 0.7)
        signals[sequence] = values / values[list(BRAIN_TISSUES)].mean()
    return signals


def render(rng: np.random.Generator, fractions: Array, signals: dict[MRSequence, Vector], spacing_mm: float) -> Array:
    """Mix the tissues' signals with their texture.

    Parameters
    ----------
    rng
        Source of randomness.
    fractions
        float32, shape (len(Tissue), z, y, x).
    signals
        From :func:`draw_signals`.
    spacing_mm
        Of the grid.

    Returns
    -------
    float32, shape (4, z, y, x), in the order of ``Sequence``; brain tissue about 1.
    """
    shape = fractions.shape[1:]
    table = np.stack([signals[s] for s in REQUIRED_SEQUENCES]).astype(np.float32)
    clean = np.tensordot(table, fractions, 1)
    textures = smooth_noise(rng, shape, rng.uniform(5, 14) / spacing_mm, 2)
    tumour = fractions[Tissue.OEDEMA : Tissue.CAVITY].sum(0)
    fluid = fractions[Tissue.VENTRICLE] + fractions[Tissue.CSF]
    flow = np.clip(smooth_noise(rng, shape, 24 / spacing_mm)[0] - 0.5, 0, 3) * rng.uniform(0, 0.5)
    for k, sequence in enumerate(MRSequence):
        inside = rng.uniform(0.03, 0.16)
        grain = rng.uniform(0.005, 0.03)
        weight = rng.normal(0, 1, 2)
        texture = (weight[0] * textures[0] + weight[1] * textures[1]) / np.hypot(*weight)
        clean[k] *= 1 + texture * (grain + inside * tumour)
        if sequence is MRSequence.FLAIR:
            clean[k] += fluid * flow
    return np.maximum(clean, 0)


def _slices(rng: np.random.Generator, image: Array, spacing_mm: float) -> Array:
    """Thick slices in a random plane, read back onto the same grid."""
    thickness = float(rng.choice([0.0, 3.0, 4.0, 5.0, 6.5], p=[0.35, 0.2, 0.15, 0.2, 0.1]))
    blur = rng.uniform(0.0, 0.9) / spacing_mm
    sigma = [blur] * 3
    if thickness <= spacing_mm:
        return ndimage.gaussian_filter(image, sigma, truncate=2.5) if blur > 0.25 else image
    axis = int(rng.choice(3, p=[0.8, 0.1, 0.1]))
    sigma[axis] = thickness / 2.355 / spacing_mm * 0.8
    smooth = ndimage.gaussian_filter(image, sigma, truncate=2.5)
    size = list(image.shape)
    size[axis] = max(4, round(image.shape[axis] * spacing_mm / thickness))
    tensor = torch.from_numpy(smooth)[None, None]
    coarse = functional.interpolate(tensor, size=size, mode="trilinear", align_corners=True)
    return functional.interpolate(coarse, size=image.shape, mode="trilinear", align_corners=True)[0, 0].numpy()


def acquire(rng: np.random.Generator, clean: Array, spacing_mm: float) -> Array:
    """Degrade rendered sequences as a scanner does.

    Residual misalignment of a mm or two, coil bias, intensity non-linearity, thick slices, ringing and Rician noise.

    Parameters
    ----------
    rng
        Source of randomness.
    clean
        float32, shape (4, z, y, x).
    spacing_mm
        Of the grid.

    Returns
    -------
    float32, shape (4, z, y, x).
    """
    shape = clean.shape[1:]
    out = np.empty_like(clean)
    noisy = rng.choice([0.01, 0.03, 0.07], p=[0.4, 0.45, 0.15])
    for k in range(clean.shape[0]):
        image = clean[k]
        if rng.random() < 0.5:
            matrix, offset = random_affine(rng, shape, 0.6, 0.003, 0.5 / spacing_mm, flip=False)
            image = sample(image[None], apply_affine(coordinates(shape), matrix, offset))[0]
        bias = smooth_noise(rng, shape, rng.uniform(70, 160) / spacing_mm)[0] * rng.uniform(0.0, 0.22)
        image = _slices(rng, image, spacing_mm) * np.exp(bias)
        image = np.maximum(image, 0) ** np.float32(np.exp(rng.normal(0, 0.12)))
        amount = noisy * rng.uniform(0.3, 1.2)
        noise = rng.standard_normal((2, *shape), dtype=np.float32) * np.float32(amount)
        out[k] = np.sqrt((image + noise[0]) ** 2 + noise[1] ** 2)
    return out
