"""BraTS-layout cases of several spellings."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import find_cases, with_dark_background
from pipeline.names import MRSequence


def _write(path: Path, values: np.ndarray) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))


@pytest.mark.parametrize(
    "names",
    [
        ("c_t1", "c_t1ce", "c_t2", "c_flair", "c_seg"),
        ("c-t1n", "c-t1c", "c-t2w", "c-t2f", "c-seg"),
        ("c_t1", "c_t1gd", "c_t2", "c_flair", "c_seg"),
    ],
)
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_spellings(tmp_path: Path, names: tuple[str, ...], ending: str) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    for number, name in enumerate(names):
        _write(folder / f"{name}{ending}", np.full((4, 4, 4), number, dtype=np.uint8))
    (case,) = find_cases(tmp_path)
    images = case.read_images()
    assert [float(sitk.GetArrayFromImage(images[s]).max()) for s in MRSequence] == [0, 1, 2, 3]
    assert int(sitk.GetArrayFromImage(case.read_labels()).max()) == 4


def test_a_missing_sequence_is_no_hindrance(tmp_path: Path) -> None:
    _write(tmp_path / "a_flair.nii.gz", np.zeros((4, 4, 4), dtype=np.uint8))
    (case,) = find_cases(tmp_path)
    assert list(case.files) == [MRSequence.FLAIR]
    assert case.without([MRSequence.T1]) == case
    assert not case.without([MRSequence.FLAIR]).files
    with pytest.raises(GlioLoopError, match="FILE_UNREADABLE"):
        case.read_labels()


def test_nothing_to_evaluate_is_said(tmp_path: Path) -> None:
    with pytest.raises(GlioLoopError, match="STUDY_EMPTY"):
        find_cases(tmp_path)


def test_background_of_a_zero_mean_volume_goes_below_the_brain() -> None:
    values = np.zeros((10, 10, 10), dtype=np.float32)
    values[3:7, 3:7, 3:7] = np.random.default_rng(0).standard_normal((4, 4, 4))
    lifted = sitk.GetArrayFromImage(with_dark_background(sitk.GetImageFromArray(values)))
    assert lifted[0, 0, 0] == 0
    assert lifted[3:7, 3:7, 3:7].min() > 0
    inside = values[3:7, 3:7, 3:7]
    np.testing.assert_allclose(np.diff(lifted[3:7, 3:7, 3:7].ravel()), np.diff(inside.ravel()), atol=1e-5)


def test_ordinary_volumes_are_left_alone() -> None:
    values = np.abs(np.random.default_rng(0).standard_normal((6, 6, 6))).astype(np.float32)
    values[:3] = 0
    np.testing.assert_array_equal(sitk.GetArrayFromImage(with_dark_background(sitk.GetImageFromArray(values))), values)


def test_background_of_a_normalised_volume_becomes_zero_though_it_is_the_lowest_value() -> None:
    values = np.full((10, 10, 10), -700, dtype=np.float32)
    values[3:7, 3:7, 3:7] = np.random.default_rng(0).uniform(-690, 500, (4, 4, 4))
    lifted = sitk.GetArrayFromImage(with_dark_background(sitk.GetImageFromArray(values)))
    assert lifted.min() == lifted[0, 0, 0] == 0
    assert lifted[3:7, 3:7, 3:7].min() > 0
