"""What becomes of corrections as people and workstations really make them: deletions, copies, lesions, damage.

Each of its tests is a few lines on the same fixtures; there are many, which is why this file is long.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from pydicom.uid import generate_uid

from pipeline.align import Alignment
from pipeline.case.job import JobView
from pipeline.corrections.importing import Outcome, ProcessedStudy, import_object, judge_without_images
from pipeline.corrections.recognise import OwnObject, content_hash
from pipeline.corrections.regions import RegionNames
from pipeline.corrections.store import CorrectionStore
from pipeline.corrections.study import Study
from pipeline.corrections.verdicts import Verdict
from pipeline.database.engine import database_in
from pipeline.names import DELINEATED_REGIONS, ROI_NAMES, TUMOUR_REGIONS, JobState, MRSequence, Region
from pipeline.objects import Provenance, RegionOfInterest, RTStructureSet, build_objects
from pipeline.settings.corrections import CorrectionPolicy
from pipeline.volume.records import SourceVolume
from tests.surfaces import decoded
from tests.unit.objects.phantom import CORONAL, image_like, phantom_series, volume_of

Mask = NDArray[np.bool_]
NAMES = RegionNames(ROI_NAMES, CorrectionPolicy())
TUMOUR_NAMES = tuple(ROI_NAMES[region] for region in TUMOUR_REGIONS)
SHAPE, SPACING = (20, 40, 48), (1.0, 1.0, 1.5)
RADII = dict(zip(TUMOUR_REGIONS, (9.0, 7.0, 5.0), strict=True))


def ball(volume: SourceVolume, radius: float, off: tuple[float, float, float] = (0, 0, 0)) -> Mask:
    """A ball, shape (slices, rows, columns), its centre so many mm off the volume's middle along its axes x, y, z."""
    z, y, x = np.meshgrid(*[np.arange(n, dtype=float) for n in SHAPE], indexing="ij")
    middle = [(n - 1) / 2 for n in SHAPE[::-1]]
    parts = [((one - c) * s - o) ** 2 for one, c, s, o in zip((x, y, z), middle, SPACING, off, strict=True)]
    return np.asarray(sum(parts) <= radius**2)


