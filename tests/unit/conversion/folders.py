"""Folders as other tools write them, with tiny networks of random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")
nets = pytest.importorskip("monai.networks.nets")

LABELS = {"background": 0, "edema": 1, "necrosis": 2, "enhancing tumor": 3}
REGIONS = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]}
CHANNELS = {"0": "T1ce", "1": "FLAIR"}


def arguments(dimension: int, residual: bool = False) -> dict[str, Any]:
    return {
        "n_stages": 2,
        "features_per_stage": [4, 8],
        "conv_op": f"torch.nn.modules.conv.Conv{dimension}d",
        "kernel_sizes": [[3] * dimension] * 2,
        "strides": [[1] * dimension, [2] * dimension],
        "n_blocks_per_stage" if residual else "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimension}d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def nnunet_folder(folder: Path, regions: bool = False, dimension: int = 3, folds: int = 1, **changes: Any) -> Path:
    """Write a results folder of nnU-Net; ``changes`` of the configuration, of ``plans`` and of ``dataset``."""
    name = "3d_fullres" if dimension == 3 else "2d"
    kind = changes.pop("kind", "PlainConvUNet")
    plans_changes, dataset_changes = changes.pop("plans", {}), changes.pop("dataset", {})
    given = arguments(dimension, kind != "PlainConvUNet")
    configuration = {
        "patch_size": [16, 24, 16][-dimension:],
        "spacing": [1.0, 1.0, 1.0][-dimension:],
        "normalization_schemes": ["ZScoreNormalization"] * 2,
        "use_mask_for_norm": [True, True],
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{kind}",
            "arch_kwargs": given,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "median_image_size_in_voxels": [40.0, 48.0, 40.0][-dimension:],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
        "batch_dice": False,
    } | changes
    plans = {
        "dataset_name": "Dataset501_Glioma",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": [40, 48, 40],
        "configurations": {name: configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {},
    } | plans_changes
    dataset = (
        {
            "channel_names": CHANNELS,
            "labels": REGIONS if regions else LABELS,
            "numTraining": 4,
            "file_ending": ".nii.gz",
        }
        | ({"regions_class_order": [1, 2, 3]} if regions else {})
        | dataset_changes
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    for fold in range(folds):
        torch.manual_seed(fold + 1)
        layers = {
            "conv_op": getattr(torch.nn, f"Conv{dimension}d"),
            "norm_op": getattr(torch.nn, f"InstanceNorm{dimension}d"),
            "nonlin": torch.nn.LeakyReLU,
        }
        network = getattr(unet, kind)(
            input_channels=2, num_classes=3 if regions else 4, **(given | layers), deep_supervision=True
        )
        with torch.no_grad():  # far enough from nothing that every region is somewhere
            for parameter in network.parameters():
                parameter.mul_(2).add_(0.05 * torch.randn_like(parameter))
        checkpoint = {
            "network_weights": network.state_dict(),
            "optimizer_state": None,
            "logging": {"mean_fg_dice": [np.float64(0.5)], "train_losses": [np.float32(0.1)]},
            "_best_ema": np.float64(0.5),
            "current_epoch": 1,
            "init_args": {"configuration": name, "fold": fold, "plans": plans, "dataset_json": dataset},
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": tuple(range(dimension)),
        }
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def monai_bundle(folder: Path, network: str = "SegResNet", script: bool = False, **changes: Any) -> Path:
    """Write a bundle like brats_mri_segmentation, with a small network."""
    given: dict[str, Any] = {
        "SegResNet": {"spatial_dims": 3, "init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
        "UNet": {"spatial_dims": 3, "channels": [4, 8], "strides": [2], "num_res_units": 1},
    }[network] | {"in_channels": 4, "out_channels": 3}
    config = {
        "imports": ["$import glob"],
        "bundle_root": ".",
        "device": "$torch.device('cpu')",
        "network_def": {"_target_": network, **given},
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True},
            ],
        },
        "roi": [16, 24, 32],
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": "@roi", "sw_batch_size": 1, "overlap": 0.5},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
                {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing"},
                {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
                {"_target_": "SaveImaged", "keys": "pred"},
            ],
        },
    } | changes.pop("config", {})
    metadata = {
        "name": "BRATS MRI segmentation",
        "version": "0.5.4",
        "network_data_format": {
            "inputs": {"image": {"channel_def": {"0": "T1c", "1": "T1", "2": "T2", "3": "FLAIR"}}},
            "outputs": {"pred": {"channel_def": {"0": "Tumor core", "1": "Whole tumor", "2": "Enhancing tumor"}}},
        },
    } | changes.pop("metadata", {})
    for part in ("configs", "models"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    torch.manual_seed(5)
    made = getattr(nets, network)(**given).eval()
    if script:
        torch.jit.script(made).save(str(folder / "models" / "model.ts"))
    else:
        torch.save(made.state_dict(), folder / "models" / "model.pt")
    return folder
