"""MONAI bundles: what becomes of them, and what is refused by name."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.conversion.__main__ import convert
from pipeline.conversion.request import ConversionRequest
from pipeline.errors import GlioLoopError
from pipeline.inference.channels import regions_of
from pipeline.inference.session import load_network
from pipeline.names import MRSequence, Region
from pipeline.registry import CARD, InstalledModel, ModelCard
from tests.unit.conversion.folders import monai_bundle, nets, torch


def converted(folder: Path, **changes: Any) -> InstalledModel:
    out = folder.parent / "out"
    convert(ConversionRequest.model_validate({"tool": "monai", "folder": folder, "out": out, **changes}))
    return InstalledModel(ModelCard.model_validate_json((out / CARD).read_text()), out)


@pytest.mark.parametrize(("network", "script"), [("SegResNet", False), ("UNet", False), ("SegResNet", True)])
def test_a_bundle_as_of_brats(tmp_path: Path, network: str, script: bool) -> None:
    model = converted(monai_bundle(tmp_path / "bundle", network, script))
    grid = model.card.grid
    assert grid.order == (MRSequence.T1C, MRSequence.T1, MRSequence.T2, MRSequence.FLAIR)
    assert (grid.window, grid.fixed, grid.overlap) == ((32, 24, 16), True, 0.5)
    assert (grid.importance, grid.placement, grid.normalisations) == ("constant", "strided", ("z_score_nonzero",) * 4)
    assert (grid.orientation, grid.spacing_mm) == ("LPS", (1, 1, 1))
    assert {one.region: one.channels for one in model.card.outputs} == {
        Region.TC: (0,),
        Region.WT: (1,),
        Region.ET: (2,),
    }
    assert any("as BraTS" in note for note in model.card.limitations)
    images = np.random.default_rng(1).standard_normal((1, 4, 32, 24, 16)).astype(np.float32)
    if network == "SegResNet":
        made = nets.SegResNet(3, init_filters=8, in_channels=4, out_channels=3, blocks_down=(1, 1), blocks_up=(1,))
        path = tmp_path / "bundle" / "models"
        weights = torch.jit.load(path / "model.ts").state_dict() if script else torch.load(path / "model.pt")
        made.load_state_dict(weights)
        with torch.no_grad():
            expected = made.eval()(torch.from_numpy(images.transpose(0, 1, 4, 3, 2).copy())).numpy()
        found = load_network(model, model.card.file)(images)
        np.testing.assert_allclose(found, expected.transpose(0, 1, 4, 3, 2), atol=1e-4)


def _with(key: str, *transforms: dict[str, Any]) -> dict[str, Any]:
    return {"config": {key: {"_target_": "Compose", "transforms": list(transforms)}}}


NORMALISED = {"_target_": "NormalizeIntensityd", "nonzero": False, "channel_wise": True}


def test_transforms_that_are_known(tmp_path: Path) -> None:
    before = _with(
        "preprocessing",
        {"_target_": "monai.transforms.LoadImaged", "keys": ["flair", "t1", "t1ce", "t2"]},
        {"_target_": "Orientationd", "axcodes": "RAS"},
        {"_target_": "Spacingd", "pixdim": [1.5, 1.0, 2.0], "mode": "bilinear"},
        NORMALISED,
        {"_target_": "ConcatItemsd", "keys": ["flair", "t1", "t1ce", "t2"]},
        {"_target_": "RandFlipd", "_disabled_": True},
    )
    after = _with(
        "postprocessing", {"_target_": "Activationsd", "softmax": True}, {"_target_": "AsDiscreted", "argmax": True}
    )
    names = {"0": "background", "1": "edema", "2": "enhancing tumor"}
    names_of = {"network_data_format": {"outputs": {"pred": {"channel_def": names}}}}
    window = {"_target_": "SlidingWindowInferer", "roi_size": [16, 24, 32], "overlap": 0.25, "mode": "gaussian"}
    config = before["config"] | after["config"] | {"inferer": window}
    folder = monai_bundle(tmp_path / "bundle", config=config, metadata=names_of)
    with pytest.raises(GlioLoopError, match="no output is TC") as refused:
        converted(folder, labels={"enhancing tumor": "WT"})
    assert refused.value.code == "IMPORT_REGION_UNKNOWN"
    card = converted(folder).card
    assert card.grid.order == (MRSequence.FLAIR, MRSequence.T1, MRSequence.T1C, MRSequence.T2)
    assert (card.grid.orientation, card.grid.spacing_mm) == ("RAS", (1.5, 1.0, 2.0))
    assert (card.grid.importance, card.grid.overlap) == ("gaussian", 0.25)
    assert card.grid.normalisations == ("z_score",) * 4
    assert (card.activation, card.decision) == ("softmax", "argmax")


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        (_with("preprocessing", {"_target_": "CropForegroundd"}), "IMPORT_UNSUPPORTED", "CropForegroundd"),
        (_with("preprocessing", NORMALISED | {"channel_wise": False}), "IMPORT_UNSUPPORTED", "NormalizeIntensity"),
        (_with("preprocessing", NORMALISED | {"divisor": 3}), "IMPORT_UNSUPPORTED", "divisor"),
        (
            _with("postprocessing", {"_target_": "KeepLargestConnectedComponentd"}),
            "IMPORT_UNSUPPORTED",
            "KeepLargestConnectedComponentd",
        ),
        (_with("postprocessing"), "IMPORT_UNSUPPORTED", "Activations"),
        ({"config": {"inferer": {"_target_": "SimpleInferer"}}}, "IMPORT_UNSUPPORTED", "SimpleInferer"),
        ({"config": {"network_def": {"_target_": "os.system"}}}, "IMPORT_UNSUPPORTED", "os.system"),
        ({"config": {"network_def": "$__import__('os').system('false')"}}, "IMPORT_UNREADABLE", "network_def"),
        ({"metadata": {"name": "other"}}, "IMPORT_UNREADABLE", "--spacing"),
        ({"metadata": {"network_data_format": {}}}, "IMPORT_CHANNEL_UNKNOWN", "'0'"),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], code: str, named: str) -> None:
    with pytest.raises(GlioLoopError, match=named) as refused:
        converted(monai_bundle(tmp_path / "bundle", **changes))
    assert refused.value.code == code


#: As the published bundle writes its labels.
PAINTING = "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))"


def _painting(function: str, threshold: float | None = 0.5) -> dict[str, Any]:
    return _with(
        "postprocessing",
        {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
        {"_target_": "Invertd", "keys": "pred"},
        {"_target_": "AsDiscreted", "keys": "pred", "threshold": threshold},
        {"_target_": "Lambdad", "keys": "pred", "func": function},
        {"_target_": "SaveImaged", "keys": "pred"},
    )


def test_labels_that_a_bundle_writes_decide_which_region_gives_way(tmp_path: Path) -> None:
    card = converted(monai_bundle(tmp_path / "bundle", **_painting(PAINTING))).card
    sure = np.random.default_rng(4).random((3, 4, 5, 6)).astype(np.float32)
    regions = regions_of(sure, np.ones(sure.shape[1:], dtype=bool), card)
    core, whole, enhancing = torch.from_numpy(sure > 0.5)
    labels = torch.where(enhancing, 4, torch.where(core, 1, torch.where(whole, 2, 0))).numpy()
    for region, members in ((Region.WT, (1, 2, 4)), (Region.TC, (1, 4)), (Region.ET, (4,))):
        np.testing.assert_array_equal(regions[region] > 0.5, np.isin(labels, members))
    outer = "$lambda a: torch.where(a[[1]] > 0, 2, torch.where(a[[0]] > 0, 1, torch.where(a[[2]] > 0, 4, 0)))"
    for function in (
        outer,
        PAINTING.replace("[[1]]", "[[0]]"),
        PAINTING.replace(", 4,", ", 4 if __import__('os').system('false') else 4,"),
        "$lambda x: x",
    ):
        with pytest.raises(GlioLoopError) as refused:
            converted(monai_bundle(tmp_path / "bundle", **_painting(function)))
        assert refused.value.code in ("IMPORT_UNSUPPORTED", "IMPORT_REGION_UNKNOWN")
    with pytest.raises(GlioLoopError, match="Lambdad"):
        converted(monai_bundle(tmp_path / "bundle", **_painting(PAINTING, threshold=None)))


def test_a_configuration_in_yaml(tmp_path: Path) -> None:
    bundle = monai_bundle(tmp_path / "bundle")
    of_json = converted(bundle).card
    path = bundle / "configs" / "inference.json"
    config = json.loads(path.read_text())
    path.unlink()
    yaml_file = path.with_suffix(".yaml")
    yaml_file.write_text(yaml.safe_dump(config))
    of_yaml = converted(bundle).card
    assert of_yaml.grid == of_json.grid and of_yaml.outputs == of_json.outputs
    bomb = "a: &a [1, 1]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefgh"))
    for text, named in (
        ("a: !!python/object/apply:os.system ['false']", "python/object"),
        (bomb, "aliases"),
        ("a: [", "inference.yaml"),
        ("- 1", "names and values"),
        ("a: 2026-11-30", "JSON"),
    ):
        yaml_file.write_text(text)
        with pytest.raises(GlioLoopError, match=named) as refused:
            converted(bundle)
        assert refused.value.code == "IMPORT_UNREADABLE"


def test_what_a_bundle_does_not_say_is_said_with_it(tmp_path: Path) -> None:
    folder = monai_bundle(tmp_path / "bundle", metadata={"name": "other", "network_data_format": {}})
    order = {"0": "t2", "1": "t1", "2": "t1c", "3": "flair"}
    card = converted(folder, spacing_mm=(1, 1, 2), channels=order, labels={"0": "WT", "1": "TC", "2": "ET"}).card
    assert card.grid.order == (MRSequence.T2, MRSequence.T1, MRSequence.T1C, MRSequence.FLAIR)
    assert card.grid.spacing_mm == (1, 1, 2)
    (folder / "models" / "model.pt").unlink()
    with pytest.raises(GlioLoopError, match="neither models"):
        converted(folder, spacing_mm=(1, 1, 2), channels=order, labels={"0": "WT", "1": "TC", "2": "ET"})
    (folder / "configs" / "inference.json").write_text(json.dumps([]))
    with pytest.raises(GlioLoopError, match="holds no names and values"):
        converted(folder)