class Desk:
    """A processed study, and a radiologist's desk where its objects are edited and handed in."""

    def __init__(self, folder: Path, with_cavity: bool = False) -> None:
        self.folder = folder
        self.names = NAMES
        self.headers, self.volume = phantom_series(SHAPE, SPACING)
        still = Alignment(sitk.Euler3DTransform(), 0.0, 1.0, 0.0, 0.0)
        self.study = Study({MRSequence.T1C: self.volume}, {MRSequence.T1C: still}, MRSequence.T1C)
        self.automatic = self.regions()
        cavity = {Region.CAVITY: ball(self.volume, 4.0, (14, 0, 0))} if with_cavity else {}
        made = self.objects({**self.automatic, **cavity})
        objects = folder / "objects"
        objects.mkdir()
        own = {}
        for kind, dataset in made.items():
            dataset.save_as(objects / f"{kind}.dcm", enforce_file_format=True)
            uid = str(dataset.SOPInstanceUID)
            own[uid] = OwnObject("j", uid, str(dataset.SeriesInstanceUID), content_hash(objects / f"{kind}.dcm"))
        job = JobView(id="0" * 32, state=JobState.DONE, model="m@1", updated="")
        self.processed = ProcessedStudy("study", "P1", self.volume.study_instance_uid, job, own, objects)
        self.store = CorrectionStore(folder / "feedback", database_in(folder))
        self.structure_set, self.segmentation = made["rtstruct"], made["seg"]
        self.structure_set.ApprovalStatus = "APPROVED"

    def regions(self) -> dict[Region, Mask]:
        """The regions as the network drew them."""
        return {region: ball(self.volume, radius) for region, radius in RADII.items()}

    def objects(self, masks: dict[Region, Mask]) -> dict[str, Dataset]:
        images = {region: image_like(mask.astype(np.uint8), self.volume) for region, mask in masks.items()}
        soft = {region: sitk.Cast(image, sitk.sitkFloat32) for region, image in images.items()}
        thresholds = dict.fromkeys(DELINEATED_REGIONS, 0.5)
        want = {"rtstruct", "seg"}
        return build_objects(self.headers, self.volume, soft, images, thresholds, Provenance("m@1"), want=want).datasets

    def hand_in(self, dataset: Dataset) -> Outcome:
        path = self.folder / "object.dcm"
        dataset.save_as(path, enforce_file_format=False, implicit_vr=False, little_endian=True)
        early = judge_without_images(path, self.processed, self.store)
        return early or import_object(path, self.processed, self.study, self.names, self.store, self.folder / "work")

    def edited(self, masks: dict[Region, Mask]) -> Dataset:
        """Our structure set, edited in place, with other contours in some ROIs."""
        dataset = copy.deepcopy(self.structure_set)
        for region, mask in masks.items():
            contours_of(dataset, ROI_NAMES[region]).ContourSequence = self.contours(mask)
        return dataset

    def contours(self, mask: Mask) -> list[Dataset]:
        roi = RegionOfInterest(1, "GTV", image_like(mask.astype(np.uint8), self.volume))
        made = RTStructureSet(self.headers, self.volume, [roi], Provenance("m@1"))
        return list(made.ROIContourSequence[0].get("ContourSequence", []))

    def add(self, dataset: Dataset, name: str, mask: Mask, algorithm: str = "") -> None:
        """Draw a further ROI."""
        roi, contours = Dataset(), Dataset()
        number = max([int(one.ROINumber) for one in dataset.StructureSetROISequence], default=0) + 1
        roi.ROINumber = contours.ReferencedROINumber = number
        roi.ROIName, roi.ROIGenerationAlgorithm = name, algorithm
        roi.ReferencedFrameOfReferenceUID = self.volume.frame_of_reference_uid
        contours.ContourSequence = self.contours(mask)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(contours)

    def fresh(self, **masks: Mask) -> Dataset:
        """A structure set that owes nothing to ours."""
        rois = [
            RegionOfInterest(number, name, image_like(mask.astype(np.uint8), self.volume))
            for number, (name, mask) in enumerate(masks.items(), 1)
        ]
        made: Dataset = RTStructureSet(self.headers, self.volume, rois, Provenance("m@1"))
        made.Manufacturer, made.ApprovalStatus = "ACME", "APPROVED"
        del made.ContributingEquipmentSequence
        return made

    def ml(self, mask: Mask) -> float:
        return float(mask.sum() * np.prod(SPACING) / 1000)


def contours_of(dataset: Dataset, name: str) -> Dataset:
    (number,) = [one.ROINumber for one in dataset.StructureSetROISequence if one.ROIName == name]
    (item,) = [one for one in dataset.ROIContourSequence if one.ReferencedROINumber == number]
    return item


def without(dataset: Dataset, *names: str) -> Dataset:
    """The same with ROIs deleted."""
    numbers = {one.ROINumber for one in dataset.StructureSetROISequence if one.ROIName in names}
    for keyword, number in (
        ("StructureSetROISequence", "ROINumber"),
        ("ROIContourSequence", "ReferencedROINumber"),
        ("RTROIObservationsSequence", "ReferencedROINumber"),
    ):
        setattr(dataset, keyword, [one for one in dataset[keyword].value if one[number].value not in numbers])
    return dataset


def saved_anew(dataset: Dataset) -> Dataset:
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    return dataset


def volumes(outcome: Outcome) -> tuple[float, float, float]:
    assert outcome.case is not None, (outcome.verdict, outcome.detail)
    return tuple(outcome.case.regions[region.value].corrected_ml for region in TUMOUR_REGIONS)  # type: ignore[return-value]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# --- deletions ---


def _emptied(dataset: Dataset, *names: str) -> Dataset:
    for name in names:
        del contours_of(dataset, name).ContourSequence
    return dataset


