"""Real studies displaced and re-sliced by known transforms, and the distance between two transforms."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.align.prepare import prepare
from pipeline.align.register import register
from pipeline.evaluation.cases import find_cases
from pipeline.names import MRSequence
from pipeline.volume import SourceVolume, read_volume

PROMISED = (0.0, 40.0), (0.0, 25.0)  # mm and degrees, from and to
BEYOND = (40.0, 100.0), (40.0, 150.0)
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Study:
    """A study to displace.

    Attributes
    ----------
    name
        Of its folder.
    volumes
        Its sequences.
    points
        500 points of the brain in the T1c's space, LPS mm.
    clinical
        The patient has moved between the sequences, so there is no truth but consistency. Otherwise the data set
        gives the sequences as aligned with each other: truth is the identity.
    """

    name: str
    volumes: dict[MRSequence, SourceVolume]
    points: Points
    clinical: bool

    @property
    def reference(self) -> SourceVolume:
        """The sequence to which the others are aligned."""
        return self.volumes[MRSequence.T1C]


@dataclass(frozen=True)
class Displaced:
    """Displacement ``number`` of a study: one of its sequences, which take turns, by a transform of its own.

    Every other round of a clinical study keeps the voxels that the scanner gave; everything else is re-sliced.
    ``beyond`` goes farther than alignment promises to follow.
    """

    study: Study
    number: int
    beyond: bool = False

    @property
    def sequence(self) -> MRSequence:
        """What is displaced."""
        others = [sequence for sequence in self.study.volumes if sequence is not MRSequence.T1C]
        return others[self.number % len(others)]

    @property
    def resliced(self) -> bool:
        """Whether the image is resampled to another grid."""
        return not self.study.clinical or self.number // (len(self.study.volumes) - 1) % 2 == 1

    @property
    def displacement(self) -> sitk.Euler3DTransform:
        """Maps points of the patient before to points after."""
        return self._made()[0]

    def moving(self) -> SourceVolume:
        """The volume with a header that says that the patient lies elsewhere."""
        displacement, rng = self._made()
        volume = self.study.volumes[self.sequence]
        image = on_another_grid(volume.image, rng) if self.resliced else volume.image
        return replace(volume, image=displaced(image, displacement))

    def _made(self) -> tuple[sitk.Euler3DTransform, np.random.Generator]:
        rng = np.random.default_rng([self.number, *self.study.name.encode()])
        reach = BEYOND if self.beyond else PROMISED
        return random_displacement(rng, self.study.points.mean(axis=0), *reach), rng


def clinical_study(shared: Path) -> Study:
    """The clinical study; points are those of its brain as the peers' own preprocessing cut it out."""
    folder = shared / "tcga-fg-6692"
    volumes = {s: read_volume(sorted((folder / "dicom" / s.value).glob("*.dcm"))) for s in MRSequence}
    atlas = sitk.ReadImage(str(folder / "peer-segmentations" / "t1c_atlas_space.nii.gz"), sitk.sitkFloat32)
    # Good to a millimetre or two, which is enough to tell brain from face and neck.
    to_atlas = register(prepare(volumes[MRSequence.T1C].image), prepare(atlas), same_frame=False).transform
    inside = brain_points(atlas)
    points = np.array([to_atlas.GetInverse().TransformPoint(point) for point in inside.tolist()])
    return Study("tcga-fg-6692", volumes, points, clinical=True)


def research_studies(shared: Path) -> Iterator[Study]:
    """The cases for tuning that have a T1c and at least one other sequence."""
    for case in find_cases(shared / "brats-cases" / "tuning"):
        volumes = {s: volume_of(image, s.value) for s, image in case.read_images().items()}
        if MRSequence.T1C in volumes and len(volumes) > 1:
            yield Study(case.name, volumes, brain_points(volumes[MRSequence.T1C].image), clinical=False)


def volume_of(image: sitk.Image, name: str = "") -> SourceVolume:
    """A volume without slice records: all that alignment needs."""
    return SourceVolume(sitk.Cast(image, sitk.sitkFloat32), (), "study", name, "frame")


def brain_points(image: sitk.Image, count: int = 500) -> Points:
    """Points of a brain that was cut out: where the image is not its background, its commonest value."""
    values = sitk.GetArrayViewFromImage(image)
    background = values.flat[0]
    return _chosen(image, np.argwhere(values != background), count)


def head_points(image: sitk.Image, count: int = 500) -> Points:
    """Points inside the head, LPS mm, the same for the same image."""
    mask = sitk.GetArrayFromImage(sitk.OtsuThreshold(sitk.SmoothingRecursiveGaussian(image, 3.0), 0, 1)) > 0
    return _chosen(image, np.argwhere(mask), count)


