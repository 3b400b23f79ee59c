"""Tissues of the head: which label is which, and how each relaxes.

Relaxation times are mid-range values between 1.5 T and 3 T, after Stanisz et al., Magn Reson Med 54
(2005) 507-512, Bojorquez et al., Magn Reson Imaging 35 (2017) 69-80 and, for gliomas, Just and Thelen,
Radiology 169 (1988) 779-785. They are centres of wide random draws, not measurements.
"""

from dataclasses import dataclass
from enum import IntEnum


class Tissue(IntEnum):
    """Channel of a tissue in the fraction arrays, shape (len(Tissue), z, y, x)."""

    AIR = 0
    WHITE = 1
    CORTEX = 2
    DEEP_GREY = 3
    VENTRICLE = 4
    CSF = 5
    ARTERY = 6
    VEIN = 7
    DURA = 8
    FAT = 9
    MUSCLE = 10
    SKIN = 11
    BONE = 12
    MARROW = 13
    EYE = 14
    MUCOSA = 15
    CHOROID = 16
    LESION = 17
    OEDEMA = 18
    NON_ENHANCING = 19
    NECROSIS = 20
    ENHANCING = 21
    BLOOD = 22
    CAVITY = 23


ANATOMY = 16
"""The first 16 tissues come from the label map; the others are drawn for each study."""

BRAIN_TISSUES = (Tissue.WHITE, Tissue.CORTEX, Tissue.DEEP_GREY)

LABELS: dict[Tissue, tuple[int, ...]] = {
    Tissue.WHITE: (2, 41, 7, 46, 16, 25, 57, 28, 60, 85, 512, 530, 508),
    Tissue.CORTEX: (3, 42, 8, 47, 17, 53, 18, 54, 163, 164, 136, 137),
    Tissue.DEEP_GREY: (10, 49, 11, 50, 12, 51, 13, 52, 26, 58),
    Tissue.VENTRICLE: (4, 43, 5, 44, 14, 15, 72),
    Tissue.CSF: (24,),
    Tissue.ARTERY: (502, 30, 62),
    Tissue.VEIN: (514,),
    Tissue.MUSCLE: (507,),
    Tissue.SKIN: (511,),
    Tissue.BONE: (515,),
    Tissue.MARROW: (516,),
    Tissue.EYE: (506,),
    Tissue.MUCOSA: (509,),
}
"""FreeSurfer's labels of the brain; outside it 502 arteries, 506 eyes, 507 soft tissue, 508 optic nerve,
509 mucosa, 511 skin, 512 cord, 514 veins and sinuses, 515 cortical bone, 516 marrow, 530 chiasm
(seen by rendering the maps; soft tissue is split into fat and muscle in heads.py)."""


@dataclass(frozen=True)
class Relaxation:
    """Centre and spread of a tissue's MR parameters.

    Attributes
    ----------
    t1, t2
        ms.
    density
        Proton density relative to water.
    t1_enhanced
        T1 after contrast medium, ms; equal to t1 where the tissue does not take it up.
    spread
        Standard deviation of the logarithm of the draws of t1, t2 and t1_enhanced.
    """

    t1: float
    t2: float
    density: float
    t1_enhanced: float
    spread: float = 0.07


RELAXATION: dict[Tissue, Relaxation] = {
    Tissue.AIR: Relaxation(1000, 5, 0.0, 1000),
    Tissue.WHITE: Relaxation(800, 75, 0.70, 780),
    Tissue.CORTEX: Relaxation(1300, 95, 0.82, 1230),
    Tissue.DEEP_GREY: Relaxation(1080, 82, 0.79, 1040),
    Tissue.VENTRICLE: Relaxation(4000, 1500, 1.0, 4000, 0.05),
    Tissue.CSF: Relaxation(3900, 1200, 0.98, 3700, 0.08),
    Tissue.ARTERY: Relaxation(1500, 60, 0.35, 330, 0.3),
    Tissue.VEIN: Relaxation(1500, 70, 0.45, 350, 0.3),
    Tissue.DURA: Relaxation(950, 55, 0.50, 560, 0.25),
    Tissue.FAT: Relaxation(350, 100, 0.95, 350, 0.12),
    Tissue.MUSCLE: Relaxation(1050, 42, 0.76, 850, 0.12),
    Tissue.SKIN: Relaxation(800, 55, 0.70, 650, 0.2),
    Tissue.BONE: Relaxation(500, 5, 0.12, 500, 0.3),
    Tissue.MARROW: Relaxation(480, 70, 0.65, 450, 0.25),
    Tissue.EYE: Relaxation(3600, 800, 0.99, 3600, 0.1),
    Tissue.MUCOSA: Relaxation(1400, 110, 0.83, 480, 0.2),
    Tissue.CHOROID: Relaxation(1500, 140, 0.85, 560, 0.2),
    Tissue.LESION: Relaxation(1400, 135, 0.84, 1390, 0.12),
    Tissue.OEDEMA: Relaxation(1550, 145, 0.86, 1520, 0.11),
    Tissue.NON_ENHANCING: Relaxation(1700, 155, 0.87, 1550, 0.14),
    Tissue.NECROSIS: Relaxation(2200, 280, 0.91, 2000, 0.28),
    Tissue.ENHANCING: Relaxation(1450, 120, 0.85, 490, 0.17),
    Tissue.BLOOD: Relaxation(850, 70, 0.80, 800, 0.4),
    Tissue.CAVITY: Relaxation(3500, 1000, 0.97, 3300, 0.15),
}