@pytest.mark.parametrize(
    ("link", "delete"),
    [
        ("in place", without),
        ("in place", _emptied),
        ("series", _emptied),
        ("predecessor", without),
        ("names", without),
        ("names", _emptied),
        ("one name and our equipment", without),
    ],
)
@pytest.mark.parametrize(
    ("gone", "left"),
    [
        (("GTV_WT",), ()),
        (("GTV_TC",), (Region.WT,)),
        (("GTV_ET",), (Region.WT, Region.TC)),
        (TUMOUR_NAMES, ()),
    ],
    ids=["WT", "TC", "ET", "all"],
)
def test_what_was_deleted_of_our_contours_is_gone(
    desk: Desk, gone: tuple[str, ...], left: tuple[Region, ...], link: str, delete: Callable[..., Dataset]
) -> None:
    dataset = delete(copy.deepcopy(desk.structure_set), *gone)
    if link != "in place":
        series, uid = dataset.SeriesInstanceUID, dataset.SOPInstanceUID
        saved_anew(dataset)
        if link == "series":
            dataset.SeriesInstanceUID = series
        elif link == "predecessor":
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, uid
            dataset.PredecessorStructureSetSequence = [item]
            dataset.Manufacturer = "ACME"
        elif link == "names":
            dataset.Manufacturer = "ACME"
            del dataset.ContributingEquipmentSequence
    outcome = desk.hand_in(dataset)
    if delete is without and len(gone) == 3 and "name" in link:
        assert outcome.verdict is Verdict.NO_REGION, "nothing in it tells that it is ours"
        return
    expected = [desk.ml(desk.automatic[region]) if region in left else 0 for region in TUMOUR_REGIONS]
    assert outcome.verdict is Verdict.CORRECTED
    assert volumes(outcome) == pytest.approx(expected, abs=0.01)
    assert f"{gone[0][-2:]} deleted" in outcome.detail
    assert outcome.case is not None
    assert all(region.drawn for region in outcome.case.regions.values())
    if gone == ("GTV_WT",):
        assert "TC, as the network had drawn it, follows" in outcome.detail


def test_what_a_fresh_drawing_lacks_was_not_drawn(desk: Desk) -> None:
    outcome = desk.hand_in(desk.fresh(GTV_WT=ball(desk.volume, 10)))
    assert outcome.case is not None
    assert [name for name, one in outcome.case.regions.items() if one.drawn] == ["WT"]
    assert volumes(outcome)[1] == pytest.approx(desk.ml(desk.automatic[Region.TC]), abs=0.01)


def test_an_inner_region_left_alone_does_not_hold_back_a_shrunken_outer_one(desk: Desk) -> None:
    smaller = ball(desk.volume, 6)
    outcome = desk.hand_in(desk.edited({Region.WT: smaller}))
    assert volumes(outcome) == pytest.approx(
        [desk.ml(smaller), desk.ml(smaller), desk.ml(desk.automatic[Region.ET])], abs=0.01
    )


def test_a_core_drawn_where_the_whole_tumour_was_deleted_is_all_there_is(desk: Desk) -> None:
    core = ball(desk.volume, 6, (2, 0, 0))
    outcome = desk.hand_in(without(desk.edited({Region.TC: core}), "GTV_WT"))
    assert volumes(outcome)[:2] == pytest.approx([desk.ml(core)] * 2, abs=0.01)


def test_a_region_given_a_name_of_its_own_was_not_deleted(desk: Desk) -> None:
    dataset = copy.deepcopy(desk.structure_set)
    dataset.StructureSetROISequence[2].ROIName = "Rest of the lesion"
    outcome = desk.hand_in(dataset)
    assert outcome.verdict is Verdict.ACCEPTED
    assert "'Rest of the lesion' may be it" in outcome.detail


def test_all_of_ours_gone_for_something_unknown_is_not_no_tumour(desk: Desk) -> None:
    dataset = without(copy.deepcopy(desk.structure_set), *TUMOUR_NAMES)
    desk.add(dataset, "Meningioma", ball(desk.volume, 5, (8, 0, 0)))
    outcome = desk.hand_in(dataset)
    assert (outcome.verdict, outcome.case) == (Verdict.NO_REGION, None)
    assert "Meningioma" in outcome.detail


@pytest.mark.parametrize("how", ["segment removed", "frames removed"])
def test_a_segment_that_was_deleted_is_gone(desk: Desk, how: str) -> None:
    """The network found all three; somebody saves a segmentation without the enhancing tumour."""
    masks = {**desk.automatic, Region.ET: desk.automatic[Region.ET] & False}
    dataset = desk.objects(masks)["seg"]
    if how == "segment removed":
        dataset.SegmentSequence = dataset.SegmentSequence[:2]
    dataset.SOPInstanceUID = desk.segmentation.SOPInstanceUID
    outcome = desk.hand_in(dataset)
    assert outcome.verdict is Verdict.CORRECTED
    assert volumes(outcome)[1:] == pytest.approx([desk.ml(masks[Region.TC]), 0], abs=0.01)


