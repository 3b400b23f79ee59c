"""The slices of the reference series as highdicom wants them, and its references put right afterwards.

highdicom takes single-frame images, or one multi-frame image with every frame at a position of its own. Real series
repeat positions (diffusion, dynamics), or are spread over several multi-frame instances (a concatenation, one instance
a stack, classic and Enhanced instances in one series). So every slice is handed over as a single-frame image that
stands for it.
"""

from pydicom import Dataset
from pydicom.uid import UID, MRImageStorage

from pipeline.objects.source import ReferenceSeries
from pipeline.volume.records import SliceSource

_STAND_IN = "2.25.9"  # never leaves this module: followed by the number of the slice


def stand_ins(series: ReferenceSeries, span: slice) -> list[Dataset]:
    """Return a single-frame image for each slice of a span, in their order, under a UID that tells which."""
    images = series.slice_images(span)
    for number, image in enumerate(images, span.start or 0):
        image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, UID(f"{_STAND_IN}.{number}")
    return images


def named_source(item: Dataset, series: ReferenceSeries) -> SliceSource:
    """Tell which slice an item refers to that names what stands for it."""
    return series.volume.slices[int(item.ReferencedSOPInstanceUID.rpartition(".")[2])]


def name_sources(segmentation: Dataset, series: ReferenceSeries) -> None:
    """Put each slice's own instance and frame in the place of what stood for it, in place."""
    frames = {
        id(source): source  # the frames of all segments on one slice share one item
        for frame in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in frame.get("DerivationImageSequence") or []
        for source in derivation.get("SourceImageSequence") or []
    }
    for source in frames.values():
        item = named_source(source, series)
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = item.sop_class_uid, item.sop_instance_uid
        if item.frame_number is not None:
            source.ReferencedFrameNumber = item.frame_number
    instances = []
    for uid, sop_class in {item.sop_instance_uid: item.sop_class_uid for item in series.volume.slices}.items():
        instance = Dataset()
        instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = sop_class, uid
        instances.append(instance)
    segmentation.SourceImageSequence = instances
    segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence = instances
