"""A MONAI bundle (Cardoso et al., arXiv:2211.02701): configs/inference.json (or .yaml), metadata.json, models/model.pt.

Its weights may be TorchScript instead, models/model.ts.
Its configuration may hold Python (``$…``), which is never evaluated: what is needed of it must be plain values.
Its arrays are (x, y, z), as NIfTI's.
"""

import re
from collections.abc import Sequence as Listing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from pipeline.conversion.described import Architecture, Described, orientation_of, told
from pipeline.conversion.request import ConversionRequest, json_file
from pipeline.conversion.wording import Nesting, nesting_of, outputs_of_labels, outputs_of_regions, sequences_of
from pipeline.errors import GlioLoopError
from pipeline.names import TUMOUR_REGIONS
from pipeline.registry import InputGrid, Output
from pipeline.registry.parts import Normalisation

_AXES: Final = (2, 1, 0)
#: Transforms that change nothing of what this node does itself.
_PLAIN: Final = ("LoadImage", "EnsureChannelFirst", "AddChannel", "EnsureType", "ToTensor", "ToDevice", "CastToType")
_RETURNING: Final = ("Invert", "SaveImage", "EnsureType", "ToDevice", "CopyItems", "DeleteItems")
_NETWORKS: Final = ("SegResNet", "UNet")
_CONFIGURATIONS: Final = ("inference.json", "inference.yaml", "inference.yml")
#: Regions written as labels, as brats_mri_segmentation does; blanks taken out, the first that holds counts.
_PAINTING: Final = re.compile(r"\$lambda(\w+):(?:torch\.where\(\1\[\[\d+\]\]>0,\d+,)+0\)+")
_PAINTED: Final = re.compile(r"\[\[(\d+)\]\]>0,(\d+),")
Config = dict[str, JsonValue]


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Channels(_Read):
    channel_def: dict[str, str] = Field(default_factory=dict)


class _Format(_Read):
    inputs: dict[str, _Channels] = Field(default_factory=dict)
    outputs: dict[str, _Channels] = Field(default_factory=dict)


class _Metadata(_Read):
    name: str = ""
    version: str = ""
    description: str = ""
    license: str = ""
    network_data_format: _Format = _Format()


class _Window(_Read):
    roi_size: tuple[int, int, int]
    overlap: float = 0.25
    mode: Literal["constant", "gaussian"] = "constant"
    sigma_scale: float = 0.125
    padding_mode: Literal["constant"] = "constant"


@dataclass(frozen=True)
class _Steps:
    """What transforms add up to."""

    orientation: str = ""
    spacing: tuple[float, float, float] | None = None
    normalisation: Normalisation = "none"
    activation: Literal["sigmoid", "softmax", "none"] = "none"
    threshold: float | None = None
    argmax: bool = False
    painted: tuple[tuple[int, int], ...] = ()
    channels: tuple[str, ...] = field(default=())


def weights_of(request: ConversionRequest) -> Path:
    """Return the file of the weights: ``model.pt``, else TorchScript's ``model.ts``.

    Raises
    ------
    GlioLoopError
        IMPORT_UNREADABLE where there is neither.
    """
    paths = [request.folder / "models" / name for name in ("model.pt", "model.ts")]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise GlioLoopError("IMPORT_UNREADABLE", "neither models/model.pt nor models/model.ts is there")
    return found