# --- a resection cavity beside them ---


@pytest.fixture
def after_surgery(tmp_path: Path) -> Desk:
    return Desk(tmp_path, with_cavity=True)


def test_nothing_is_learnt_of_a_cavity_whatever_is_done_to_it(after_surgery: Desk) -> None:
    """Deleted, drawn anew, damaged, copied: the tumour's contours stay what the network had drawn."""
    desk, name = after_surgery, ROI_NAMES[Region.CAVITY]
    deleted = without(copy.deepcopy(desk.structure_set), name)
    drawn_anew = desk.edited({Region.CAVITY: ball(desk.volume, 7, (2, 0, 0))})
    damaged = copy.deepcopy(desk.structure_set)
    contours_of(damaged, name).ContourSequence[0].ContourData = [1, 2, 3, 4]
    copied = copy.deepcopy(desk.structure_set)
    desk.add(copied, f"{name}_edited", ball(desk.volume, 7, (2, 0, 0)))
    for dataset in (deleted, drawn_anew, damaged, copied):
        outcome = desk.hand_in(dataset)
        assert (outcome.verdict, outcome.case is None) == (Verdict.ACCEPTED, False), outcome.detail
        assert outcome.case is not None
        assert list(outcome.case.regions) == ["WT", "TC", "ET"]
        assert not outcome.case.unknown_rois
        assert volumes(outcome) == pytest.approx([desk.ml(one) for one in desk.automatic.values()], abs=0.01)


@pytest.mark.parametrize("link", ["in place", "one name and our equipment"])
def test_a_cavity_that_is_left_alone_is_no_tumour_under_another_name(after_surgery: Desk, link: str) -> None:
    """All tumour was resected, says the radiologist: only the cavity is left."""
    dataset = without(copy.deepcopy(after_surgery.structure_set), *TUMOUR_NAMES)
    if link != "in place":
        saved_anew(dataset)
    outcome = after_surgery.hand_in(dataset)
    assert outcome.verdict is Verdict.CORRECTED, outcome.detail
    assert volumes(outcome) == (0, 0, 0)


def test_a_segmentation_with_a_cavity_is_corrected_like_any(after_surgery: Desk) -> None:
    masks = {**after_surgery.automatic, Region.ET: after_surgery.automatic[Region.ET] & False}
    dataset = after_surgery.objects({**masks, Region.CAVITY: ball(after_surgery.volume, 4.0, (14, 0, 0))})["seg"]
    dataset.SOPInstanceUID = after_surgery.segmentation.SOPInstanceUID
    outcome = after_surgery.hand_in(dataset)
    assert outcome.verdict is Verdict.CORRECTED
    assert volumes(outcome)[1:] == pytest.approx([after_surgery.ml(masks[Region.TC]), 0], abs=0.01)


@pytest.mark.parametrize("name", ["Cavity", "Cavity_Resection"])
def test_a_foreign_cavity_means_nothing(desk: Desk, name: str) -> None:
    dataset = desk.edited({Region.WT: ball(desk.volume, 10)})
    desk.add(dataset, name, ball(desk.volume, 4))
    outcome = desk.hand_in(dataset)
    assert outcome.case is not None
    assert outcome.case.unknown_rois == (name,)
    assert volumes(outcome)[0] == pytest.approx(desk.ml(ball(desk.volume, 10)), abs=0.01)


# --- several ROIs of one region ---


def test_two_lesions_are_a_union(desk: Desk) -> None:
    first, second = ball(desk.volume, 4, (-6, 0, 0)), ball(desk.volume, 3, (6, 0, 0))
    dataset = without(copy.deepcopy(desk.structure_set), "GTV_ET")
    desk.add(dataset, "GTV_ET_1", first)
    desk.add(dataset, "GTV_ET_2", second)
    outcome = desk.hand_in(dataset)
    assert volumes(outcome)[2] == pytest.approx(desk.ml(first | second), abs=0.01)
    assert "GTV_ET_1 and GTV_ET_2 together" in outcome.detail
    # The dashboard's view in 3D shows what was drawn, both of it.
    assert outcome.case is not None
    found, _ = decoded((desk.store.path(outcome.case.id) / f"{outcome.case.id}_surfaces.bin").read_bytes())
    assert list(found) == ["WT", "TC", "ET"]
    assert found["ET"].volume_ml() == pytest.approx(desk.ml(first | second), rel=0.06)


