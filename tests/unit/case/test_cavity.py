"""A network with a fifth output, the resection cavity: through inference, restoring and all objects, and back."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.align import Alignment
from pipeline.canary.expected import masks_of
from pipeline.case.outcomes import (
    Aligned,
    CaseOutcomes,
    Identified,
    Inferred,
    Loaded,
    RestoredVolumes,
    SegmentationResult,
    Written,
)
from pipeline.case.stages import infer_stage, restore_stage, write_stage
from pipeline.case.workspace import Workspace
from pipeline.dashboard.contours import contours_on_slices
from pipeline.evaluation.cases import Case
from pipeline.evaluation.evaluate import evaluate_case
from pipeline.names import DELINEATED_REGIONS, ROI_NAMES, TUMOUR_REGIONS, MRSequence, Region
from pipeline.objects import read_structure_set
from pipeline.registry import CARD, InputGrid, InstalledModel, ModelCard, NetworkFile, Output, Postprocessing
from pipeline.settings import Settings
from pipeline.volume.records import SourceVolume
from tests.unit.inference.convolution import write_convolution
from tests.unit.objects.phantom import image_like, phantom_series, signed_distance
from tests.unit.objects.test_objects import validate

Mask = NDArray[np.bool_]
SHAPE, SPACING = (40, 64, 64), (2.5, 2.5, 4.0)
CAVITY_RADIUS = 12.0
#: Brightness from which each output says yes.
LEVELS = {Region.BRAIN: 50, Region.WT: 150, Region.TC: 150, Region.ET: 150, Region.CAVITY: 200}
SHOWN_ON = {
    Region.BRAIN: MRSequence.T1,
    Region.WT: MRSequence.FLAIR,
    Region.TC: MRSequence.T1C,
    Region.ET: MRSequence.T1C,
    Region.CAVITY: MRSequence.T2,
}


def write_network(folder: Path, regions: Iterable[Region]) -> InstalledModel:
    """Write a network that sees each region by the brightness of one sequence."""
    outputs, order = tuple(regions), tuple(MRSequence)
    weights = np.zeros((len(outputs), len(order), 1, 1, 1), dtype=np.float32)
    bias = np.zeros(len(outputs), dtype=np.float32)
    for number, region in enumerate(outputs):
        weights[number, order.index(SHOWN_ON[region])] = 0.2
        bias[number] = -0.2 * LEVELS[region]
    folder.mkdir(parents=True)
    write_convolution(folder / "m.onnx", weights, bias)
    card = ModelCard(
        name="levels",
        version="1",
        created=date(2026, 1, 2),
        description="Levels, for tests",
        architecture="one convolution",
        licence="AGPL-3.0-or-later",
        opset=17,
        file=NetworkFile.of(folder / "m.onnx"),
        grid=InputGrid(order=order, spacing_mm=(2.5, 2.5, 2.5), window=(64, 64, 64), multiple=8, normalisation="none"),
        outputs=tuple(Output(region=region, channels=(number,)) for number, region in enumerate(outputs)),
        postprocessing=Postprocessing(minimum_component_ml={Region.CAVITY: 1.0}, least_certainty={Region.CAVITY: 0.9}),
    )
    (folder / CARD).write_text(card.model_dump_json())
    return InstalledModel(card, folder)


def head(cavity: bool) -> tuple[list[pydicom.Dataset], dict[MRSequence, SourceVolume], Mask]:
    """Return headers of the reference series, the sequences, and where the cavity is."""
    headers, volume = phantom_series(SHAPE, SPACING)
    middle = [(n - 1) / 2 * s for n, s in zip(SHAPE[::-1], SPACING, strict=True)]
    brain = signed_distance(volume) < 62
    off = signed_distance(volume, (middle[0] + 15, middle[1], middle[2]))
    hole = (off < CAVITY_RADIUS) & cavity
    tissue = 100.0 * brain
    seen = {
        MRSequence.T1: tissue,
        MRSequence.T1C: np.where((off < 20) & (off >= 10), 200, tissue),
        MRSequence.T2: np.where(hole, 300, tissue),
        MRSequence.FLAIR: np.where(off < 27, 200, tissue),  # the cavity, too: its fluid holds protein
    }
    volumes = {
        sequence: replace(volume, image=image_like(values.astype(np.float32), volume))
        for sequence, values in seen.items()
    }
    return headers, volumes, hole


def segmented(case: Workspace, model: InstalledModel, cavity: bool = True) -> SegmentationResult:
    """Run the stages from inference on; the objects lie in the case's folder."""
    headers, volumes, _ = head(cavity)
    still = Alignment(sitk.Euler3DTransform(), 0.0, 1.0, 0.0, 0.0, ())
    case.write_volumes(volumes)
    case.write_alignments(dict.fromkeys(volumes, still))
    case.source(MRSequence.T1C).mkdir(parents=True)
    for number, header in enumerate(headers):
        header.save_as(case.source(MRSequence.T1C) / f"{number}.dcm", enforce_file_format=True)
    inferred: Inferred = infer_stage(case, MRSequence.T1C, model, lambda _: None)
    restored: RestoredVolumes = restore_stage(case, MRSequence.T1C, model.card)
    settings = Settings(state_folder=case.path / "state")
    now = datetime(2026, 1, 2, tzinfo=UTC)
    written: Written = write_stage(case, settings, model, restored.flags, "job", now)
    return CaseOutcomes(Identified(), Loaded(), Aligned(), inferred, restored, written).result(
        model.card.identity, MRSequence.T1C
    )


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def result(case: Workspace) -> SegmentationResult:
    return segmented(case, write_network(case.path / "network", LEVELS))


