"""The study page in edit mode, and what its keys and pointer are to draw there: by this module's own arithmetic."""

import numpy as np
import pydicom
import SimpleITK as sitk
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from pipeline.objects.rtstruct.read import read_structure_set
from tests.browser.conftest import Browser
from tests.unit.objects.phantom import volume_of

#: Voxels inside of each ROI, by its number; bool, shape (slices, rows, columns).
Masks = dict[int, np.ndarray]


class Canvas:
    """A picture of a slice in edit mode, its voxels, and what its keys and pointer are to draw there."""

    def __init__(self, browser: Browser, headers: list[pydicom.Dataset], masks: Masks) -> None:
        self.browser, self.masks = browser, masks
        self.element = browser.find("canvas[data-sequence=t1c]")
        self.rows, self.columns = headers[0].Rows, headers[0].Columns
        self.spacing = [float(one) for one in headers[0].PixelSpacing]
        first, second = (np.array(one.ImagePositionPatient, float) for one in headers[:2])
        self.voxel_ml = float(np.prod(self.spacing) * np.linalg.norm(second - first)) / 1000
        self.k = int(browser.text(".slice-number").split("/")[0]) - 1

    def keys(self, *keys: str) -> None:
        self.element.send_keys(*keys)

    def chord(self, key: str) -> None:
        """A key with Ctrl."""
        ActionChains(self.browser.driver).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()

    def shifted(self, key: str, times: int) -> None:
        ActionChains(self.browser.driver).key_down(Keys.SHIFT).send_keys(key * times).key_up(Keys.SHIFT).perform()

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Press the pointer on a voxel (column, row), and release it on another."""
        press, release = ([*self._offset(*one)] for one in (start, end))
        chain = ActionChains(self.browser.driver).move_to_element_with_offset(self.element, *press)
        chain.click_and_hold().move_to_element_with_offset(self.element, *release).release().perform()

    def _offset(self, column: int, row: int) -> tuple[int, int]:
        width, height = self.element.rect["width"], self.element.rect["height"]
        return round(((column + 0.5) / self.columns - 0.5) * width), round(((row + 0.5) / self.rows - 0.5) * height)

    def disc(self, column: int, row: int, radius_mm: float) -> np.ndarray:
        j, i = np.mgrid[: self.rows, : self.columns]
        down, across = self.spacing
        return np.asarray(((i - column) * across) ** 2 + ((j - row) * down) ** 2 <= radius_mm**2)

    def paint(self, disc: np.ndarray, *numbers: int) -> None:
        for number in numbers:
            self.masks[number][self.k] |= disc

    def erase(self, disc: np.ndarray, *numbers: int) -> None:
        for number in numbers:
            self.masks[number][self.k] &= ~disc


def masks_of(dataset: pydicom.Dataset, headers: list[pydicom.Dataset]) -> Masks:
    """Voxels inside of each ROI, by its number."""
    volume = volume_of(headers, np.zeros((len(headers), headers[0].Rows, headers[0].Columns)))
    return {one.number: sitk.GetArrayFromImage(one.mask) > 0 for one in read_structure_set(dataset, volume)}