def test_a_lesion_beside_the_untouched_original_is_added(desk: Desk) -> None:
    second = ball(desk.volume, 4, (14, 0, 0))
    dataset = copy.deepcopy(desk.structure_set)
    desk.add(dataset, "GTV_ET_2", second)
    assert volumes(desk.hand_in(dataset))[2] == pytest.approx(desk.ml(desk.automatic[Region.ET] | second), abs=0.01)


@pytest.mark.parametrize("name", ["GTV_WT_JS", "GTV_WT (edited)", "GTV_WT~1", "GTV_WT_2", "whole tumour Korrektur"])
@pytest.mark.parametrize("algorithm", ["", "AUTOMATIC", "MANUAL"])
@pytest.mark.parametrize("radius", [7.5, 11.0])
def test_an_edited_copy_beside_the_untouched_original_is_the_correction(
    desk: Desk, name: str, algorithm: str, radius: float
) -> None:
    corrected = ball(desk.volume, radius)
    dataset = copy.deepcopy(desk.structure_set)
    desk.add(dataset, name, corrected, algorithm)
    outcome = desk.hand_in(saved_anew(dataset))
    assert volumes(outcome)[0] == pytest.approx(desk.ml(corrected), abs=0.01)
    assert f"WT is {name}, not GTV_WT" in outcome.detail


def test_an_edited_copy_somewhere_else_is_the_correction(desk: Desk) -> None:
    """The name says that it was worked on, and the images that nothing of the original was kept."""
    moved = ball(desk.volume, 4, (14, 0, 0))
    dataset = without(copy.deepcopy(desk.structure_set), "GTV_TC", "GTV_ET")
    desk.add(dataset, "GTV_WT_corrected", moved)
    assert volumes(desk.hand_in(dataset)) == pytest.approx([desk.ml(moved), 0, 0], abs=0.01)


def test_versions_that_nothing_tells_apart_are_refused(desk: Desk) -> None:
    dataset = desk.fresh(GTV_WT_JS=ball(desk.volume, 10), GTV_WT_AM=ball(desk.volume, 8))
    outcome = desk.hand_in(dataset)
    assert outcome.verdict is Verdict.AMBIGUOUS
    assert "GTV_WT_JS and GTV_WT_AM differ" in outcome.detail
    desk.add(dataset, "GTV_TC", ball(desk.volume, 5))
    outcome = desk.hand_in(dataset)
    assert outcome.case is not None
    assert [name for name, one in outcome.case.regions.items() if one.drawn] == ["TC"]


def test_of_two_versions_the_one_that_says_it_was_worked_on_counts(desk: Desk) -> None:
    dataset = desk.fresh(GTV_WT=ball(desk.volume, 10), GTV_WT_final=ball(desk.volume, 8))
    assert volumes(desk.hand_in(dataset))[0] == pytest.approx(desk.ml(ball(desk.volume, 8)), abs=0.02)


# --- what does not matter, and what is damaged ---


def _raw(dataset: Dataset, keyword: str, vr: str, value: object) -> None:
    tag = Tag(keyword)
    dataset[tag] = DataElement(tag, vr, value, validation_mode=0)


def _colours(dataset: Dataset) -> None:
    for item, value in zip(dataset.ROIContourSequence, (["255", "0"], "red", ["1.5", "2", "3"]), strict=True):
        _raw(item, "ROIDisplayColor", "LO", value)


def _names(dataset: Dataset) -> None:
    copied = copy.deepcopy(dataset.StructureSetROISequence[0])
    copied.ROINumber, copied.ROIName = 9, ""
    other = copy.deepcopy(copied)
    other.ROINumber = 10
    _raw(other, "ROIName", "LO", "A\\B")
    dataset.StructureSetROISequence.extend([copied, other])


def _backslash(dataset: Dataset) -> None:
    _raw(dataset.StructureSetROISequence[0], "ROIName", "LO", "GTV_WT\\JS")


def _counts(dataset: Dataset) -> None:
    for item in dataset.ROIContourSequence:
        for contour in item.ContourSequence:
            contour.NumberOfContourPoints = 3


def _observations(dataset: Dataset) -> None:
    for item in dataset.RTROIObservationsSequence:
        del item.ReferencedROINumber


