"""What one stage leaves, the next reads back the same; what is lost is told."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.case.workspace import Workspace
from pipeline.errors import GlioLoopError
from pipeline.names import MRSequence, Region
from pipeline.volume.records import SliceSource, SourceVolume


def test_volume_and_regions_come_back(tmp_path: Path) -> None:
    case = Workspace(tmp_path / "case")
    image = sitk.GetImageFromArray(np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32))
    image.SetSpacing((0.7, 0.8, 5.5))
    image.SetOrigin((-100.123456789, 3.0, 1 / 3))
    image.SetDirection(sitk.VersorTransform((0.1, 0.2, 0.3, 0.9)).GetMatrix())
    slices = tuple(SliceSource("1.2", f"1.2.{k}", None, (1 / 3, float(k), 0.1)) for k in range(3))
    case.write_volumes({MRSequence.T2: SourceVolume(image, slices, "1", "2", "3", 5.0)})
    (again,) = case.read_volumes().values()
    assert again.slices == slices
    assert (again.study_instance_uid, again.frame_of_reference_uid, again.slice_thickness_mm) == ("1", "3", 5.0)
    assert (sitk.GetArrayFromImage(again.image) == sitk.GetArrayFromImage(image)).all()
    for one, other in zip(
        again.image.GetOrigin() + again.image.GetDirection() + again.image.GetSpacing(),
        image.GetOrigin() + image.GetDirection() + image.GetSpacing(),
        strict=True,
    ):
        assert one == pytest.approx(other, abs=1e-9)
    case.write_regions("mask", {Region.WT: image})
    assert list(case.read_regions("mask")) == [Region.WT]


def test_lost_files_have_their_code(tmp_path: Path) -> None:
    case = Workspace(tmp_path / "case")
    with pytest.raises(GlioLoopError, match="CASE_LOST"):
        case.read_json("alignment")
    with pytest.raises(GlioLoopError, match="CASE_LOST"):
        case.read_image("volume-t1")


def test_a_volume_that_is_lost_is_no_sequence_that_lacks(tmp_path: Path) -> None:
    case = Workspace(tmp_path / "case")
    one = SourceVolume(sitk.Image(2, 2, 2, sitk.sitkFloat32), (), "1", "2", "3")
    case.write_volumes({MRSequence.T1C: one, MRSequence.T2: one})
    (case.path / "volume-t2.mha").unlink()
    with pytest.raises(GlioLoopError, match="CASE_LOST"):
        case.read_volumes()


def test_tidy_keeps_the_result(tmp_path: Path) -> None:
    case = Workspace(tmp_path / "case")
    case.write_image("probability-WT", sitk.Image(2, 2, 2, sitk.sitkFloat32))
    case.write_bytes("objects/rtstruct.dcm", b"x")
    case.write_bytes("objects/overlay/0001.dcm", b"large, and in the archive")
    case.write_json("result", {"a": 1})
    remains = sorted(str(path.relative_to(case.path)) for path in case.remains)
    case.source(MRSequence.T1).mkdir(parents=True)
    case.tidy()
    left = sorted(str(path.relative_to(case.path)) for path in case.path.rglob("*") if path.is_file())
    assert left == remains == ["objects/rtstruct.dcm", "result.json"]
    assert not case.source(MRSequence.T1).exists()