def describe(request: ConversionRequest) -> Described:
    """Read what a bundle says of its network.

    Raises
    ------
    GlioLoopError
        IMPORT_UNREADABLE, IMPORT_UNSUPPORTED, IMPORT_CHANNEL_UNKNOWN, IMPORT_REGION_UNKNOWN.
    """
    configs = request.folder / "configs"
    try:
        config = _Bundle(_configuration(configs))
        path = configs / "metadata.json"
        metadata = _Metadata.model_validate(json_file(path)) if path.is_file() else _Metadata()
        window = _Window.model_validate(config.section("inferer", "SlidingWindowInferer"))
    except (OSError, ValidationError) as error:
        raise GlioLoopError("IMPORT_UNREADABLE", told(error)) from None
    if window.mode == "gaussian" and window.sigma_scale != 0.125:
        raise GlioLoopError("IMPORT_UNSUPPORTED", f"sigma_scale {window.sigma_scale}")
    steps = _Steps()
    for transform in config.transforms("preprocessing"):
        steps = _before(steps, transform)
    for transform in config.transforms("postprocessing"):
        steps = _after(steps, transform)
    network = config.section("network_def", *_NETWORKS)
    notes, of_brats = [], "brats" in metadata.model_dump_json().lower()
    spacing = request.spacing_mm or steps.spacing
    if spacing is None and not of_brats:
        raise GlioLoopError("IMPORT_UNREADABLE", "the bundle does not say its voxel size; give --spacing x,y,z")
    if spacing is None:
        notes.append("voxels are taken to be of 1 mm, as BraTS's (--spacing)")
    orientation, assumed = orientation_of(request, steps.orientation)
    notes += assumed
    name, arguments = str(network["_target_"]), {key: one for key, one in network.items() if key != "_target_"}
    names = steps.channels or _named(metadata.network_data_format.inputs, arguments.get("in_channels"))
    x, y, z = window.roi_size
    grid = InputGrid(
        order=sequences_of(names, request.channels),
        spacing_mm=spacing or (1.0, 1.0, 1.0),
        orientation=orientation,
        window=(z, y, x),
        multiple=1,
        fixed=True,
        overlap=window.overlap,
        importance=window.mode,
        placement="strided",
        normalisation=steps.normalisation,
    )
    outputs = _named(metadata.network_data_format.outputs, arguments.get("out_channels"))
    if steps.activation == "none":
        raise GlioLoopError("IMPORT_UNSUPPORTED", "outputs without Activations (sigmoid or softmax)")
    exclusive = steps.activation == "softmax"
    found = (
        outputs_of_labels({one: k for k, one in enumerate(outputs)}, request.labels)
        if exclusive
        else outputs_of_regions(outputs, request.labels, 0.5 if steps.threshold is None else steps.threshold)
    )
    return Described(
        name=metadata.name or request.folder.name,
        description=metadata.description or f"{request.folder.name}, a MONAI bundle",
        licence=metadata.license,
        architecture=Architecture(name, arguments),
        grid=grid,
        activation=steps.activation,
        outputs=found,
        axes=_AXES,
        skull_stripped=steps.normalisation == "z_score_nonzero",
        decision="argmax" if exclusive and steps.argmax else "sum",
        nesting=_nesting(steps.painted, found),
        notes=tuple(notes),
    )


def _configuration(configs: Path) -> Config:
    """Return what configs/inference.json, or .yaml, holds.

    Raises
    ------
    OSError, ValidationError
        Not there; neither JSON nor YAML of JSON's values.
    """
    path = next(
        (configs / name for name in _CONFIGURATIONS if (configs / name).is_file()), configs / _CONFIGURATIONS[0]
    )
    if path.suffix == ".json":
        return _object(json_file(path), f"configs/{path.name}")
    try:
        text = path.read_bytes()
        if any(isinstance(one, yaml.AliasEvent) for one in yaml.parse(text)):
            raise yaml.YAMLError("aliases (*) are not followed: a few of them in each other would fill the memory")
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise GlioLoopError("IMPORT_UNREADABLE", f"configs/{path.name}: {' '.join(str(error).split())[:300]}") from None
    return _object(TypeAdapter(JsonValue).validate_python(found), f"configs/{path.name}")


def _nesting(painted: Listing[tuple[int, int]], outputs: Listing[Output]) -> Nesting:
    """Which region gives way, by the labels that are written where channels are sure; else the inner one."""
    if not painted:
        return "outer"
    channels = [next(one.channels[0] for one in outputs if one.region is region) for region in TUMOUR_REGIONS]
    labels = dict(painted)
    if len(labels) < len(painted) or not set(channels) <= set(labels):
        raise GlioLoopError("IMPORT_UNSUPPORTED", "postprocessing Lambdad: not one label for each region")
    members = {one: frozenset(labels[inner] for inner in channels[k:]) for k, one in enumerate(channels)}
    return nesting_of(outputs, members, dict(reversed(painted)))