def _references(dataset: Dataset) -> None:
    for item in dataset.ROIContourSequence:
        for contour in item.ContourSequence:
            _raw(contour, "ContourImageSequence", "LO", "none")


def _one_number(dataset: Dataset) -> None:
    del dataset.StructureSetROISequence[1].ROINumber


def _one_reference(dataset: Dataset) -> None:
    del dataset.ROIContourSequence[2].ReferencedROINumber


@pytest.mark.parametrize(
    "spoil", [_colours, _names, _backslash, _counts, _observations, _references, _one_number, _one_reference]
)
def test_a_correction_is_not_lost_for_what_does_not_matter(desk: Desk, spoil: Callable[[Dataset], None]) -> None:
    corrected = ball(desk.volume, 11)
    dataset = desk.edited({Region.WT: corrected})
    spoil(dataset)
    expected = [desk.ml(corrected), *(desk.ml(desk.automatic[region]) for region in TUMOUR_REGIONS[1:])]
    assert volumes(desk.hand_in(dataset)) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("keyword", "sequence"), [("ROINumber", "StructureSetROISequence"), ("ReferencedROINumber", "ROIContourSequence")]
)
def test_contours_that_belong_to_no_one_are_unreadable(desk: Desk, keyword: str, sequence: str) -> None:
    dataset = desk.edited({Region.WT: ball(desk.volume, 11)})
    for item in dataset[sequence].value:
        del item[keyword]
    outcome = desk.hand_in(dataset)
    assert outcome.verdict is Verdict.UNREADABLE
    assert keyword in outcome.detail


def _not_numbers(dataset: Dataset) -> None:
    _raw(contours_of(dataset, "GTV_TC").ContourSequence[3], "ContourData", "LO", "1\\two\\3")


def _not_triplets(dataset: Dataset) -> None:
    contours_of(dataset, "GTV_TC").ContourSequence[3].ContourData = [1, 2, 3, 4]


def _no_data(dataset: Dataset) -> None:
    for contour in contours_of(dataset, "GTV_TC").ContourSequence:
        del contour.ContourData


def _no_sequence(dataset: Dataset) -> None:
    _raw(contours_of(dataset, "GTV_TC"), "ContourSequence", "LO", "gone")


def _points_only(dataset: Dataset) -> None:
    """A mark where a biopsy was taken: nothing was emptied."""
    item = contours_of(dataset, "GTV_TC")
    item.ContourSequence = item.ContourSequence[3:4]
    item.ContourSequence[0].ContourGeometricType, item.ContourSequence[0].NumberOfContourPoints = "POINT", 1
    item.ContourSequence[0].ContourData = item.ContourSequence[0].ContourData[:3]


def _far_away(value: str) -> Callable[[Dataset], None]:
    def spoil(dataset: Dataset) -> None:
        contour = contours_of(dataset, "GTV_TC").ContourSequence[3]
        numbers = [str(one) for one in contour.ContourData]
        _raw(contour, "ContourData", "LO", "\\".join([value, *numbers[1:]]))

    return spoil


def _number_twice(dataset: Dataset) -> None:
    twin = copy.deepcopy(next(one for one in dataset.StructureSetROISequence if one.ROIName == "GTV_TC"))
    dataset.StructureSetROISequence.append(twin)


def _tangled(dataset: Dataset) -> None:
    """One contour that runs up and down fifteen thousand times."""
    contour = contours_of(dataset, "GTV_TC").ContourSequence[3]
    points = np.array([float(one) for one in contour.ContourData]).reshape(-1, 3)
    zigzag = np.repeat(points.mean(axis=0)[None], 30_000, axis=0)
    zigzag[:, 0] += np.linspace(-10, 10, len(zigzag))
    zigzag[::2, 1] += 10
    contour.ContourData, contour.NumberOfContourPoints = zigzag.round(3).ravel().tolist(), len(zigzag)


def _hatched(dataset: Dataset) -> None:
    """Hundreds of triangles across each other on one slice."""
    item = contours_of(dataset, "GTV_TC")
    middle = np.array([float(one) for one in item.ContourSequence[3].ContourData]).reshape(-1, 3).mean(axis=0)
    triangles = []
    for angle in np.linspace(0, 3, 200):
        triangle = copy.deepcopy(item.ContourSequence[3])
        turned = [middle + 9 * np.array([np.cos(angle + k), np.sin(angle + k), 0]) for k in (0, 2.1, 4.2)]
        triangle.ContourData, triangle.NumberOfContourPoints = np.round(turned, 3).ravel().tolist(), 3
        triangles.append(triangle)
    item.ContourSequence = triangles


