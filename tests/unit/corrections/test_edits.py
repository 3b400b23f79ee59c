"""Edits of the dashboard: what is malformed is refused, and what was painted is the correction that is kept."""

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydantic import ValidationError
from pydicom import Dataset

from pipeline.corrections.depths import UNTOUCHED, apply_edits, depths_of
from pipeline.corrections.edits import Edits
from pipeline.corrections.verdicts import Verdict
from pipeline.errors import GlioLoopError
from pipeline.names import TUMOUR_REGIONS, Region
from pipeline.objects.regions import REGION_STYLES
from pipeline.objects.rtstruct.edited import edited
from pipeline.objects.rtstruct.read import read_structure_set
from pipeline.objects.source import reference_series
from tests.unit.corrections.test_importing import SHAPE, Desk

Mask = NDArray[np.bool_]
SIZE = SHAPE[2], SHAPE[1], SHAPE[0]
WHEN = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
NUMBERS = {region: REGION_STYLES[region].number for region in TUMOUR_REGIONS}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


def edits_of(depths: NDArray[np.int8]) -> Edits:
    """Runs of what is touched, as the dashboard makes them."""
    slices = []
    for k, plane in enumerate(depths.reshape(len(depths), -1)):
        begins = np.flatnonzero(np.diff(plane, prepend=UNTOUCHED - 1))
        ends, runs, last = np.append(begins[1:], plane.size), [], 0
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            if plane[begin] != UNTOUCHED:
                runs += [begin - last, end - begin, int(plane[begin])]
                last = end
        if runs:
            slices.append({"slice": k, "runs": runs})
    return Edits.model_validate({"slices": slices})


def read(dataset: Dataset, desk: Desk) -> dict[Region, Mask]:
    found = {one.number: one.mask for one in read_structure_set(dataset, desk.volume)}
    return {region: sitk.GetArrayFromImage(found[number]) > 0 for region, number in NUMBERS.items()}


def drawn(desk: Desk, after: dict[Region, Mask], user: str = "j^doe", accept: bool = False, seed: str = "e") -> Dataset:
    series = reference_series(desk.headers, desk.volume)
    before = {NUMBERS[region]: mask for region, mask in read(desk.structure_set, desk).items()}
    masks = {NUMBERS[region]: mask for region, mask in after.items()}
    return edited(desk.structure_set, series, before, masks, user, WHEN, seed, accept)


def painted(rng: np.random.Generator) -> NDArray[np.int8]:
    """Boxes and single voxels of every depth, in the image's corners and over the tumour, with holes."""
    depths = np.full(SHAPE, UNTOUCHED, np.int8)
    for _ in range(12):
        k, j, i = (int(rng.integers(0, n)) for n in SHAPE)
        depths[k, j : j + rng.integers(1, 9), i : i + rng.integers(1, 9)] = rng.integers(0, 4)
    depths[10, 15:25, 20:28] = 0
    depths[0, 0, 0] = depths[-1, -1, -1] = 3
    return depths


@pytest.mark.parametrize("seed", range(4))
def test_what_was_painted_is_read_back_to_the_voxel(desk: Desk, seed: int) -> None:
    depths = painted(np.random.default_rng(seed))
    edits = edits_of(depths)
    assert (depths_of(edits, SIZE) == depths).all()
    before = read(desk.structure_set, desk)
    after = apply_edits(before, depths_of(edits, SIZE))
    assert (after[Region.ET] <= after[Region.TC]).all() and (after[Region.TC] <= after[Region.WT]).all()
    for depth, region in enumerate(TUMOUR_REGIONS, 1):
        touched = depths != UNTOUCHED
        assert (after[region][touched] == (depths >= depth)[touched]).all()
        assert (after[region][~touched] == before[region][~touched]).all()
    found = read(drawn(desk, after), desk)
    assert all((found[region] == after[region]).all() for region in TUMOUR_REGIONS)


