"""A results folder of nnU-Net v2 (Isensee et al., Nature Methods 18, 2021).

It holds plans.json, dataset.json and fold_*/checkpoint_final.pth or checkpoint_best.pth.

Axes of its plans are those of the array that SimpleITK gives, (z, y, x), moved about by ``transpose_forward``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from pipeline.conversion.described import Architecture, Described, orientation_of, told
from pipeline.conversion.request import ConversionRequest, json_file
from pipeline.conversion.wording import nesting_of, outputs_of_labels, outputs_of_regions, sequences_of
from pipeline.errors import GlioLoopError
from pipeline.registry import InputGrid, Output, Postprocessing
from pipeline.registry.parts import Normalisation

_READERS: Final = {
    "SimpleITKIO": "",
    "NibabelIO": "",
    "SimpleITKIOWithReorient": "RAS",
    "NibabelIOWithReorient": "RAS",
}
"""Directions in which axes grow after reading; empty where the array is taken as it is stored."""
_ISOTROPIC: Final = 3


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class _Network(_Read):
    network_class_name: str
    arch_kwargs: dict[str, JsonValue]


class _Configuration(_Read):
    patch_size: Annotated[list[int], Field(min_length=2, max_length=3)]
    spacing: Annotated[list[float], Field(min_length=2, max_length=3)]
    normalization_schemes: list[str]
    use_mask_for_norm: list[bool]
    architecture: _Network
    previous_stage: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_older_plans(cls, values: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if "architecture" in values or "UNet_class_name" not in values:
            return values
        return values | {"architecture": _older(_Older.model_validate(values))}


class _Older(_Read):
    """Plans before nnU-Net 2.5."""

    unet_class_name: Literal["PlainConvUNet", "ResidualEncoderUNet"] = Field(alias="UNet_class_name")
    patch_size: list[int]
    base: int = Field(alias="UNet_base_num_features")
    most: int = Field(alias="unet_max_num_features")
    conv_kernel_sizes: list[JsonValue]
    pool_op_kernel_sizes: list[JsonValue]
    n_conv_per_stage_encoder: list[int]
    n_conv_per_stage_decoder: list[int]


class _Plans(_Read):
    dataset_name: str = ""
    plans_name: str = ""
    image_reader_writer: str
    transpose_forward: tuple[int, int, int]
    original_median_spacing_after_transp: tuple[float, float, float]
    configurations: dict[str, dict[str, JsonValue]]

    def configuration(self, name: str) -> _Configuration:
        """Return a configuration with what it inherits."""
        chain: list[str] = []
        while name not in chain:
            if name not in self.configurations:
                raise GlioLoopError("IMPORT_UNREADABLE", f"plans.json has no configuration {name}")
            chain.append(name)
            name = str(self.configurations[name].get("inherits_from", name))
        merged: dict[str, JsonValue] = {}
        for one in reversed(chain):
            merged |= self.configurations[one]
        return _Configuration.model_validate(merged)


class _Dataset(_Read):
    channel_names: dict[str, str] = Field(alias="channel_names")
    labels: dict[str, int | list[int]]
    regions_class_order: list[int] | None = None
    name: str = ""
    description: str = ""
    licence: str = Field("", alias="licence")

    @model_validator(mode="before")
    @classmethod
    def _of_other_names(cls, values: dict[str, JsonValue]) -> dict[str, JsonValue]:
        old = {"modality": "channel_names", "license": "licence"}
        return {old[key] if old.get(key, key) not in values and key in old else key: one for key, one in values.items()}

    @model_validator(mode="after")
    def _background(self) -> Self:
        if self.labels.get("background") != 0:
            raise ValueError("labels: background must be 0")
        return self


class _Cleaning(_Read):
    postprocessing_fns: list[str] = Field(default_factory=list)
    postprocessing_kwargs: list[dict[str, JsonValue]] = Field(default_factory=list)


def checkpoints(request: ConversionRequest) -> list[Path]:
    """Return the checkpoint of each fold.

    Raises
    ------
    GlioLoopError
        IMPORT_UNREADABLE where there is none.
    """
    folds = sorted(path.name.removeprefix("fold_") for path in request.folder.glob("fold_*") if path.is_dir())
    if lacking := sorted(set(request.folds) - set(folds)):
        raise GlioLoopError(
            "IMPORT_UNREADABLE", f"no fold {', '.join(lacking)}; there are: {', '.join(folds) or 'none'}"
        )
    for name in [request.checkpoint] if request.checkpoint else ["final", "best"]:
        paths = [request.folder / f"fold_{fold}" / f"checkpoint_{name}.pth" for fold in request.folds or folds]
        found = [path for path in paths if path.is_file()]
        if found and (len(found) == len(paths) or not request.folds):
            return found
    raise GlioLoopError("IMPORT_UNREADABLE", "no fold_*/checkpoint_final.pth, nor checkpoint_best.pth")


def describe(request: ConversionRequest, configuration: str, mirroring: tuple[int, ...] | None) -> Described:
    """Read what a results folder says of its network.

    Parameters
    ----------
    request
        The folder, and what it does not say.
    configuration
        Of the plans, as the checkpoint names it.
    mirroring
        Axes of the network along which it may be mirrored, as the checkpoint has it.

    Raises
    ------
    GlioLoopError
        IMPORT_UNREADABLE, IMPORT_UNSUPPORTED, IMPORT_CHANNEL_UNKNOWN, IMPORT_REGION_UNKNOWN.
    """
    try:
        plans = _Plans.model_validate(json_file(request.folder / "plans.json"))
        dataset = _Dataset.model_validate(json_file(request.folder / "dataset.json"))
        chosen = plans.configuration(configuration)
    except (OSError, ValidationError) as error:
        raise GlioLoopError("IMPORT_UNREADABLE", told(error)) from None
    if chosen.previous_stage:
        raise GlioLoopError("IMPORT_UNSUPPORTED", f"the cascade: {configuration} follows {chosen.previous_stage}")
    if plans.image_reader_writer not in _READERS:
        raise GlioLoopError("IMPORT_UNSUPPORTED", f"images read by {plans.image_reader_writer}")
    orientation, notes = orientation_of(request, _READERS[plans.image_reader_writer])
    names = [name for _, name in sorted(dataset.channel_names.items(), key=lambda item: int(item[0]))]
    axes = plans.transpose_forward
    flat = len(chosen.patch_size) < _ISOTROPIC
    patch = [1, *chosen.patch_size] if flat else chosen.patch_size
    spacing = [plans.original_median_spacing_after_transp[0], *chosen.spacing] if flat else chosen.spacing
    window, steps = [0, 0, 0], [0.0, 0.0, 0.0]
    for own, axis in enumerate(axes):
        window[axis], steps[axis] = patch[own], spacing[own]
    grid = InputGrid(
        order=sequences_of(names, request.channels),
        spacing_mm=(steps[2], steps[1], steps[0]),
        orientation=orientation,
        window=(window[0], window[1], window[2]),
        multiple=1,
        fixed=not flat,
        overlap=0.5,
        importance="nnunet",
        crop=True,
        normalisation=_normalisations(chosen, len(names)),
    )
    exclusive = not any(isinstance(one, list) and len(one) > 1 for one in dataset.labels.values())
    if exclusive:
        outputs = outputs_of_labels(_values(dataset.labels), request.labels)
    else:
        outputs = outputs_of_regions([*_regions(dataset.labels)], request.labels)
    cleaning, said = _cleaning(request, set(_values(dataset.labels).values()) - {0} if exclusive else None)
    return Described(
        name=plans.dataset_name or dataset.name or request.folder.parent.name,
        description=dataset.description or f"{plans.dataset_name}, nnU-Net {configuration}",
        licence=dataset.licence,
        architecture=Architecture(
            chosen.architecture.network_class_name,
            chosen.architecture.arch_kwargs
            | {"input_channels": len(names), "num_classes": _heads(dataset.labels, exclusive)},
        ),
        grid=grid,
        activation="softmax" if exclusive else "sigmoid",
        outputs=outputs,
        axes=axes,
        skull_stripped=all(chosen.use_mask_for_norm),
        decision="argmax" if exclusive else "sum",
        nesting="outer" if exclusive else _nesting(dataset, outputs=outputs),
        mirror_axes=_mirror_axes(mirroring if request.mirror else None, axes, flat),
        postprocessing=cleaning,
        flat=flat,
        notes=(*notes, *said),
    )


def _normalisations(chosen: _Configuration, channels: int) -> tuple[Normalisation, ...]:
    known: dict[str, Normalisation] = {"NoNormalization": "none", "RescaleTo01Normalization": "rescale"}
    masks = chosen.use_mask_for_norm
    if not len(chosen.normalization_schemes) == len(masks) == channels:
        raise GlioLoopError(
            "IMPORT_UNREADABLE", "normalization_schemes, use_mask_for_norm and channels differ in number"
        )
    found: list[Normalisation] = []
    for scheme, within in zip(chosen.normalization_schemes, masks, strict=True):
        if scheme == "ZScoreNormalization":
            found.append("z_score_foreground" if within else "z_score")
        elif scheme in known:
            found.append(known[scheme])
        else:
            raise GlioLoopError("IMPORT_UNSUPPORTED", f"normalisation {scheme}")
    return tuple(found)


def _values(labels: Mapping[str, int | list[int]]) -> dict[str, int]:
    """Labels that exclude each other, without those that were ignored in training."""
    found = {name: one[0] if isinstance(one, list) else one for name, one in labels.items() if name != "ignore"}
    if sorted(found.values()) != list(range(len(found))):
        raise GlioLoopError("IMPORT_UNREADABLE", "labels must be 0, 1, 2, …")
    return found


def _regions(labels: Mapping[str, int | list[int]]) -> dict[str, frozenset[int]]:
    """Regions in the order of their channels."""
    sets = {name: frozenset(one if isinstance(one, list) else [one]) for name, one in labels.items()}
    return {name: one for name, one in sets.items() if name != "ignore" and one != {0}}


def _heads(labels: Mapping[str, int | list[int]], exclusive: bool) -> int:
    return len(_values(labels)) if exclusive else len(_regions(labels))


def _nesting(dataset: _Dataset, outputs: tuple[Output, ...]) -> Literal["outer", "inner"]:
    members = dict(enumerate(_regions(dataset.labels).values()))
    order = dataset.regions_class_order or []
    if len(order) != len(members):
        raise GlioLoopError("IMPORT_UNREADABLE", "regions_class_order must name a label for every region")
    return nesting_of(outputs, members, dict(enumerate(order)))


def _mirror_axes(
    mirroring: tuple[int, ...] | None, axes: tuple[int, int, int], flat: bool
) -> tuple[Literal["x", "y", "z"], ...]:
    letters: tuple[Literal["x", "y", "z"], ...] = ("z", "y", "x")
    return tuple(letters[axes[axis + flat]] for axis in mirroring or ())


def _cleaning(request: ConversionRequest, labels: set[int] | None) -> tuple[Postprocessing, list[str]]:
    """nnU-Net's own clean-up, as far as it is the largest part of everything."""
    plain = Postprocessing(fill_holes=False)
    paths = [
        request.folder / "postprocessing.json",
        *sorted(request.folder.glob("crossval_results*/postprocessing.json")),
    ]
    found = next((path for path in paths if path.is_file()), None)
    if found is None or not request.postprocessing:
        return plain, ["no post-processing of nnU-Net's is taken"]
    try:
        said = _Cleaning.model_validate(json_file(found))
    except ValidationError as error:
        raise GlioLoopError("IMPORT_UNREADABLE", told(error)) from None
    for function, arguments in zip(said.postprocessing_fns, said.postprocessing_kwargs, strict=True):
        name = function.rpartition(".")[2]
        of = arguments.get("labels_or_regions")
        flat = (
            {one for part in of for one in (part if isinstance(part, list) else [part])}
            if isinstance(of, list)
            else {of}
        )
        if name != "remove_all_but_largest_component_from_segmentation" or (labels is not None and flat != labels):
            raise GlioLoopError(
                "IMPORT_UNSUPPORTED", f"post-processing {name} of {of} (--no-postprocessing leaves it out)"
            )
        plain = plain.model_copy(update={"only_largest": True})
    return plain, []


def _older(plans: _Older) -> dict[str, JsonValue]:
    dimension = len(plans.patch_size)
    stages = len(plans.n_conv_per_stage_encoder)
    plain = plans.unet_class_name == "PlainConvUNet"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{plans.unet_class_name}",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": [min(plans.base * 2**stage, plans.most) for stage in range(stages)],
            "conv_op": f"torch.nn.modules.conv.Conv{dimension}d",
            "kernel_sizes": plans.conv_kernel_sizes,
            "strides": plans.pool_op_kernel_sizes,
            "n_conv_per_stage" if plain else "n_blocks_per_stage": [*plans.n_conv_per_stage_encoder],
            "n_conv_per_stage_decoder": [*plans.n_conv_per_stage_decoder],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimension}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
    }