def objects(case: Workspace) -> dict[str, pydicom.Dataset]:
    return {path.stem: pydicom.dcmread(path) for path in case.objects.glob("*.dcm")}


def test_the_result_tells_the_cavity_beside_the_tumour(result: SegmentationResult) -> None:
    told = result.as_json()
    assert list(told["volumes_ml"]) == list(told["sizes"]) == ["WT", "TC", "ET", "cavity"]
    assert result.volumes_ml[Region.CAVITY] == pytest.approx(4 / 3 * np.pi * CAVITY_RADIUS**3 / 1000, rel=0.2)
    assert [roi.name for roi in result.rois] == [ROI_NAMES[region] for region in DELINEATED_REGIONS]
    (flag,) = result.flags
    assert (flag.code, flag.detail) == ("AFTER_SURGERY", f"{result.volumes_ml[Region.CAVITY]:.1f} ml")


def test_objects_with_a_cavity_pass_the_validators(case: Workspace, result: SegmentationResult, tmp_path: Path) -> None:
    validate(objects(case), tmp_path)


def test_the_cavity_comes_back_from_the_structure_set(case: Workspace, result: SegmentationResult) -> None:
    _, _, hole = head(cavity=True)
    dataset = objects(case)["rtstruct"]
    stored = case.read_reference(MRSequence.T1C)
    rois = {roi.name: sitk.GetArrayFromImage(roi.mask) > 0 for roi in read_structure_set(dataset, stored)}
    cavity = rois["Cavity_Resection"]
    assert 2 * (cavity & hole).sum() / (cavity.sum() + hole.sum()) > 0.9
    for region in TUMOUR_REGIONS:
        assert rois[ROI_NAMES[region]].any()
        assert not (rois[ROI_NAMES[region]] & cavity).any()
    types = [str(item.RTROIInterpretedType) for item in dataset.RTROIObservationsSequence]
    assert types == ["GTV", "GTV", "GTV", "CAVITY"]
    assert "resection cavity was found" in dataset.StructureSetDescription


def test_the_cavity_comes_back_from_the_segmentation(case: Workspace, result: SegmentationResult) -> None:
    dataset = objects(case)["seg"]
    file = BytesIO()
    dataset.save_as(file)
    file.seek(0)
    read = highdicom.seg.segread(file)
    described = read.get_segment_description(4)
    code = described.segmented_property_type
    assert (described.segment_label, code.scheme_designator, code.meaning) == (
        "Cavity_Resection", "99GLIOLOOP", "Resection cavity",
    )  # fmt: skip
    pixels = read.get_volume(combine_segments=False).array
    assert pixels[..., 3].sum() * np.prod(SPACING) / 1000 == pytest.approx(result.volumes_ml[Region.CAVITY], abs=0.01)
    assert not (pixels[..., 3] & pixels[..., :3].max(axis=-1)).any()
    for kind in ("seg", "sr", "rtstruct"):
        (scheme,) = objects(case)[kind].CodingSchemeIdentificationSequence
        assert scheme.CodingSchemeDesignator == "99GLIOLOOP"


