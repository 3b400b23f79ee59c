"""Fixtures for every test: the shared data, where they are."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