def _chosen(image: sitk.Image, indices: NDArray[np.int64], count: int) -> Points:
    chosen = indices[np.random.default_rng(0).choice(len(indices), count), ::-1]
    return np.array([image.TransformIndexToPhysicalPoint([int(i) for i in index]) for index in chosen])


def random_displacement(
    rng: np.random.Generator,
    centre: Points,
    shift_mm: tuple[float, float] = PROMISED[0],
    turn_deg: tuple[float, float] = PROMISED[1],
) -> sitk.Euler3DTransform:
    """Turn about a random axis by up to 25 degrees and shift in a random direction by up to 40 mm."""
    axis, direction = (vector / np.linalg.norm(vector) for vector in rng.normal(size=(2, 3)))
    turn = sitk.VersorRigid3DTransform()
    turn.SetRotation(axis.tolist(), float(np.radians(rng.uniform(*turn_deg))))
    moved = sitk.Euler3DTransform()
    moved.SetCenter(centre.tolist())
    moved.SetMatrix(turn.GetMatrix())
    moved.SetTranslation((direction * rng.uniform(*shift_mm)).tolist())
    return moved


def displaced(image: sitk.Image, displacement: sitk.Euler3DTransform) -> sitk.Image:
    """The same pixels with a header that says that the patient lies elsewhere: x becomes displacement(x)."""
    moved = sitk.Image(image)
    matrix = np.array(displacement.GetMatrix()).reshape(3, 3)
    moved.SetOrigin(displacement.TransformPoint(image.GetOrigin()))
    moved.SetDirection((matrix @ np.array(image.GetDirection()).reshape(3, 3)).ravel().tolist())
    return moved


def on_another_grid(image: sitk.Image, rng: np.random.Generator) -> sitk.Image:
    """The image on an oblique grid (up to 15 degrees) with slices of 1 to 5.5 mm along a random axis."""
    size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
    thickness, along = float(rng.uniform(1.0, 5.5)), int(rng.integers(3))
    new_spacing = spacing.copy()
    new_spacing[along] = max(thickness, float(spacing[along]))
    new_size = np.maximum(np.round(size * spacing / new_spacing), 8).astype(int)
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*(float(angle) for angle in np.radians(rng.uniform(-15, 15, 3))))
    direction = np.array(turn.GetMatrix()).reshape(3, 3) @ np.array(image.GetDirection()).reshape(3, 3)
    middle = np.array(image.TransformContinuousIndexToPhysicalPoint(((size - 1) / 2).tolist()))
    grid = sitk.Image(new_size.tolist(), sitk.sitkUInt8)
    grid.SetSpacing(new_spacing.tolist())
    grid.SetDirection(direction.ravel().tolist())
    grid.SetOrigin((middle - direction @ (new_spacing * (new_size - 1) / 2)).tolist())
    sigma = [max(s, 1e-3) for s in np.where(np.arange(3) == along, 0.4 * new_spacing, 1e-3)]
    smooth = sitk.SmoothingRecursiveGaussian(image, sigma) if thickness > spacing[along] else image
    background = float(sitk.GetArrayViewFromImage(image).flat[0])
    return sitk.Resample(smooth, grid, sitk.Transform(), sitk.sitkLinear, background)


def chained(second: sitk.Transform, first: sitk.Transform) -> sitk.Euler3DTransform:
    """One rigid transform for ``second(first(x))``."""
    both = sitk.Euler3DTransform()
    # The nearest rotation: a peer's matrix comes from a text file and is rounded.
    left, _, right = np.linalg.svd(_matrix(second) @ _matrix(first))
    both.SetMatrix((left @ right).ravel().tolist(), 1e-6)
    both.SetTranslation(second.TransformPoint(first.TransformPoint((0.0, 0.0, 0.0))))
    return both


def target_errors(found: sitk.Transform, true: sitk.Transform, points: Points) -> Points:
    """Distance between where two transforms bring each point, mm."""
    apart = [np.subtract(found.TransformPoint(point), true.TransformPoint(point)) for point in points.tolist()]
    return np.asarray(np.linalg.norm(np.array(apart).reshape(-1, 3), axis=1))


def angle_between(found: sitk.Transform, true: sitk.Transform) -> float:
    """Angle of the rotation that is left, degrees."""
    trace = np.trace(_matrix(found).T @ _matrix(true))
    return float(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))))


def _matrix(transform: sitk.Transform) -> NDArray[np.float64]:
    """3x3 matrix of a rigid transform of any of ITK's kinds."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    return np.array([np.subtract(transform.TransformPoint(unit), origin) for unit in np.eye(3).tolist()]).T
