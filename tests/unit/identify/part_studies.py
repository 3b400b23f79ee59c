"""The sample study with more in its series than one image at each position."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RawDataStorage, generate_uid

Change = Callable[[Dataset], None]


def copied(sample: Path, target: Path) -> Path:
    """A copy of the sample study's images."""
    for name in ("t1", "t1c", "t2", "flair"):
        shutil.copytree(sample / name, target / name)
    return target


def images(folder: Path) -> list[Dataset]:
    """The images of a series, by InstanceNumber."""
    return sorted((dcmread(path) for path in folder.iterdir()), key=lambda one: int(one.InstanceNumber))


def halved(dataset: Dataset) -> Dataset:
    """The same image with every second pixel."""
    pixels = dataset.pixel_array[::2, ::2]
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelSpacing = [2.0 * float(one) for one in dataset.PixelSpacing]
    return _with_pixels(dataset, pixels)


def repainted(dataset: Dataset, paint: Callable[[np.ndarray], np.ndarray]) -> Dataset:
    """The same image with other pixels, uncompressed."""
    return _with_pixels(dataset, np.clip(paint(dataset.pixel_array.astype(float)), 0, 4095))


def _with_pixels(dataset: Dataset, pixels: np.ndarray) -> Dataset:
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.PixelData = np.ascontiguousarray(pixels.astype(np.uint16)).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset["PixelData"].is_undefined_length = False
    return dataset


def proton_density(pixels: np.ndarray) -> np.ndarray:
    """Tissue of nearly one brightness."""
    return 300 * pixels / (pixels + 60)


def add(folder: Path, datasets: Iterable[Dataset], change: Change, like: Dataset | None = None) -> None:
    """Put images into a series, as instances of their own after those there."""
    there = images(folder)
    series = like or there[0]
    for number, dataset in enumerate(datasets, start=len(there) + 1):
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = series.SeriesInstanceUID, series.StudyInstanceUID
        dataset.SeriesDescription, dataset.ProtocolName = series.SeriesDescription, series.ProtocolName
        dataset.SeriesNumber, dataset.InstanceNumber = series.SeriesNumber, number
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        change(dataset)
        dataset.save_as(folder / f"added-{number:04d}.dcm")


def changed(folder: Path, change: Change) -> None:
    """Change every image of a series in place."""
    for path in folder.iterdir():
        dataset = dcmread(path)
        change(dataset)
        dataset.save_as(path)


def setting(**values: object) -> Change:
    """A change that sets attributes."""

    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


def raw_data(folder: Path, uid: str = "") -> None:
    """A Raw Data object, as Philips puts it into the series of images."""
    source = images(folder)[0]
    dataset = Dataset()
    dataset.file_meta = source.file_meta
    for keyword in (
        "StudyDate",
        "StudyTime",
        "PatientName",
        "PatientID",
        "Modality",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SeriesDescription",
        "SeriesNumber",
        "Manufacturer",
        "FrameOfReferenceUID",
    ):
        setattr(dataset, keyword, source.get(keyword))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = RawDataStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid or generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.InstanceNumber = 20  # in the middle of the images'
    dataset.save_as(folder / "raw.dcm", enforce_file_format=True)


def dual_echo(study: Path, proton_first: bool = True) -> None:
    """PD and T2 in one series."""
    changed(study / "t2", setting(EchoNumbers=2 if proton_first else 1))
    echo = setting(EchoTime=14.0, EchoNumbers=1 if proton_first else 2)
    add(study / "t2", [repainted(one, proton_density) for one in images(study / "t2")], echo)
    changed(study / "t2", setting(SeriesDescription="PD+T2 TSE AX", ProtocolName="PD+T2 TSE AX"))


def two_acquisitions(study: Path, **native: object) -> None:
    """T1 before and after contrast in the series of the latter."""
    if not native:
        native = {"AcquisitionNumber": 1, "AcquisitionTime": "090200"}
        changed(study / "t1c", setting(AcquisitionNumber=2))
    enhanced = images(study / "t1c")[0]
    change = setting(**{"ContrastBolusAgent": enhanced.get("ContrastBolusAgent", ""), **native})
    add(study / "t1c", images(study / "t1"), change, enhanced)