@pytest.mark.parametrize(
    ("spoil", "keyword"),
    [
        (_not_numbers, "ContourData"),
        (_not_triplets, "ContourData"),
        (_no_data, "ContourData"),
        (_no_sequence, "ContourSequence"),
        (_points_only, "ContourGeometricType"),
        (_far_away("1e30"), "ContourData"),
        (_far_away("99999"), "ContourData"),
        (_far_away("nan"), "ContourData"),
        (_number_twice, "ROINumber"),
        (_tangled, "cross too often"),
        (_hatched, "cross too often"),
    ],
)
def test_a_damaged_roi_is_left_out_and_told_and_the_others_are_taken(
    desk: Desk, spoil: Callable[[Dataset], None], keyword: str
) -> None:
    corrected = ball(desk.volume, 11)
    dataset = desk.edited({Region.WT: corrected})
    spoil(dataset)
    outcome = desk.hand_in(dataset)
    assert volumes(outcome)[0] == pytest.approx(desk.ml(corrected), abs=0.01)
    assert "TC left out" in outcome.detail
    assert keyword in outcome.detail
    assert outcome.case is not None
    assert not outcome.case.regions["TC"].drawn


def _points(contour: Dataset) -> NDArray[np.float64]:
    return np.array([float(one) for one in contour.ContourData]).reshape(-1, 3)


def _redrawn(contour: Dataset, points: NDArray[np.float64]) -> None:
    contour.ContourData, contour.NumberOfContourPoints = points.round(3).ravel().tolist(), len(points)


def _backwards(contour: Dataset) -> None:
    _redrawn(contour, _points(contour)[::-1])


def _off_its_plane(contour: Dataset) -> None:
    points = _points(contour)
    points[::2, 2] += 0.2
    _redrawn(contour, points)


def _open(contour: Dataset) -> None:
    contour.ContourGeometricType = "OPEN_PLANAR"


def _there_and_back(contour: Dataset) -> None:
    """A channel out and back, as a keyhole has."""
    points = _points(contour)
    _redrawn(contour, np.concatenate([points, points[:1], points[:1] + np.array([12.0, 0, 0]), points[:1]]))


@pytest.mark.parametrize("change", [_backwards, _off_its_plane, _open, _there_and_back])
def test_contours_as_others_write_them_are_what_was_drawn(desk: Desk, change: Callable[[Dataset], None]) -> None:
    corrected = ball(desk.volume, 11)
    dataset = desk.edited({Region.WT: corrected})
    for item in dataset.ROIContourSequence:
        for contour in item.ContourSequence:
            change(contour)
    for keyword in ("StructureSetROISequence", "ROIContourSequence"):
        dataset[keyword].value = list(reversed(dataset[keyword].value))
    expected = (desk.ml(corrected), *(desk.ml(desk.automatic[one]) for one in (Region.TC, Region.ET)))
    assert volumes(desk.hand_in(dataset)) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("keyword", ["StructureSetROISequence", "ROIContourSequence"])
def test_a_broken_sequence_is_unreadable_by_name(desk: Desk, keyword: str) -> None:
    dataset = copy.deepcopy(desk.structure_set)
    _raw(dataset, keyword, "LO", "gone")
    outcome = desk.hand_in(dataset)
    assert outcome.verdict is Verdict.UNREADABLE
    assert keyword in outcome.detail