def test_an_edit_is_kept_as_the_correction_that_was_drawn(desk: Desk) -> None:
    """Unapproved without trust; contours on slices that nobody touched are the automatic ones to the last digit."""
    depths = np.full(SHAPE, UNTOUCHED, np.int8)
    depths[10, 2:9, 3:12] = 2
    after = apply_edits(read(desk.structure_set, desk), depths)
    made = drawn(desk, after)
    assert (made.ApprovalStatus, made.OperatorsName, "ReviewerName" in made) == ("UNAPPROVED", "j doe", False)
    assert made.PredecessorStructureSetSequence[0].ReferencedSOPInstanceUID == desk.structure_set.SOPInstanceUID
    assert made.SOPInstanceUID == drawn(desk, after).SOPInstanceUID != desk.structure_set.SOPInstanceUID, (
        "twice is once"
    )
    assert "edited by a person" in made.StructureSetDescription and "(edited)" in made.SeriesDescription
    for number, algorithm in ((1, "SEMIAUTOMATIC"), (2, "SEMIAUTOMATIC"), (3, "AUTOMATIC")):
        assert made.StructureSetROISequence[number - 1].ROIGenerationAlgorithm == algorithm
    on = desk.volume.slices[10].sop_instance_uid
    for old, new in zip(desk.structure_set.ROIContourSequence, made.ROIContourSequence, strict=True):
        kept = [[one.ContourData for one in item.ContourSequence
                 if one.ContourImageSequence[0].ReferencedSOPInstanceUID != on] for item in (old, new)]  # fmt: skip
        assert kept[0] == kept[1]
        numbers = [int(one.ContourNumber) for one in new.ContourSequence]
        assert numbers == list(range(1, len(numbers) + 1))
    outcome = desk.hand_in(made)
    assert outcome.verdict is Verdict.CORRECTED and outcome.case is not None
    assert not outcome.case.trusted and outcome.case.approval == "UNAPPROVED"
    area = 7 * 9 * float(np.prod(desk.volume.image.GetSpacing())) / 1000
    for region in (Region.WT, Region.TC):
        change = outcome.case.regions[region.value]
        assert change.added_ml == pytest.approx(area, abs=2e-3) and change.removed_ml == 0
    assert outcome.case.regions["ET"].dice == 1
    assert float(made.StructureSetROISequence[0].ROIVolume) == pytest.approx(desk.ml(after[Region.WT]), abs=1e-3)


def test_an_edit_that_is_accepted_is_approved_by_its_user(desk: Desk, tmp_path: Path) -> None:
    """Everything is erased: the regions are deleted, not left as they were."""
    made = drawn(desk, {region: mask & False for region, mask in desk.automatic.items()}, accept=True, seed="a")
    assert (made.ApprovalStatus, made.ReviewerName, made.ReviewDate) == ("APPROVED", "j doe", made.SeriesDate)
    outcome = desk.hand_in(made)
    assert outcome.case is not None and outcome.case.trusted
    assert [one.corrected_ml for one in outcome.case.regions.values()] == [0, 0, 0]
    made.save_as(tmp_path / "edited.dcm", enforce_file_format=True)
    if shutil.which("dciodvfy"):
        told = subprocess.run(["dciodvfy", tmp_path / "edited.dcm"], capture_output=True, text=True, check=False).stderr
        assert "Error" not in told, told


@pytest.mark.parametrize(
    "slices",
    [
        [],
        [{"slice": -1, "runs": [0, 1, 1]}],
        [{"slice": 1.5, "runs": [0, 1, 1]}],
        [{"slice": True, "runs": [0, 1, 1]}],
        [{"slice": 0, "runs": [0, 1, -1]}],
        [{"slice": 0, "runs": ["0", 1, 1]}],
        [{"slice": 0, "runs": [0, 1, 1], "x": 1}],
        [{"slice": 0}],
    ],
)
def test_what_is_no_edit_is_no_record(slices: list[object]) -> None:
    with pytest.raises(ValidationError):
        Edits.model_validate({"slices": slices})


@pytest.mark.parametrize(
    "slices",
    [
        [{"slice": SHAPE[0], "runs": [0, 1, 1]}],
        [{"slice": 0, "runs": [0, 1, 1]}] * 2,
        [{"slice": 0, "runs": []}],
        [{"slice": 0, "runs": [0, 1]}],
        [{"slice": 0, "runs": [0, 0, 1]}],
        [{"slice": 0, "runs": [0, 1, 4]}],
        [{"slice": 0, "runs": [SIZE[0] * SIZE[1], 1, 1]}],
        [{"slice": 0, "runs": [0, 10**40, 1]}],
    ],
)
def test_what_lies_beyond_the_slices_is_refused(slices: list[object]) -> None:
    with pytest.raises(GlioLoopError, match="REQUEST_INVALID"):
        Edits.model_validate({"slices": slices}).check(SIZE)
