"""What the values of a segmentation mean: BraTS changed it, and a cavity must not pass for enhancing tumour."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import find_cases
from pipeline.evaluation.labels import LabelScheme, scheme_of

#: Grey values on T1 and T1c.
BRAIN, OEDEMA, ENHANCING, NECROSIS, CAVITY, BLOOD = (100, 100), (80, 80), (80, 160), (70, 70), (40, 40), (170, 170)


def write(folder: Path, tissues: dict[int, tuple[int, int]], *sequences: str) -> Path:
    """A ball of a brain with a block of each label, as the tissue that it is."""
    rng = np.random.default_rng(1)
    labels = np.zeros((24, 24, 24), np.uint8)
    images = {name: np.full(labels.shape, BRAIN[name == "t1c"], np.float32) for name in ("t1n", "t1c")}
    for place, (label, greys) in enumerate(tissues.items()):
        labels[4:20, 4:20, 4 * place + 2 : 4 * place + 6] = label
        for name, grey in zip(images, greys, strict=True):
            images[name][labels == label] = grey
    folder.mkdir()
    for name in sequences or images:
        noisy = images[name] + rng.normal(0, 10, labels.shape)
        sitk.WriteImage(sitk.GetImageFromArray(noisy.astype(np.float32)), folder / f"a-{name}.nii.gz")
    sitk.WriteImage(sitk.GetImageFromArray(labels), folder / "a-seg.nii.gz")
    return folder


def scheme(folder: Path) -> LabelScheme:
    (case,) = find_cases(folder)
    return scheme_of(case)


@pytest.mark.parametrize(
    ("tissues", "enhancing", "core", "whole"),
    [
        ({1: NECROSIS, 2: OEDEMA, 4: ENHANCING}, {4}, {1, 4}, {1, 2, 4}),
        ({1: NECROSIS, 2: OEDEMA, 3: ENHANCING}, {3}, {1, 3}, {1, 2, 3}),
        ({1: NECROSIS, 2: OEDEMA, 3: ENHANCING, 4: CAVITY}, {3}, {1, 3}, {1, 2, 3}),
        ({1: NECROSIS, 2: OEDEMA, 3: NECROSIS, 4: ENHANCING}, {4}, {1, 3, 4}, {1, 2, 3, 4}),
        ({2: OEDEMA, 4: CAVITY}, set(), set(), {2}),
        ({1: NECROSIS, 2: OEDEMA, 3: NECROSIS}, set(), {1, 3}, {1, 2, 3}),
        ({4: ENHANCING}, {4}, {4}, {4}),
        ({1: NECROSIS, 2: OEDEMA}, set(), {1}, {1, 2}),
        ({}, set(), set(), set()),
    ],
)
def test_values_and_images_tell_the_scheme(
    tissues: dict[int, tuple[int, int]], enhancing: set[int], core: set[int], whole: set[int], tmp_path: Path
) -> None:
    found = scheme(write(tmp_path / "case", tissues))
    assert {*found.enhancing} & {*tissues} == enhancing
    assert {*found.core} & {*tissues} == core
    assert {*found.whole} & {*tissues} == whole


@pytest.mark.parametrize(
    ("tissues", "sequences"),
    [
        ({2: OEDEMA, 4: BLOOD}, ()),  # bright before contrast: a cavity after surgery may be
        ({2: OEDEMA, 3: ENHANCING, 4: ENHANCING}, ()),
        ({2: OEDEMA, 3: NECROSIS, 4: NECROSIS}, ()),
        ({1: NECROSIS, 2: OEDEMA, 4: ENHANCING}, ("t1n",)),
        ({1: NECROSIS, 2: OEDEMA, 5: ENHANCING}, ()),
    ],
)
def test_what_stays_doubtful_is_refused(
    tissues: dict[int, tuple[int, int]], sequences: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(GlioLoopError) as refused:
        scheme(write(tmp_path / "case", tissues, *sequences))
    assert refused.value.code == "LABELS_AMBIGUOUS"
