"""All objects of one result, from the probabilities on the reference series."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import SimpleITK as sitk
from PIL import Image
from pydicom import Dataset

from pipeline.errors import REASONS, Flag, GlioLoopError
from pipeline.names import DELINEATED_REGIONS, REGION_MEANING, ROI_NAMES, TUMOUR_REGIONS, Language, Region
from pipeline.objects.arguments import on_clock_of
from pipeline.objects.gsps.sop import ContourPresentation
from pipeline.objects.measure import RegionSize, region_size
from pipeline.objects.overlay.drawing import draw_overlay, zoom_of
from pipeline.objects.overlay.sop import overlay_series
from pipeline.objects.page.sop import PageDocument
from pipeline.objects.page.words import Words
from pipeline.objects.preview.drawing import DrawnRegion, draw_preview
from pipeline.objects.preview.sop import PreviewCapture
from pipeline.objects.provenance import Provenance
from pipeline.objects.regions import REGION_STYLES, declare_private_codes
from pipeline.objects.report.sop import TumourReport
from pipeline.objects.result_page import result_page
from pipeline.objects.rtstruct.enum import HoleEncodings
from pipeline.objects.rtstruct.region import RegionOfInterest, region_contours
from pipeline.objects.rtstruct.sop import RTStructureSet
from pipeline.objects.seg.sop import TumourSegmentation
from pipeline.objects.source import reference_series
from pipeline.settings import OBJECT_KINDS, USUAL_OBJECTS
from pipeline.volume.records import SourceVolume


@dataclass(frozen=True)
class ObjectSet:
    """The objects of one result.

    Attributes
    ----------
    datasets
        Ready for ``save_as(path, enforce_file_format=True)``, by kind, in the order in which they should be stored.
    overlay
        The slices with contours burnt in, of the kind ``overlay``, in their order, each made when it is taken and once
        only; none unless wanted.
    picture
        The preview as a picture (``save("preview.png")``), where it was wanted.
    sizes
        Volume and diameters of each region, always there.
    """

    datasets: Mapping[str, Dataset]
    picture: Image.Image | None
    sizes: Mapping[Region, RegionSize]
    overlay: Iterable[Dataset] = ()


def build_objects(
    source: Sequence[Dataset],
    volume: SourceVolume,
    probabilities: Mapping[Region, sitk.Image],
    masks: Mapping[Region, sitk.Image],
    thresholds: Mapping[Region, float],
    provenance: Provenance,
    flags: Sequence[Flag] = (),
    roi_names: Mapping[Region, str] = ROI_NAMES,
    want: Collection[str] = USUAL_OBJECTS,
    language: Language = Language.ENGLISH,
    uid_seed: str | None = None,
    predecessor: Dataset | None = None,
) -> ObjectSet:
    """Make the wanted objects of one result.

    Parameters
    ----------
    source
        Headers of the reference series' instances, in any order, with or without pixel data.
    volume
        The reference series as a volume.
    probabilities
        Probability of each region, 3D float, on the volume's grid or a box of it. The brain is ignored.
    masks
        The regions after post-processing, 3D integer, on the same grid; they decide which voxels are inside. A
        resection cavity where one was found.
    thresholds
        Probability on which each contour runs; 0.5 where absent.
    provenance
        Network, software, installation and time of creation.
    flags
        Quality flags; stated in structure set, report and preview.
    roi_names
        ROI name of each region.
    want
        Of :data:`pipeline.settings.OBJECT_KINDS`.
    language
        That overlay, presentation state and page are written in.
    uid_seed
        Identity of the job: the same seed gives the same UIDs. None for fresh ones.
    predecessor
        An earlier structure set of this node in the study, which the new one replaces.

    Returns
    -------
    ObjectSet

    Raises
    ------
    GlioLoopError
        OBJECT_INVALID, FRAME_OF_REFERENCE_MISSING.
    """
    if unknown := set(want).difference(OBJECT_KINDS):
        raise GlioLoopError("OBJECT_INVALID", f"no such kind of object: {', '.join(sorted(unknown))}")
    seed = uid_seed or uuid.uuid4().hex  # one seed for all: segmentation and report share their tracking UIDs
    names = {region: roi_names.get(region, ROI_NAMES[region]) for region in DELINEATED_REGIONS if region in masks}
    series = reference_series(source, volume)
    regions = {
        region: _region(region, name, probabilities, masks, thresholds.get(region, 0.5))
        for region, name in names.items()
    }
    contours = {region: region_contours(item, series, HoleEncodings.SEPARATE) for region, item in regions.items()}
    sizes = {region: region_size(traced, series) for region, traced in contours.items()}
    drawn = {
        region: DrawnRegion(name, REGION_STYLES[region].colour, contours[region], sizes[region].volume_ml)
        for region, name in names.items()
    }
    shown = list(drawn.values())
    remarks = _remarks(sizes, flags)
    codes = list(dict.fromkeys(one.code for one in remarks))
    words = Words(language)
    below = [*map(words, codes), f"{provenance.model}: {words('research')}"]
    legend = {region: f"{one.name} {words.number(one.volume_ml, 1)} ml" for region, one in drawn.items()}
    datasets: dict[str, Dataset] = {}
    overlay: Iterable[Dataset] = ()
    segmentation = picture = None
    if "seg" in want:
        datasets["seg"] = segmentation = TumourSegmentation(
            source, volume, {region: masks[region] for region in names}, provenance,
            names=names, uid_seed=seed,
        )  # fmt: skip
    if "sr" in want:
        datasets["sr"] = TumourReport(
            source, volume, sizes, provenance,
            names=names, flags=flags, segmentation=segmentation, uid_seed=seed,
        )  # fmt: skip
    if "preview" in want:
        picture = draw_preview(series, shown, [REASONS[code].message for code in codes], provenance.model)
        datasets["preview"] = PreviewCapture(source, volume, picture, provenance, uid_seed=seed)
    if "overlay" in want:
        pictures = draw_overlay(series, shown, list(legend.values()), below, words("slice"))
        overlay = overlay_series(source, volume, pictures, zoom_of(series), provenance, uid_seed=seed)
    if "gsps" in want:
        datasets["gsps"] = ContourPresentation(source, volume, drawn, legend, below, provenance, uid_seed=seed)
    if "pdf" in want:
        page = result_page(series, drawn, sizes, remarks, on_clock_of(series, provenance), language)
        datasets["pdf"] = PageDocument(source, volume, page, "page", provenance, series_number=9010, uid_seed=seed)
    if "rtstruct" in want:
        datasets["rtstruct"] = RTStructureSet(
            source, volume, list(regions.values()), provenance,
            flags=flags, predecessor=predecessor, uid_seed=seed,
        )  # fmt: skip
    if Region.CAVITY in names:
        for kind in datasets.keys() & {"rtstruct", "seg", "sr"}:  # the others hold no codes of regions
            declare_private_codes(datasets[kind])
    return ObjectSet(datasets, picture, sizes, overlay)


def _region(
    region: Region,
    name: str,
    probabilities: Mapping[Region, sitk.Image],
    masks: Mapping[Region, sitk.Image],
    threshold: float,
) -> RegionOfInterest:
    style = REGION_STYLES[region]
    known = region in probabilities
    return RegionOfInterest(
        number=style.number,
        name=name,
        image=probabilities[region] if known else masks[region],
        threshold=threshold if known else 0.5,
        mask=masks[region],
        description=REGION_MEANING[region].capitalize(),
        colour=style.colour,
        interpreted_type=style.interpreted_type,
        code=style.property_type,
    )


def _remarks(sizes: Mapping[Region, RegionSize], flags: Sequence[Flag]) -> list[Flag]:
    """What is told in words: that nothing was found first, where it was not."""
    found = any(sizes[region].volume_ml > 0 for region in TUMOUR_REGIONS if region in sizes)
    if found or any(flag.code == "NO_TUMOUR_FOUND" for flag in flags):
        return sorted(flags, key=lambda flag: flag.code != "NO_TUMOUR_FOUND")
    return [Flag("NO_TUMOUR_FOUND"), *flags]
