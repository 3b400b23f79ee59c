"""The segmentation: pixels, codes, order of slices."""

import io

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import Dataset

from pipeline.errors import GlioLoopError
from pipeline.names import Region
from pipeline.objects import Provenance
from pipeline.objects.seg.sop import TumourSegmentation
from pipeline.volume.records import SourceVolume
from tests.unit.objects.phantom import FLIPPED, image_like, phantom_series, signed_distance

PROVENANCE = Provenance("unet@1.2.3", "ef" * 32)


def masks_of(volume: SourceVolume, empty: bool = False) -> dict[Region, sitk.Image]:
    distance = signed_distance(volume, centre=(14.0, 12.0, 11.0))
    return {
        Region.WT: image_like((distance < 9).astype(np.uint8), volume),
        Region.TC: image_like((distance < (0 if empty else 6)).astype(np.uint8), volume),
    }


def reread(dataset: Dataset) -> hd.seg.Segmentation:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return hd.seg.Segmentation.from_dataset(pydicom.dcmread(io.BytesIO(file.getvalue())))


def test_a_segmentation_of_nothing_is_refused() -> None:
    headers, volume = phantom_series()
    with pytest.raises(GlioLoopError) as refused:
        TumourSegmentation(headers, volume, {}, PROVENANCE)
    assert refused.value.code == "OBJECT_INVALID"


@pytest.mark.parametrize("empty", [False, True])
def test_pixels_come_back_on_their_slices(empty: bool) -> None:
    headers, volume = phantom_series(orientation=FLIPPED)
    masks = masks_of(volume, empty)
    made = reread(TumourSegmentation(list(reversed(headers)), volume, masks, PROVENANCE))
    uids = [item.sop_instance_uid for item in volume.slices]
    found = made.get_pixels_by_source_instance(
        uids, segment_numbers=[1, 2], assert_missing_frames_are_empty=True, combine_segments=False
    )
    for index, mask in enumerate(masks.values()):
        assert np.array_equal(found[..., index], sitk.GetArrayFromImage(mask))


def test_codes_algorithm_and_colour() -> None:
    headers, volume = phantom_series()
    made = reread(TumourSegmentation(headers, volume, masks_of(volume), PROVENANCE, names={Region.WT: "GTV_WT"}))
    segment = made.SegmentSequence[0]
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("GTV_WT", "AUTOMATIC")
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "108369006"
    assert segment.AnatomicRegionSequence[0].CodeValue == "12738006"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("unet", "1.2.3")
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
    assert len(segment.RecommendedDisplayCIELabValue) == 3
    assert segment.TrackingUID


def test_multi_frame_source() -> None:
    headers, volume = phantom_series()
    source = enhanced(headers)
    slices = tuple(
        type(item)(str(source.SOPClassUID), str(source.SOPInstanceUID), 10 - index, item.position)
        for index, item in enumerate(volume.slices)
    )
    changed = SourceVolume(
        volume.image, slices, volume.study_instance_uid, volume.series_instance_uid, volume.frame_of_reference_uid
    )
    masks = masks_of(volume)
    made = reread(TumourSegmentation([source], changed, masks, PROVENANCE))
    found = made.get_pixels_by_source_frame(
        str(source.SOPInstanceUID),
        [10 - index for index in range(10)],
        assert_missing_frames_are_empty=True,
        combine_segments=False,
    )
    assert np.array_equal(found[..., 0], sitk.GetArrayFromImage(masks[Region.WT]))


def enhanced(headers: list[Dataset]) -> Dataset:
    """Return the series as one Enhanced MR instance whose frames run against the order of slices."""
    source = Dataset()
    source.update(headers[0])
    source.file_meta = headers[0].file_meta
    source.SOPClassUID = pydicom.uid.EnhancedMRImageStorage
    source.NumberOfFrames = len(headers)
    shared = Dataset()
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = headers[0].ImageOrientationPatient
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = headers[0].PixelSpacing
    shared.PixelMeasuresSequence[0].SliceThickness = headers[0].SliceThickness
    source.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for header in reversed(headers):
        frame = Dataset()
        frame.PlanePositionSequence = [Dataset()]
        frame.PlanePositionSequence[0].ImagePositionPatient = header.ImagePositionPatient
        frames.append(frame)
    source.PerFrameFunctionalGroupsSequence = frames
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "PixelData"):
        delattr(source, keyword)
    return source
