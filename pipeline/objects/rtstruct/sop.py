"""The RT Structure Set (PS3.3, A.19) as an object that is valid or does not exist."""

from collections.abc import Sequence

from highdicom.base import SOPClass
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RTStructureSetStorage

from pipeline.errors import REASONS, Flag, GlioLoopError
from pipeline.names import MANUFACTURER, RESEARCH_USE
from pipeline.objects.arguments import equipment, on_clock_of, patient_and_study, series_of_one, set_clock
from pipeline.objects.legal import UNICODE
from pipeline.objects.provenance import Provenance, UidSource, contributing_equipment
from pipeline.objects.rtstruct.content import (
    LONGEST_EXPLICIT,
    ReferencedFrameOfReference,
    ROIContour,
    RTROIObservation,
    StructureSetROI,
    longest_contour,
)
from pipeline.objects.rtstruct.enum import ApprovalStatuses, HoleEncodings
from pipeline.objects.rtstruct.region import RegionOfInterest, check_regions, region_contours, volume_ml
from pipeline.objects.source import reference_series
from pipeline.volume.records import SourceVolume


class RTStructureSet(SOPClass):
    """RT Structure Set of automatic contours on one reference series.

    Everything is checked and computed in the constructor; an instance that exists is valid and can be written
    with :meth:`pydicom.Dataset.save_as`.
    """

    def __init__(
        self,
        source: Sequence[Dataset],
        volume: SourceVolume,
        regions: Sequence[RegionOfInterest],
        provenance: Provenance,
        *,
        series_number: int = 9001,
        series_description: str | None = None,
        label: str | None = None,
        flags: Sequence[Flag] = (),
        predecessor: Dataset | None = None,
        holes: HoleEncodings = HoleEncodings.KEYHOLE,
        uid_seed: str | None = None,
    ) -> None:
        """
        Parameters
        ----------
        source
            Headers of the reference series' instances, in any order, with or without pixel data.
        volume
            The same series as a volume.
        regions
            At least one; those that are empty stay listed, without contours.
        provenance
            Network, software, installation and time.
        series_number
            SeriesNumber of the new series.
        series_description
            SeriesDescription, cut to 64 characters; tells network and time where None.
        label
            StructureSetLabel, at most 16 characters; tells the network and its version where None.
        flags
            What the reader should know about this result; goes to StructureSetDescription.
        predecessor
            An earlier structure set of the same study that this one replaces: its SOP Class and Instance UID are
            referenced.
        holes
            How holes are encoded.
        uid_seed
            Identity of the job, for UIDs that are the same when the job is repeated; None for fresh ones.

        Raises
        ------
        GlioLoopError
            OBJECT_INVALID, FRAME_OF_REFERENCE_MISSING.
        """
        check_regions(regions)
        series = reference_series(source, volume)
        provenance = on_clock_of(series, provenance)
        uids = UidSource(uid_seed)
        first = series.first
        described = series_of_one("rtstruct", series_number, provenance, uids, MANUFACTURER)
        if series_description:
            described["series_description"] = series_description[:64]
        super().__init__(
            sop_class_uid=RTStructureSetStorage,
            modality="RTSTRUCT",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            specific_character_set=UNICODE,
            **patient_and_study(series),
            **described,
            **equipment(provenance),
        )
        self.FrameOfReferenceUID = volume.frame_of_reference_uid
        self.PositionReferenceIndicator = first.get("PositionReferenceIndicator", "")
        self._set_common(first, provenance)
        self._set_structure_set(provenance, label, flags, predecessor)
        self.ReferencedFrameOfReferenceSequence = [ReferencedFrameOfReference(series)]
        rois: list[Dataset] = []
        contours: list[Dataset] = []
        observations: list[Dataset] = []
        for region in regions:
            traced = region_contours(region, series, holes)
            rois.append(StructureSetROI(region, provenance, volume.frame_of_reference_uid, volume_ml(traced, series)))
            contours.append(ROIContour(region, traced, series, holes))
            observations.append(RTROIObservation(region, len(observations) + 1))
        self.StructureSetROISequence = rois
        self.ROIContourSequence = contours
        self.RTROIObservationsSequence = observations
        self.ApprovalStatus = ApprovalStatuses.UNAPPROVED.value
        if any(longest_contour(item) > LONGEST_EXPLICIT for item in contours):
            # In explicit VR its type would be written as unknown. Implicit VR, which every reader must understand
            # (PS3.5, 10.1), has no such bound.
            self.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    def _set_common(self, first: Dataset, provenance: Provenance) -> None:
        """Set what the series, equipment and SOP common modules hold beyond the base class."""
        self.PatientName = first.PatientName  # here, as it is: the base class warns of names without a caret
        self.ContributingEquipmentSequence = [contributing_equipment(provenance)]
        self.StudyDescription = first.get("StudyDescription", "")
        set_clock(self, provenance)
        self.OperatorsName = ""

    def _set_structure_set(
        self, provenance: Provenance, label: str | None, flags: Sequence[Flag], predecessor: Dataset | None
    ) -> None:
        label = label or provenance.label(16)
        if len(label) > 16:
            raise GlioLoopError("OBJECT_INVALID", f"StructureSetLabel {label!r} is longer than 16 characters")
        self.StructureSetLabel = label
        self.StructureSetName = f"{provenance.model} {provenance.stamp()}"[:64]
        remarks = [REASONS[flag.code].message for flag in flags]
        self.StructureSetDescription = " ".join([RESEARCH_USE, *remarks])[:1024]
        self.StructureSetDate, self.StructureSetTime = self.SeriesDate, self.SeriesTime
        if predecessor is not None:
            if str(predecessor.get("StudyInstanceUID", self.StudyInstanceUID)) != self.StudyInstanceUID:
                raise GlioLoopError("OBJECT_INVALID", "the predecessor belongs to another study")
            self.PredecessorStructureSetSequence = [predecessor_item(predecessor)]


def predecessor_item(predecessor: Dataset) -> Dataset:
    """Refer to the structure set that another one follows."""
    item = Dataset()
    item.ReferencedSOPClassUID = str(predecessor.get("SOPClassUID", RTStructureSetStorage))
    item.ReferencedSOPInstanceUID = str(predecessor.SOPInstanceUID)
    return item
