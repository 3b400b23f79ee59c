"""Where contours must be drawn, from the structure set and the images alone, and whether a picture shows them there."""

import io
from typing import Any

import numpy as np
import pydicom
from pydicom.filebase import DicomBytesIO

from tests.browser.conftest import Site


def structure_set(site: Site, job: dict[str, Any]) -> pydicom.Dataset:
    with site.pair.node.client() as client:
        identity = job["result"]["stored"]["rtstruct"]
        return pydicom.dcmread(DicomBytesIO(client.get(f"/instances/{identity}/file").raise_for_status().content))


def reference_slices(site: Site, job: dict[str, Any]) -> list[pydicom.Dataset]:
    """Headers of the reference series, along its normal."""
    with site.pair.node.client() as client:
        chosen = client.get(f"/glioloop/studies/{job['study']}").json()["identification"]["chosen"]["t1c"]
        found = client.post("/tools/lookup", content=chosen).json()[0]["ID"]
        files = [
            client.get(f"/instances/{one}/file").content for one in client.get(f"/series/{found}").json()["Instances"]
        ]
    headers = [pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True) for file in files]
    rows, columns = np.array(headers[0].ImageOrientationPatient, float).reshape(2, 3)
    return sorted(
        headers, key=lambda one: float(np.dot(np.cross(rows, columns), np.array(one.ImagePositionPatient, float)))
    )


def expected_points(header: pydicom.Dataset, contours: pydicom.Sequence) -> np.ndarray:
    """Contour points of one slice as (column, row), by PS3.3 C.7.6.2.1.1; independent of the product's code."""
    rows, columns = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    down, across = (float(value) for value in header.PixelSpacing)
    points = [
        np.array(contour.ContourData, float).reshape(-1, 3)
        for contour in contours
        if contour.ContourImageSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID
    ]
    offset = np.concatenate(points) - np.array(header.ImagePositionPatient, float)
    return np.stack([offset @ rows / across, offset @ columns / down], axis=1)


def share_in_colour(picture: np.ndarray, points: np.ndarray, size: tuple[int, int], colour: list[int]) -> float:
    """Share of the points at which the picture has the colour, within a pixel around."""
    height, width = picture.shape[:2]
    hit = 0
    for column, row in points:
        x, y = round((column + 0.5) * width / size[0] - 0.5), round((row + 0.5) * height / size[1] - 0.5)
        patch = picture[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].reshape(-1, 3).astype(int)
        hit += bool((np.abs(patch - colour).max(axis=1) < 70).any())
    return hit / len(points)
