"""Results folders of nnU-Net: what becomes of them, and what is refused by name."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.conversion.__main__ import convert
from pipeline.conversion.apart import convert_apart
from pipeline.conversion.request import ConversionRequest
from pipeline.conversion.wording import nesting_of, outputs_of_labels, outputs_of_regions, sequences_of
from pipeline.errors import GlioLoopError
from pipeline.inference.session import load_network
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.registry import CARD, InstalledModel, ModelCard
from tests.unit.conversion.folders import LABELS, nnunet_folder, torch


def request(folder: Path, **changes: Any) -> ConversionRequest:
    return ConversionRequest.model_validate(
        {"tool": "nnunet", "folder": folder, "out": folder.parent / "out", **changes}
    )


def converted(folder: Path, **changes: Any) -> InstalledModel:
    asked = request(folder, **changes)
    convert(asked)
    return InstalledModel(ModelCard.model_validate_json((asked.out / CARD).read_text()), asked.out)


def test_labels_and_folds_in_a_process_of_its_own(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path / "results", folds=2)
    asked = request(folder, version="2", licence="CC BY 4.0")
    done = convert_apart(asked)
    assert done.skull_stripped and "weights_only" in done.notes[0]
    card = ModelCard.model_validate_json((asked.out / CARD).read_text())
    assert card.identity == "Dataset501_Glioma@2" and card.licence == "CC BY 4.0"
    assert card.grid.order == (MRSequence.T1C, MRSequence.FLAIR)
    assert card.grid.normalisations == ("z_score_foreground",) * 2
    assert (card.grid.window, card.grid.fixed, card.grid.multiple) == ((16, 24, 16), True, 1)
    assert (card.grid.orientation, card.grid.spacing_mm, card.grid.crop) == ("LPS", (1, 1, 1), True)
    assert card.mirror_axes == ("z", "y", "x") and card.activation == "softmax" and card.decision == "argmax"
    assert {one.region: one.channels for one in card.outputs} == {
        Region.WT: (1, 2, 3),
        Region.TC: (2, 3),
        Region.ET: (3,),
    }
    assert [file.name for file in card.tumour_files] == ["model.onnx", "also-1.onnx"]


def test_the_file_gives_what_the_network_gives(tmp_path: Path) -> None:
    read = importlib.import_module("pipeline.conversion.read").read  # it needs torch
    asked = request(nnunet_folder(tmp_path / "results", regions=True, kind="ResidualEncoderUNet"))
    convert(asked)
    model = InstalledModel(ModelCard.model_validate_json((asked.out / CARD).read_text()), asked.out)
    _, (network,), _ = read(asked)
    images = np.random.default_rng(2).standard_normal((1, 2, 16, 24, 16)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(load_network(model, model.card.file)(images), expected, atol=1e-4)
    assert model.card.activation == "sigmoid" and model.card.nesting == "inner"
    assert {one.region: one.channels for one in model.card.outputs} == {
        Region.WT: (0,),
        Region.TC: (1,),
        Region.ET: (2,),
    }


def test_axes_that_were_turned_are_turned_back(tmp_path: Path) -> None:
    plans = {"transpose_forward": [2, 0, 1], "original_median_spacing_after_transp": [3.0, 1.5, 1.0]}
    three = converted(nnunet_folder(tmp_path / "a" / "results", plans=plans, spacing=[3.0, 1.5, 1.0])).card
    assert (three.grid.window, three.grid.spacing_mm) == ((24, 16, 16), (3.0, 1.0, 1.5))
    flat = converted(nnunet_folder(tmp_path / "b" / "results", dimension=2, plans=plans, spacing=[1.5, 1.0]))
    assert (flat.card.grid.window, flat.card.grid.spacing_mm) == ((24, 16, 1), (3.0, 1.0, 1.5))
    assert not flat.card.grid.fixed and flat.card.mirror_axes == ("z", "y")
    images = np.random.default_rng(2).standard_normal((1, 2, 24, 16, 1)).astype(np.float32)
    assert load_network(flat, flat.card.file)(images).shape == (1, 4, 24, 16, 1)


def test_other_readers_other_channels_and_other_words(tmp_path: Path) -> None:
    folder = nnunet_folder(
        tmp_path / "results",
        plans={"image_reader_writer": "NibabelIOWithReorient"},
        normalization_schemes=["NoNormalization", "RescaleTo01Normalization"],
        use_mask_for_norm=[False, False],
        dataset={"channel_names": {"0": "anatomical", "1": "t2f"}, "labels": {**LABELS, "enhancing tumor": 4, "RC": 3}},
    )
    (folder / "dataset.json").write_text(
        (folder / "dataset.json").read_text().replace('"enhancing tumor": 4, "RC"', '"RC"')
    )
    with pytest.raises(GlioLoopError, match=r"IMPORT_CHANNEL_UNKNOWN.*'anatomical'"):
        converted(folder)
    with pytest.raises(GlioLoopError, match=r"IMPORT_REGION_UNKNOWN.*no output is ET"):
        converted(folder, channels={"anatomical": "t1c"})
    card = converted(folder, channels={"0": "t1c"}, labels={"RC": "ET"}, mirror=False).card
    assert card.grid.orientation == "RAS" and card.grid.normalisations == ("none", "rescale")
    assert card.mirror_axes == ()


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        (
            {"normalization_schemes": ["CTNormalization", "ZScoreNormalization"]},
            "IMPORT_UNSUPPORTED",
            "CTNormalization",
        ),
        ({"previous_stage": "3d_lowres"}, "IMPORT_UNSUPPORTED", "3d_lowres"),
        ({"plans": {"image_reader_writer": "NaturalImage2DIO"}}, "IMPORT_UNSUPPORTED", "NaturalImage2DIO"),
        ({"dataset": {"channel_names": {"0": "T1", "1": "CT"}}}, "IMPORT_CHANNEL_UNKNOWN", "'CT'"),
        ({"dataset": {"channel_names": {"0": "T1ce", "1": "T1Gd"}}}, "IMPORT_CHANNEL_UNKNOWN", "two input channels"),
        ({"dataset": {"labels": {**LABELS, "core": 4}}}, "IMPORT_REGION_UNKNOWN", "'core'"),
        ({"dataset": {"labels": {"tumor": 1}}}, "IMPORT_UNREADABLE", "background"),
        ({"patch_size": [16]}, "IMPORT_UNREADABLE", "patch_size"),
        (
            {"regions": True, "dataset": {"regions_class_order": [3, 2, 1]}},
            "IMPORT_REGION_UNKNOWN",
            "regions_class_order",
        ),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], code: str, named: str) -> None:
    folder = nnunet_folder(tmp_path / "results", **changes)
    with pytest.raises(GlioLoopError, match=named) as refused:
        convert(request(folder))
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("channels", "labels", "order", "cavity"),
    [
        (
            ["T1", "T1ce", "T2", "Flair"],
            {"whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]},
            [1, 2, 3],
            False,
        ),
        (["T1", "T1C", "T2W", "T2F"], {"NETC": 1, "SNFH": 2, "ET": 3, "RC": 4}, None, True),
    ],
    ids=["Dataset137_BraTS21", "Dataset226_BraTS2024"],
)
def test_names_that_its_own_conversions_of_brats_give_are_known(
    channels: list[str], labels: dict[str, Any], order: list[int] | None, cavity: bool
) -> None:
    assert sequences_of(channels, {}) == (MRSequence.T1, MRSequence.T1C, MRSequence.T2, MRSequence.FLAIR)
    outputs = outputs_of_regions([*labels], {}) if order else outputs_of_labels({"background": 0, **labels}, {})
    assert {one.region for one in outputs} == {*TUMOUR_REGIONS, *([Region.CAVITY] if cavity else [])}
    if order:
        members = dict(enumerate(frozenset(one) for one in labels.values()))
        assert nesting_of(outputs, members, dict(enumerate(order))) == "inner"
    else:
        assert {one.region: one.channels for one in outputs}[Region.TC] == (1, 3)


def _edited(folder: Path, path: tuple[str, ...], value: object) -> Path:
    plans = json.loads((folder / "plans.json").read_text())
    inner = plans["configurations"]["3d_fullres"]["architecture"]
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (folder / "plans.json").write_text(json.dumps(plans))
    return folder


def test_classes_are_never_looked_up_by_what_a_folder_names(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path / "results")
    for path, value in (
        (("network_class_name",), "os.system"),
        (("network_class_name",), "mine.PlainConvUNet"),
        (("arch_kwargs", "nonlin"), "builtins.exec"),
        (("arch_kwargs", "norm_op"), "torch.nn.Bilinear"),
    ):
        edited = _edited(nnunet_folder(folder), path, value)
        with pytest.raises(GlioLoopError, match="IMPORT_UNSUPPORTED"):
            convert(request(edited))
    wrong = _edited(nnunet_folder(folder), ("arch_kwargs", "features_per_stage"), [4, 6])
    with pytest.raises(GlioLoopError, match="not this network's"):
        convert(request(wrong))


class _Code:
    """What runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (Path.write_text, (self.path, "ran"))  # type: ignore[return-value]


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path / "results")
    path = folder / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    torch.save(checkpoint | {"extra": _Code(tmp_path / "mark")}, path)
    with pytest.raises(GlioLoopError, match="IMPORT_UNTRUSTED"):
        convert_apart(request(folder))
    assert not (tmp_path / "mark").exists()