def test_contours_on_a_reformatted_plane_are_interpolated(desk: Desk) -> None:
    """A whole tumour drawn on the coronal reformats of the axial series: the same frame of reference, other images."""
    low = np.array(desk.volume.image.GetOrigin())
    high = np.array(desk.volume.image.TransformIndexToPhysicalPoint([n - 1 for n in SHAPE[::-1]]))
    headers, _ = phantom_series((20, 40, 48), (1.0, 1.0, 2.0), CORONAL, (low[0], low[1], high[2] + 5), pixels=False)
    for header in headers:
        header.FrameOfReferenceUID, header.StudyInstanceUID = (
            desk.volume.frame_of_reference_uid,
            desk.volume.study_instance_uid,
        )
    coronal = volume_of(headers, np.zeros((20, 40, 48)))
    middle = (low + high) / 2
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (48, 40, 20)], indexing="ij")).reshape(3, -1)
    direction = np.array(coronal.image.GetDirection()).reshape(3, 3) * np.array(coronal.image.GetSpacing())
    points = np.array(coronal.image.GetOrigin())[:, None] + direction @ index
    inside = (((points - middle[:, None]) ** 2).sum(0) <= 11.0**2).reshape(48, 40, 20).transpose(2, 1, 0)
    roi = RegionOfInterest(1, "GTV_WT", image_like(inside.astype(np.uint8), coronal))
    made: Dataset = RTStructureSet(headers, coronal, [roi], Provenance("m@1"))
    made.ApprovalStatus = "APPROVED"
    made.Manufacturer = "ACME"
    del made.ContributingEquipmentSequence
    outcome = desk.hand_in(made)
    assert outcome.case is not None, outcome
    whole = outcome.case.regions["WT"]
    assert whole.corrected_ml == pytest.approx(desk.ml(ball(desk.volume, 11.0)), rel=0.05)
    assert "interpolated" in outcome.detail


def test_some_contours_across_the_slices_are_left_and_told(desk: Desk) -> None:
    corrected = ball(desk.volume, 11)
    dataset = desk.edited({Region.WT: corrected})
    across = copy.deepcopy(contours_of(dataset, "GTV_WT").ContourSequence[0])
    points = np.array([(0, 0, 14), (8, 0, 14), (8, 0, 25), (0, 0, 25)], float)
    across.ContourData, across.NumberOfContourPoints = points.ravel().tolist(), 4
    contours_of(dataset, "GTV_WT").ContourSequence.append(across)
    outcome = desk.hand_in(dataset)
    assert volumes(outcome)[0] == pytest.approx(desk.ml(corrected), abs=0.01)
    assert "1 contours are not parallel" in outcome.detail


# --- segmentations ---


def _segmentation(desk: Desk, labels: NDArray[np.uint8], kind: str) -> Dataset:
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=ROI_NAMES[region],
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, region in enumerate(TUMOUR_REGIONS, 1)
    ]
    made: Dataset = highdicom.seg.Segmentation(
        desk.headers, labels, kind, described, series_instance_uid=generate_uid(), series_number=9,
        sop_instance_uid=generate_uid(), instance_number=1, manufacturer="ACME", manufacturer_model_name="A",
        software_versions="1", device_serial_number="1",
    )  # fmt: skip
    made.ApprovalStatus = "APPROVED"
    return made


@pytest.mark.parametrize("kind", ["LABELMAP", "BINARY"])
def test_a_label_map_is_read(desk: Desk, kind: str) -> None:
    """Where a voxel can be of one segment only, the whole tumour is what all three hold together."""
    corrected = ball(desk.volume, 11)
    labels = np.zeros(SHAPE, np.uint8)
    for number, mask in enumerate((corrected, desk.automatic[Region.TC], desk.automatic[Region.ET]), 1):
        labels[mask] = number
    dataset = _segmentation(desk, labels, kind)
    dataset.SegmentsOverlap = "NO"
    outcome = desk.hand_in(dataset)
    expected = [desk.ml(corrected), *(desk.ml(desk.automatic[region]) for region in TUMOUR_REGIONS[1:])]
    assert volumes(outcome) == pytest.approx(expected, abs=0.01)


def test_a_segment_needs_its_number_and_nothing_else(desk: Desk) -> None:
    dataset = desk.objects({**desk.automatic, Region.WT: ball(desk.volume, 11)})["seg"]
    dataset.ApprovalStatus = "APPROVED"
    for item in dataset.SegmentSequence:
        for keyword in ("SegmentedPropertyTypeCodeSequence", "SegmentAlgorithmType", "RecommendedDisplayCIELabValue"):
            if keyword in item:
                del item[keyword]
    assert volumes(desk.hand_in(dataset))[0] == pytest.approx(desk.ml(ball(desk.volume, 11)), abs=0.01)
    del dataset.SegmentSequence[0].SegmentNumber
    outcome = desk.hand_in(dataset)
    assert (outcome.verdict, "SegmentNumber" in outcome.detail) == (Verdict.UNREADABLE, True)
