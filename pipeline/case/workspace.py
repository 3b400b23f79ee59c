"""A case's working files: what one stage leaves for the next, on disk, so that a job survives its worker.

Every file is written beside its name and renamed, and reaches the disk before the stage counts as done:
a stage whose success is recorded has whole files behind it, after a power cut too.
"""

import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from pipeline.align import Alignment
from pipeline.errors import GlioLoopError
from pipeline.names import MRSequence, Region, Stage
from pipeline.volume.records import SliceSource, SourceVolume

#: Name of the reference series in its own resolution.
_REFERENCE = "reference"
#: Begins the name of an empty file for each stage that has left its files.
_DONE = "done-"


@dataclass(frozen=True)
class Workspace:
    """The working files of one case.

    Attributes
    ----------
    path
        The folder; made when first written to.
    """

    path: Path

    def source(self, sequence: MRSequence) -> Path:
        """Folder with the DICOM files of a sequence."""
        return self.path / "source" / sequence.value

    def source_files(self, sequence: MRSequence) -> list[Path]:
        """DICOM files of a sequence, sorted by name."""
        return sorted(self.source(sequence).glob("*"))

    def drop_sources(self) -> None:
        """Drop the DICOM files of all sequences."""
        shutil.rmtree(self.path / "source", ignore_errors=True)

    def rename_sources(self, before: Mapping[MRSequence, MRSequence]) -> None:
        """Give the DICOM files of sequence ``before[sequence]`` to ``sequence``, for all that change places."""
        changed = {sequence: old for sequence, old in before.items() if sequence is not old}
        for old in changed.values():
            self.source(old).rename(self.source(old).with_suffix(".moving"))
        for sequence, old in changed.items():
            self.source(old).with_suffix(".moving").rename(self.source(sequence))

    def note_stage(self, stage: Stage) -> None:
        """Note that a stage has left its files here."""
        self.write_bytes(f"{_DONE}{stage.value}", b"")

    def has_stage(self, stage: Stage) -> bool:
        """Whether a stage has left its files here: they may lie on another host's disk."""
        return (self.path / f"{_DONE}{stage.value}").exists()

    @property
    def remains(self) -> list[Path]:
        """Files that stay when the working files of an ended job are dropped, but the job's log."""
        dropped = ("*.mha", "source/*/*", "objects/*/*", f"{_DONE}*", "log.jsonl")
        files = (path for path in self.path.rglob("*") if path.is_file())
        return [one for one in files if not any(one.relative_to(self.path).match(pattern) for pattern in dropped)]

    @property
    def objects(self) -> Path:
        """Folder with the result's DICOM objects and preview."""
        return self.path / "objects"

    def write_volume(self, sequence: MRSequence, volume: SourceVolume) -> None:
        """Keep a series as a volume with the record of its slices."""
        self._write_volume(f"volume-{sequence.value}", volume)

    def write_reference(self, volume: SourceVolume) -> None:
        """Keep the reference series in its own resolution, where its volume is a coarser copy."""
        self._write_volume(_REFERENCE, volume)

    def read_reference(self, sequence: MRSequence) -> SourceVolume:
        """Return the reference series, which is this sequence, in its own resolution."""
        name = _REFERENCE if (self.path / f"{_REFERENCE}.json").exists() else f"volume-{sequence.value}"
        return self._read_volume(name)

    def _write_volume(self, name: str, volume: SourceVolume) -> None:
        self.write_image(name, volume.image)
        if volume.valid is not None:
            self.write_image(f"{name}-valid", volume.valid)
        record = {one.name: getattr(volume, one.name) for one in fields(volume) if one.name != "image"}
        slices = [asdict(one) for one in volume.slices]
        self.write_json(name, record | {"valid": volume.valid is not None, "slices": slices})

    def read_volume(self, sequence: MRSequence) -> SourceVolume:
        """Return what :meth:`write_volume` kept."""
        return self._read_volume(f"volume-{sequence.value}")

    def _read_volume(self, name: str) -> SourceVolume:
        record = self.read_json(name)
        slices = tuple(SliceSource(**{**one, "position": tuple(one["position"])}) for one in record["slices"])
        valid = self.read_image(f"{name}-valid") if record.get("valid") else None
        return SourceVolume(**{**record, "image": self.read_image(name), "valid": valid, "slices": slices})

    def instances(self, sequence: MRSequence) -> list[str]:
        """SOP Instance UIDs of a sequence's slices, sorted.

        Raises
        ------
        GlioLoopError
            CASE_LOST.
        """
        return sorted({one["sop_instance_uid"] for one in self.read_json(f"volume-{sequence.value}")["slices"]})

    def write_volumes(self, volumes: Mapping[MRSequence, SourceVolume]) -> None:
        """Keep the volumes of a study, and which they are: a file that is lost is no sequence that lacks."""
        for sequence, volume in volumes.items():
            self.write_volume(sequence, volume)
        self.write_json("volumes", [sequence.value for sequence in volumes])

    def read_volumes(self, wanted: Collection[MRSequence] = tuple(MRSequence)) -> dict[MRSequence, SourceVolume]:
        """Return what :meth:`write_volumes` kept of the wanted sequences.

        Raises
        ------
        GlioLoopError
            CASE_LOST.
        """
        kept = (MRSequence(name) for name in self.read_json("volumes"))
        return {sequence: self.read_volume(sequence) for sequence in kept if sequence in wanted}

    def write_alignments(self, alignments: Mapping[MRSequence, Alignment]) -> None:
        """Keep how each sequence lies to the reference."""
        self.write_json("alignment", {sequence.value: one.as_json() for sequence, one in alignments.items()})

    def read_alignments(self) -> dict[MRSequence, Alignment]:
        """Return what :meth:`write_alignments` kept.

        Raises
        ------
        GlioLoopError
            CASE_LOST.
        """
        return {MRSequence(name): Alignment.from_json(one) for name, one in self.read_json("alignment").items()}

    def write_regions(self, prefix: str, images: Mapping[Region, sitk.Image]) -> None:
        """Keep one image per region."""
        for region, image in images.items():
            self.write_image(f"{prefix}-{region.value}", image)

    def read_regions(self, prefix: str) -> dict[Region, sitk.Image]:
        """Return the images that :meth:`write_regions` kept under this prefix."""
        return {
            region: self.read_image(f"{prefix}-{region.value}")
            for region in Region
            if (self.path / f"{prefix}-{region.value}.mha").exists()
        }

    def write_image(self, name: str, image: sitk.Image) -> None:
        """Keep an image, uncompressed: speed counts here, not size."""
        self.path.mkdir(parents=True, exist_ok=True)
        part = self.path / f"{name}.part.mha"
        sitk.WriteImage(image, part, useCompression=False)
        _commit(part, self.path / f"{name}.mha")

    def has_image(self, name: str) -> bool:
        """Whether :meth:`write_image` kept an image of this name."""
        return (self.path / f"{name}.mha").exists()

    def read_image(self, name: str) -> sitk.Image:
        """Return an image that :meth:`write_image` kept.

        Raises
        ------
        GlioLoopError
            CASE_LOST.
        """
        path = self.path / f"{name}.mha"
        if not path.exists():
            raise GlioLoopError("CASE_LOST", path.name)
        return sitk.ReadImage(path)

    def write_json(self, name: str, value: object) -> None:
        """Keep a record."""
        self.write_bytes(f"{name}.json", json.dumps(value, indent=1).encode())

    def read_json(self, name: str) -> Any:
        """Return a record that :meth:`write_json` kept.

        Raises
        ------
        GlioLoopError
            CASE_LOST.
        """
        path = self.path / f"{name}.json"
        if not path.exists():
            raise GlioLoopError("CASE_LOST", path.name)
        return json.loads(path.read_text())

    def write_bytes(self, name: str, content: bytes) -> Path:
        """Keep a file; ``name`` may name a folder inside the case."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(content)
        _commit(part, path)
        return path

    def tidy(self) -> None:
        """Drop the working files of an ended job; its objects but for series, preview and records stay."""
        self.drop_sources()
        for folder in self.objects.glob("*/"):
            shutil.rmtree(folder)
        for path in (*self.path.glob("*.mha"), *self.path.glob(f"{_DONE}*")):
            path.unlink()


def _commit(part: Path, path: Path) -> None:
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
