"""Headers of the source images as highdicom wants them, whatever the scanner left out.

highdicom needs one orientation for all slices, to the last digit, a slice thickness, and in multi-frame instances
both among the shared functional groups, with every frame at a position of its own. Real series round each slice's
cosines differently, leave the thickness out, and Enhanced instances keep the geometry with each frame and repeat
positions (diffusion, dynamics). The volume knows better.
"""

from pydicom import Dataset

from pipeline.objects.source import ReferenceSeries


def source_images(series: ReferenceSeries) -> list[Dataset]:
    """Return copies of the headers with the volume's geometry: one a slice, or one with a frame a slice."""
    headers = series.slice_headers
    if series.volume.slices[0].frame_number is None:
        first = headers[0]
        return [_classic(header, first, series) for header in headers]
    return [_multi_frame(headers[0], series)]


def name_frames(segmentation: Dataset, series: ReferenceSeries) -> None:
    """Give references to frames the numbers that the frames have in the source's file, in place."""
    numbers = [item.frame_number for item in series.volume.slices]
    if numbers[0] is None:
        return
    sources = {
        id(source): source  # the frames of all segments on one slice share one item
        for frame in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in frame.get("DerivationImageSequence") or []
        for source in derivation.get("SourceImageSequence") or []
    }
    for source in sources.values():
        source.ReferencedFrameNumber = numbers[int(source.ReferencedFrameNumber) - 1]


def _copied(header: Dataset) -> Dataset:
    copied = Dataset()
    copied.update(header)
    if hasattr(header, "file_meta"):
        copied.file_meta = header.file_meta
    return copied


def _classic(header: Dataset, first: Dataset, series: ReferenceSeries) -> Dataset:
    image = _copied(header)
    image.ImageOrientationPatient = first.ImageOrientationPatient
    image.PixelSpacing = first.PixelSpacing
    image.SliceThickness = _thickness(series)
    return image


def _multi_frame(header: Dataset, series: ReferenceSeries) -> Dataset:
    plane = series.planes[0]
    across, down = plane.spacing
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [_decimal(down), _decimal(across)]
    measures.SliceThickness = _thickness(series)
    cosines = [*(plane.column_step / across), *(plane.row_step / down)]
    orientation.ImageOrientationPatient = [_decimal(float(cosine)) for cosine in cosines]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    image = _copied(header)
    image.NumberOfFrames = len(series.planes)
    image.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for item in series.volume.slices:
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = [_decimal(number) for number in item.position]
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = frames
    return image


def _thickness(series: ReferenceSeries) -> str:
    return _decimal(series.volume.slice_thickness_mm or series.slice_distance)


def _decimal(number: float) -> str:
    """Return a number as a DS of at most 16 characters."""
    return f"{number:.8f}"[:16]