class _Bundle:
    """A configuration whose references are followed and whose Python is not."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def section(self, name: str, *targets: str) -> Config:
        """Return a section that names one of these classes."""
        found = _object(self._plain(self._config.get(name), name), name)
        target = str(found.get("_target_", "nothing"))
        if target.rpartition(".")[2] not in targets:
            raise GlioLoopError("IMPORT_UNSUPPORTED", f"{name}: {target}")
        return found

    def transforms(self, name: str) -> list[Config]:
        """Return the transforms of a ``Compose``."""
        listed = self.section(name, "Compose").get("transforms")
        if not isinstance(listed, list):
            raise GlioLoopError("IMPORT_UNREADABLE", f"{name} lists no transforms")
        return [_object(one, name) for one in listed if not _disabled(one)]

    def _plain(self, value: JsonValue, where: str, depth: int = 0) -> JsonValue:
        if isinstance(value, str) and value.startswith("@") and depth < 20:
            name = value[1:]
            if name in self._config:
                return self._plain(self._config[name], name, depth + 1)
            found: JsonValue = self._config
            for part in re.split(r"#|::", name):
                found = found.get(part) if isinstance(found, dict) else None
            return value if found is None else self._plain(found, name, depth + 1)
        if isinstance(value, dict):
            return {key: self._plain(one, f"{where}: {key}", depth + 1) for key, one in value.items()}
        return [self._plain(one, where, depth + 1) for one in value] if isinstance(value, list) else value


def _before(steps: _Steps, transform: Config) -> _Steps:
    """What one transform before the network adds."""
    name = _name(transform)
    if name in _PLAIN:
        return steps
    if name == "Orientation" and isinstance(code := transform.get("axcodes"), str):
        return replace(steps, orientation=code)
    if name == "Spacing" and isinstance(pixdim := transform.get("pixdim"), list) and len(pixdim) == 3:
        x, y, z = (_number(one, "pixdim") for one in pixdim)
        return replace(steps, spacing=(x, y, z))
    if name == "ConcatItems" and isinstance(keys := transform.get("keys"), list):
        return replace(steps, channels=tuple(map(str, keys)))
    if name == "NormalizeIntensity":
        lacking = {"subtrahend", "divisor"} & {key for key, one in transform.items() if one is not None}
        if transform.get("channel_wise") is not True or lacking:
            raise GlioLoopError(
                "IMPORT_UNSUPPORTED", f"NormalizeIntensity of all channels together, or {lacking or 'so'}"
            )
        return replace(steps, normalisation="z_score_nonzero" if transform.get("nonzero") is True else "z_score")
    raise GlioLoopError("IMPORT_UNSUPPORTED", f"preprocessing {transform.get('_target_')}")


def _after(steps: _Steps, transform: Config) -> _Steps:
    """What one transform after the network adds."""
    name = _name(transform)
    if name in _RETURNING:
        return steps
    if name == "Activations" and (transform.get("sigmoid") is True or transform.get("softmax") is True):
        return replace(steps, activation="sigmoid" if transform.get("sigmoid") is True else "softmax")
    if name == "AsDiscrete":
        given = transform.get("threshold")
        return replace(
            steps,
            argmax=transform.get("argmax") is True,
            threshold=None if given is None else _number(given, "threshold"),
        )
    if name == "Lambda" and steps.threshold is not None:
        said = "".join(str(transform.get("func")).split())
        if _PAINTING.fullmatch(said):
            return replace(steps, painted=tuple((int(one), int(label)) for one, label in _PAINTED.findall(said)))
    raise GlioLoopError("IMPORT_UNSUPPORTED", f"postprocessing {transform.get('_target_')}")


def _name(transform: Config) -> str:
    name = str(transform.get("_target_")).rpartition(".")[2]
    return re.sub(r"(d|D|Dict)$", "", name) if name not in ("Load",) else name


def _disabled(transform: JsonValue) -> bool:
    return isinstance(transform, dict) and transform.get("_disabled_") is True


def _named(formats: dict[str, _Channels], count: JsonValue) -> tuple[str, ...]:
    """Names of channels in their order; their numbers where there are none."""
    found = next((one.channel_def for one in formats.values() if one.channel_def), {})
    if not found and isinstance(count, int):
        found = {str(number): str(number) for number in range(count)}
    return tuple(name for _, name in sorted(found.items(), key=lambda item: int(item[0])))


def _number(value: JsonValue, what: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise GlioLoopError("IMPORT_UNSUPPORTED", f"{what} {value}")


def _object(value: JsonValue, what: str) -> Config:
    if isinstance(value, dict):
        return value
    raise GlioLoopError("IMPORT_UNREADABLE", f"{what} holds no names and values")
