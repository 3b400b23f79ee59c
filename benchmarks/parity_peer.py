"""Networks of nnU-Net and MONAI, made and run by the tools themselves; runs in an environment of its own.

``parity_peer.py make KIND FOLDER IN`` writes a results folder or a bundle, trained on IN for a moment: its ``images``
(channels, z, y, x), ``regions`` WT, TC, ET and ``spacing`` (z, y, x).
``parity_peer.py predict KIND FOLDER IN OUT`` runs it: OUT gets ``probabilities`` of its channels and ``masks`` of WT,
TC, ET, decided as the tool decides, both behind the words for how it adds windows up.
"""

# ruff: noqa: PLC0415 (each tool imports only what it needs)

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

CHANNELS = {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}
LABELS = {"background": 0, "NCR": 1, "ED": 2, "ET": 3}
REGIONS = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing tumor": [3]}
MEMBERS = ((1, 2, 3), (1, 3), (3,))
SPACING = 3.0
STEPS = 20
SHIPPED, SINGLE = "as shipped", "sums in float32"
Found = dict[str, tuple[np.ndarray, np.ndarray]]


def train(network: torch.nn.Module, images: np.ndarray, target: np.ndarray, patch: list[int], exclusive: bool) -> None:
    """Learn the tumour of one picture: by then most probabilities are far from a half, as a real network's are.

    Parameters
    ----------
    network
        Raw outputs of images, with deep supervision or without.
    images
        float32, shape (channels, ...), as they come; axes as the network has them.
    target
        Shape (outputs, ...): regions, or one channel of labels that are ``exclusive``.
    patch
        Size of what is seen at once; of two axes for a network of planes.
    """
    rng, channels = np.random.default_rng(3), len(images)
    sizes = np.array([1] * (3 - len(patch)) + patch)
    both = np.concatenate([[(one - one[one != 0].mean()) / one[one != 0].std() * (one != 0) for one in images], target])
    both = np.pad(both, [(0, 0), *((0, max(0, size - n)) for size, n in zip(sizes, both.shape[1:], strict=True))])
    tumour = np.argwhere(both[channels:].any(axis=0))
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    network.train()
    for _ in range(STEPS):
        crops = []
        for _ in range(1 if len(patch) > 2 else 16):
            middle = tumour[rng.integers(len(tumour))] + rng.integers(-8, 9, size=3)
            low = np.clip(middle - sizes // 2, 0, np.array(both.shape[1:]) - sizes)
            crops.append(both[:, *(slice(start, start + size) for start, size in zip(low, sizes, strict=True))])
        seen = torch.from_numpy(np.stack(crops).astype(np.float32))
        seen = seen if len(patch) > 2 else seen.squeeze(2)
        found, truth = network(seen[:, :channels]), seen[:, channels:]
        found = found[0] if isinstance(found, (list, tuple)) else found
        loss = (
            torch.nn.functional.cross_entropy(found, truth[:, 0].long())
            if exclusive
            else torch.nn.functional.binary_cross_entropy_with_logits(found, truth)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    print(f"loss {loss.item():.3f}")


def _nnunet_plans(flat: bool) -> dict[str, Any]:
    n = 2 if flat else 3
    patch = [32, 40] if flat else [24, 32, 40]
    network = {
        "n_stages": 4,
        "features_per_stage": [8, 16, 32, 32],
        "conv_op": f"torch.nn.modules.conv.Conv{n}d",
        "kernel_sizes": [[1, 3, 3][-n:], *[[3] * n] * 3],
        "strides": [[1] * n, [1, 2, 2][-n:], [2] * n, [2] * n],
        "n_blocks_per_stage" if not flat else "n_conv_per_stage": [1, 2, 2, 2],
        "n_conv_per_stage_decoder": [1, 1, 1],
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{n}d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    resampling = {"order": 3, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "nnUNetPlans",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": patch,
        "median_image_size_in_voxels": [47.0, 58.0, 46.0][-n:],
        "spacing": [SPACING] * n,
        "normalization_schemes": ["ZScoreNormalization"] * 4,
        "use_mask_for_norm": [True] * 4,
        "batch_dice": True,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet."
            + ("PlainConvUNet" if flat else "ResidualEncoderUNet"),
            "arch_kwargs": network,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    for what, is_seg in (("data", False), ("seg", True), ("probabilities", False)):
        configuration[f"resampling_fn_{what}"] = "resample_data_or_seg_to_shape"
        configuration[f"resampling_fn_{what}_kwargs"] = resampling | {"is_seg": is_seg}
    return {
        "dataset_name": "Dataset900_Parity",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [SPACING] * 3,
        "original_median_shape_after_transp": [47, 58, 46],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"2d" if flat else "3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(one): {} for one in range(4)},
    }


def make_nnunet(kind: str, folder: Path, images: np.ndarray, wanted: np.ndarray) -> None:
    """A results folder, its checkpoints with the keys of ``nnUNetTrainer.save_checkpoint``."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    flat, regions = kind == "nnunet 2d", kind == "nnunet regions"
    plans = _nnunet_plans(flat)
    dataset: dict[str, Any] = {
        "channel_names": CHANNELS,
        "labels": REGIONS if regions else LABELS,
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    if regions:
        dataset["regions_class_order"] = [2, 1, 3]
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    name = next(iter(plans["configurations"]))
    patch = plans["configurations"][name]["patch_size"]
    manager = PlansManager(plans)
    chosen = manager.get_configuration(name)
    labels = manager.get_label_manager(dataset)
    for fold in range(2 if kind == "nnunet two folds" else 1):
        torch.manual_seed(fold + 1)
        network = get_network_from_plans(
            chosen.network_arch_class_name,
            chosen.network_arch_init_kwargs,
            chosen.network_arch_init_kwargs_req_import,
            len(CHANNELS),
            labels.num_segmentation_heads,
            deep_supervision=True,
        )
        whole, core, enhancing = wanted
        values = np.where(enhancing, 3, np.where(core, 1, np.where(whole, 2, 0)))
        train(network, images, wanted if regions else values[None], patch, not regions)
        (folder / f"fold_{fold}").mkdir()
        torch.save(
            {
                "network_weights": network.state_dict(),
                "optimizer_state": None,
                "grad_scaler_state": None,
                "logging": {"mean_fg_dice": [np.float64(0.1)]},
                "_best_ema": np.float64(0.1),
                "current_epoch": 1,
                "init_args": {"plans": plans, "configuration": name, "fold": fold, "dataset_json": dataset},
                "trainer_name": "nnUNetTrainer",
                "inference_allowed_mirroring_axes": (0, 1) if flat else (0, 1, 2),
            },
            folder / f"fold_{fold}" / "checkpoint_final.pth",
        )


def predict_nnunet(folder: Path, images: np.ndarray, spacing: np.ndarray) -> Found:
    """``nnUNetPredictor`` as ``nnUNetv2_predict`` makes it, and with its sums of windows in single precision."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    folds = tuple(range(len(list(folder.glob("fold_*")))))
    predictor.initialize_from_trained_model_folder(str(folder), use_folds=folds)
    half, results = torch.half, {}
    for way, kept in ((SHIPPED, half), (SINGLE, torch.float32)):
        torch.half = kept  # what it makes the sums of
        label, probabilities = predictor.predict_single_npy_array(
            images, {"spacing": [float(one) for one in spacing]}, None, None, True
        )
        results[way] = probabilities, np.stack([np.isin(label, members) for members in MEMBERS])
    torch.half = half
    return results


def make_monai(kind: str, folder: Path, images: np.ndarray, wanted: np.ndarray) -> None:
    """A bundle like brats_mri_segmentation."""
    from monai.networks import nets

    name = "SegResNet" if kind == "monai SegResNet" else "UNet"
    arguments: dict[str, Any] = {
        "SegResNet": {"spatial_dims": 3, "init_filters": 8, "blocks_down": [1, 2, 2], "blocks_up": [1, 1]},
        "UNet": {"spatial_dims": 3, "channels": [8, 16, 32], "strides": [2, 2], "num_res_units": 2},
    }[name] | {"in_channels": 4, "out_channels": 3}
    window = {"_target_": "SlidingWindowInferer", "roi_size": [40, 32, 24], "sw_batch_size": 1, "overlap": 0.5}
    config = {
        "network_def": {"_target_": name, **arguments},
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": [SPACING] * 3},
                {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True},
            ],
        },
        "inferer": window if name == "SegResNet" else window | {"mode": "gaussian", "overlap": 0.625},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
                {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
            ],
        },
    }
    channels = {key: {"1": "T1c"}.get(key, one) for key, one in CHANNELS.items()}
    outputs = {"0": "Tumor core", "1": "Whole tumor", "2": "Enhancing tumor"}
    formats = {"inputs": {"image": {"channel_def": channels}}, "outputs": {"pred": {"channel_def": outputs}}}
    for part in ("configs", "models"):
        (folder / part).mkdir(parents=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text(json.dumps({"name": "parity", "network_data_format": formats}))
    torch.manual_seed(7)
    network = getattr(nets, name)(**arguments)
    whole, core, enhancing = wanted.transpose(0, 3, 2, 1)
    train(network, images.transpose(0, 3, 2, 1), np.stack([core, whole, enhancing]), window["roi_size"], False)
    torch.save(network.state_dict(), folder / "models" / "model.pt")


def predict_monai(folder: Path, images: np.ndarray) -> Found:
    """The bundle's own classes, by its own parser, on an array that is loaded and spaced already."""
    from monai.bundle import ConfigParser

    parser = ConfigParser(json.loads((folder / "configs" / "inference.json").read_text()))
    parser["preprocessing#transforms"] = parser["preprocessing#transforms"][3:]
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(folder / "models" / "model.pt"))
    # MONAI's arrays are (x, y, z).
    image = parser.get_parsed_content("preprocessing")({"image": torch.from_numpy(images.transpose(0, 3, 2, 1).copy())})
    with torch.no_grad():
        raw = parser.get_parsed_content("inferer")(image["image"][None], network)[0]
    steps = parser.get_parsed_content("postprocessing").transforms
    probabilities = steps[0]({"pred": raw})["pred"]
    masks = steps[1]({"pred": probabilities})["pred"].numpy().transpose(0, 3, 2, 1) > 0
    core, whole, enhancing = masks
    # MONAI lets a region reach beyond the one around it; regions of this product are nested.
    nested = np.stack([whole, whole & core, whole & core & enhancing])
    return {SHIPPED: (probabilities.numpy().transpose(0, 3, 2, 1), nested)}


def run() -> None:
    """Do what the command line says; what libraries print goes to stderr."""
    warnings.simplefilter("ignore")
    os.dup2(2, 1)
    task, kind, folder, *paths = sys.argv[1:]
    given = np.load(paths[0])
    of_nnunet = kind.startswith("nnunet")
    if task == "make":
        make = make_nnunet if of_nnunet else make_monai
        make(kind, Path(folder), given["images"], given["regions"])
        return
    if of_nnunet:
        found = predict_nnunet(Path(folder), given["images"], given["spacing"])
    else:
        found = predict_monai(Path(folder), given["images"])
    parts = {f"{way} probabilities": one for way, (one, _) in found.items()}
    np.savez(paths[1], **parts, **{f"{way} masks": masks for way, (_, masks) in found.items()})


if __name__ == "__main__":
    run()
