"""Fixtures for every test: the shared data, where they are."""

import os
import signal
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Heed an interrupt, and so have what tests start heed it, where a shell began the tests in its background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real studies and cases; tests that need it skip where it is not there."""
    folder = Path(os.environ.get("GLIOLOOP_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not there ({folder.name} folder of GLIOLOOP_SHARED)")
    return folder


@pytest.fixture(scope="session")
def real_study(shared_data: Path) -> Path:
    """One real clinical study: four sequences in different oblique planes, the patient moved."""
    return shared_data / "tcga-fg-6692" / "dicom"


@pytest.fixture(scope="session")
def sample_study() -> Path:
    """The synthetic study that the product ships."""
    return ROOT / "samples" / "synthetic-study"


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory, sample_study: Path) -> Path:
    """The sample study with every fourth pixel of every second slice: seconds instead of half a minute a job."""
    target = tmp_path_factory.mktemp("small")
    for path in (path for series in sample_study.glob("*/") for path in sorted(series.glob("*.dcm"))[::2]):
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array[::4, ::4].copy()
        dataset.PixelData = pixels.tobytes()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelSpacing = [4 * float(one) for one in dataset.PixelSpacing]
        dataset.SpacingBetweenSlices *= 2
        (target / path.parent.name).mkdir(exist_ok=True)
        dataset.save_as(target / path.parent.name / path.name, enforce_file_format=True)
    return target


#: Modules that take longest: begun first, so that none of them is left alone at the end.
_LONG = (
    "test_closed_loop",
    "test_recovery",
    "test_loop",
    "test_foreign_corrections",
    "test_check",
    "test_whole_path",
    "test_defaced_study",
    "test_dashboard",
    "test_parts",
    "test_feedback",
    "test_lacking_sequence",
    "test_viewer",
    "test_identification",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the modules by how long they take; the tests of each stay as they are."""
    order = {name: number for number, name in enumerate(_LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
