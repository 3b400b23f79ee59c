"""An evaluation by groups, and lesions scored one by one, against values worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import find_groups
from pipeline.evaluation.lesions import EMPTY_HD95_MM, score_lesions
from pipeline.evaluation.metrics import score_region
from pipeline.evaluation.pictures import draw_case, draw_gallery
from pipeline.evaluation.report import write_report
from pipeline.evaluation.summary import CaseResult, summarise
from pipeline.evaluation.volumes import draw_volumes
from pipeline.names import TUMOUR_REGIONS, MRSequence

MM = (1.0, 1.0, 1.0)


def _blocks(*starts: int, size: int = 60) -> np.ndarray:
    mask = np.zeros((size, 20, 20), dtype=bool)
    for start in starts:
        mask[start : start + 6, 5:15, 5:15] = True
    return mask


def test_every_lesion_counts_the_same_and_false_ones_count_as_missed() -> None:
    # one of two lesions found exactly, one missed, one false: three times a third
    score = score_lesions(_blocks(2, 48), _blocks(2, 25), MM)
    assert score.dice == pytest.approx(1 / 3)
    assert score.hd95_mm == pytest.approx(2 / 3 * EMPTY_HD95_MM)


def test_near_parts_of_the_truth_are_one_lesion() -> None:
    # four voxels apart: their dilations by three touch, so finding one of both is half a lesion found
    score = score_lesions(_blocks(2), _blocks(2, 12), MM)
    assert score.dice == pytest.approx(2 * 600 / (600 + 1200))
    assert score.hd95_mm < EMPTY_HD95_MM


def test_specks_are_not_counted() -> None:
    speck = np.zeros((60, 20, 20), dtype=bool)
    speck[50:53, 2:6, 2:6] = True  # 48 mm3
    assert score_lesions(_blocks(2) | speck, _blocks(2), MM).dice == 1.0
    assert score_lesions(speck, np.zeros_like(speck), MM).dice == 1.0
    assert score_lesions(speck, np.zeros_like(speck), (2.0, 1.0, 1.0)).dice == 0.0


def _result(name: str, group: str, shift: int, uncertainty: float) -> CaseResult:
    score = score_region(_blocks(2 + shift), _blocks(2), MM)
    return CaseResult(name, dict.fromkeys(TUMOUR_REGIONS, score), (), 1.0, uncertainty, 1300.0, group)


def test_groups_have_their_own_means_and_the_doubt_ranks_cases(tmp_path: Path) -> None:
    results = [_result("a", "tuning", 0, 0.1), _result("b", "tuning", 3, 0.5), _result("c", "validation", 1, 0.2)]
    summary = json.loads(json.dumps(summarise("net@1", results)))
    assert summary["n"] == 3
    assert {name: group["n"] for name, group in summary["groups"].items()} == {"tuning": 2, "validation": 1}
    assert summary["groups"]["tuning"]["mean"]["WT"]["dice"] == pytest.approx(0.75)
    assert summary["groups"]["tuning"]["mean"]["WT"]["median"] == pytest.approx(0.75)
    assert summary["mean"]["WT"]["worst"] == pytest.approx(0.5)
    assert summary["doubt"] == pytest.approx(-1)
    assert [case["group"] for case in summary["cases"]] == ["tuning", "tuning", "validation"]
    write_report(summary, results, tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert report.index("## tuning") < report.index("### b") < report.index("### a") < report.index("## validation")


def test_folders_of_groups_are_found(tmp_path: Path) -> None:
    for group in ("train", "tuning"):
        folder = tmp_path / group / f"case-{group}"
        folder.mkdir(parents=True)
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4, 4), np.uint8)), str(folder / "c_t1.nii.gz"))
    (tmp_path / "notes").mkdir()
    assert {name: [case.name for case in cases] for name, cases in find_groups(tmp_path).items()} == {
        "train": ["case-train"],
        "tuning": ["case-tuning"],
    }
    assert list(find_groups(tmp_path / "train")) == ["train"]
    with pytest.raises(GlioLoopError, match="STUDY_EMPTY"):
        find_groups(tmp_path / "notes")


def test_gallery_and_volumes_are_pictures(tmp_path: Path) -> None:
    images = {s: np.random.default_rng(0).random((60, 20, 20)).astype(np.float32) for s in MRSequence}
    masks = dict.fromkeys(TUMOUR_REGIONS, _blocks(2))
    for name in ("a", "b"):
        draw_case(images, masks, masks, tmp_path / f"{name}.png", name)
    draw_gallery([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "gallery.png", width=160)
    draw_volumes([_result("a", "g", 0, 0.1).scores], tmp_path / "volumes.png", "g")
    with Image.open(tmp_path / "gallery.png") as gallery, Image.open(tmp_path / "a.png") as one:
        assert gallery.size == (160, 2 * round(one.height * 160 / one.width))
    with Image.open(tmp_path / "volumes.png") as volumes:
        assert len(volumes.getcolors(10_000)) > 5