def test_the_cavity_is_measured_in_the_report(case: Workspace, result: SegmentationResult) -> None:
    content = highdicom.sr.ComprehensiveSR.from_dataset(objects(case)["sr"]).content
    assert isinstance(content, highdicom.sr.MeasurementReport)
    groups = content.get_volumetric_roi_measurement_groups()
    (group,) = [one for one in groups if one.tracking_identifier == "Cavity_Resection"]
    (volume,) = group.get_measurements(name=pydicom.sr.codedict.codes.SCT.Volume)
    assert volume.value == pytest.approx(result.sizes[Region.CAVITY].volume_ml, abs=0.001)
    assert group.finding_type.meaning == "Resection cavity"


def test_the_dashboard_gets_the_cavity_with_its_words(case: Workspace, result: SegmentationResult) -> None:
    names = Settings(roi_names={"WT": "GTV_1", "TC": "GTV_TC", "ET": "GTV_ET"}).roi_names
    shown = contours_on_slices(objects(case)["rtstruct"], case.read_reference(MRSequence.T1C), names)
    roi = shown.rois[3]
    assert (roi.region, roi.meaning) == ("cavity", "resection cavity")
    assert len({one.colour for one in shown.rois}) == 4
    assert any(one.roi == 3 for contours in shown.contours.values() for one in contours)


def test_the_check_of_the_node_compares_the_tumour(case: Workspace, result: SegmentationResult) -> None:
    found = masks_of(objects(case)["rtstruct"], case.read_reference(MRSequence.T1C), ROI_NAMES)
    assert list(found) == list(TUMOUR_REGIONS)
    assert all(mask.any() for mask in found.values())


def test_an_evaluation_scores_the_tumour_without_its_cavity(
    case: Workspace, result: SegmentationResult, tmp_path: Path
) -> None:
    _, volumes, hole = head(cavity=True)
    shown = {sequence: sitk.GetArrayFromImage(volume.image) for sequence, volume in volumes.items()}
    labels = np.where(shown[MRSequence.FLAIR] > 150, 2, 0)
    labels[shown[MRSequence.T1C] > 150] = 4
    labels[hole] = 0
    files = {}
    for sequence, volume in volumes.items():
        files[sequence] = tmp_path / f"{sequence}.nii.gz"
        sitk.WriteImage(volume.image, files[sequence])
    sitk.WriteImage(image_like(labels.astype(np.uint8), volumes[MRSequence.T1]), tmp_path / "seg.nii.gz")
    network = InstalledModel(
        ModelCard.model_validate_json((case.path / "network" / CARD).read_text()), case.path / "network"
    )
    scores = evaluate_case(Case("one", files, tmp_path / "seg.nii.gz"), network, picture=tmp_path / "one.png").scores
    assert list(scores) == list(TUMOUR_REGIONS)
    assert min(one.dice for one in scores.values()) > 0.85


@pytest.mark.parametrize("knows", [True, False])
def test_without_a_cavity_there_is_no_trace_of_it(tmp_path: Path, knows: bool) -> None:
    """The network finds none, or knows none: the very same result."""
    regions = LEVELS if knows else [region for region in LEVELS if region is not Region.CAVITY]
    case = Workspace(tmp_path / "case")
    result = segmented(case, write_network(tmp_path / "network", regions), cavity=not knows)
    assert list(result.volumes_ml) == list(result.sizes) == list(TUMOUR_REGIONS)
    assert not result.flags
    made = objects(case)
    assert [roi.ROIName for roi in made["rtstruct"].StructureSetROISequence] == ["GTV_WT", "GTV_TC", "GTV_ET"]
    assert len(made["seg"].SegmentSequence) == 3
    assert not any("CodingSchemeIdentificationSequence" in dataset for dataset in made.values())
