"""A look apart from the network: its images wait in the case's folder, and are looked at where nothing was found."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.align import Alignment
from pipeline.case.outcomes import RestoredVolumes
from pipeline.case.stages import infer_stage, restore_stage
from pipeline.case.workspace import Workspace
from pipeline.names import MRSequence, Region
from tests.unit.case.test_cavity import LEVELS, SHAPE, SPACING, write_network
from tests.unit.objects.phantom import image_like, phantom_series, signed_distance


def restored(case: Workspace, brightness: float) -> RestoredVolumes:
    """Restore a head with something on its left side that is as bright on FLAIR."""
    _, volume = phantom_series(SHAPE, SPACING)
    middle = [(n - 1) / 2 * s for n, s in zip(SHAPE[::-1], SPACING, strict=True)]
    brain = 100.0 * (signed_distance(volume) < 62)
    lesion = signed_distance(volume, (middle[0] + 30, middle[1], middle[2])) < 20
    seen = dict.fromkeys(MRSequence, brain) | {MRSequence.FLAIR: np.where(lesion, brightness, brain)}
    case.write_volumes(
        {one: replace(volume, image=image_like(values.astype(np.float32), volume)) for one, values in seen.items()}
    )
    case.write_alignments(dict.fromkeys(seen, Alignment(sitk.Euler3DTransform(), 0.0, 1.0, 0.0, 0.0, ())))
    model = write_network(case.path / "network", [one for one in LEVELS if one is not Region.CAVITY])
    infer_stage(case, MRSequence.T1C, model, lambda _: None)
    return restore_stage(case, MRSequence.T1C, model.card)


@pytest.mark.parametrize(
    ("brightness", "codes"), [(140, ["NO_TUMOUR_FOUND", "SUSPICIOUS_SIGNAL"]), (200, []), (100, ["NO_TUMOUR_FOUND"])]
)
def test_what_no_network_drew_is_told(case: Workspace, brightness: float, codes: list[str]) -> None:
    flags = restored(case, brightness).flags
    assert [one.code for one in flags] == codes
    assert all(one.detail.startswith("left side") for one in flags if one.code == "SUSPICIOUS_SIGNAL")


@pytest.fixture
def case(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("case"))