def test_folds_and_checkpoints(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path / "results", folds=2)
    (folder / "fold_1" / "checkpoint_final.pth").rename(folder / "fold_1" / "checkpoint_best.pth")
    assert len(converted(folder).card.tumour_files) == 1
    assert len(converted(folder, folds=("1",)).card.tumour_files) == 1
    with pytest.raises(GlioLoopError, match="no fold 7"):
        convert(request(folder, folds=("7",)))
    (folder / "fold_0" / "checkpoint_final.pth").write_bytes(b"not a file of torch's")
    with pytest.raises(GlioLoopError, match=r"IMPORT_UNREADABLE|IMPORT_UNTRUSTED"):
        convert(request(folder))


def test_its_postprocessing(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path / "results")
    name = "remove_all_but_largest_component_from_segmentation"
    path = folder / "crossval_results_folds_0_1" / "postprocessing.json"
    path.parent.mkdir()
    path.write_text(
        json.dumps({"postprocessing_fns": [name], "postprocessing_kwargs": [{"labels_or_regions": [1, 2, 3]}]})
    )
    assert converted(folder).card.postprocessing.only_largest
    path.write_text(json.dumps({"postprocessing_fns": [name], "postprocessing_kwargs": [{"labels_or_regions": 3}]}))
    with pytest.raises(GlioLoopError, match=r"IMPORT_UNSUPPORTED.*of 3"):
        converted(folder)
    assert not converted(folder, postprocessing=False).card.postprocessing.only_largest


def test_older_plans(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path / "results")
    plans = json.loads((folder / "plans.json").read_text())
    configuration = plans["configurations"]["3d_fullres"]
    del configuration["architecture"]
    configuration |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 4,
        "unet_max_num_features": 8,
        "conv_kernel_sizes": [[3, 3, 3]] * 2,
        "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2]],
        "n_conv_per_stage_encoder": [1, 1],
        "n_conv_per_stage_decoder": [1],
    }
    plans["configurations"]["base"] = plans["configurations"].pop("3d_fullres")
    plans["configurations"]["3d_fullres"] = {"inherits_from": "base"}
    (folder / "plans.json").write_text(json.dumps(plans))
    assert converted(folder).card.grid.window == (16, 24, 16)
