"""How an earlier study lies to this one: a Spatial Registration (PS3.3, A.39.1)."""

from collections.abc import Sequence

import numpy as np
from highdicom.base import SOPClass
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SpatialRegistrationStorage
from pydicom.valuerep import format_number_as_ds

from pipeline.names import MANUFACTURER, RESEARCH_USE
from pipeline.objects.arguments import equipment, on_clock_of, patient_and_study, series_of_one, set_clock
from pipeline.objects.legal import UNICODE
from pipeline.objects.provenance import Provenance, UidSource, contributing_equipment
from pipeline.objects.source import reference_series
from pipeline.volume.records import SourceVolume


class PriorRegistration(SOPClass):
    """The rigid transform that brings an earlier study's images onto this study's reference series."""

    def __init__(
        self,
        source: Sequence[Dataset],
        volume: SourceVolume,
        prior: SourceVolume,
        to_current: NDArray[np.float64],
        provenance: Provenance,
        *,
        series_number: int = 9006,
        uid_seed: str | None = None,
    ) -> None:
        """
        Parameters
        ----------
        source
            Headers of the reference series' instances, in any order.
        volume
            The same series as a volume.
        prior
            The earlier study's series.
        to_current
            Maps a point of the earlier series, LPS mm, to this one: shape (4, 4), rigid.
        provenance
            Network, software, installation and time.
        series_number
            SeriesNumber of the new series.
        uid_seed
            What it is made from, for UIDs that are the same when it is made again.

        Raises
        ------
        GlioLoopError
            OBJECT_INVALID, FRAME_OF_REFERENCE_MISSING.
        """
        series = reference_series(source, volume)
        provenance = on_clock_of(series, provenance)
        super().__init__(
            sop_class_uid=SpatialRegistrationStorage,
            modality="REG",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            specific_character_set=UNICODE,
            **patient_and_study(series),
            **series_of_one("registration", series_number, provenance, UidSource(uid_seed), f"{MANUFACTURER} prior"),
            **equipment(provenance),
        )
        self.PatientName = series.first.PatientName  # here, as it is: the base class warns of names without a caret
        self.ContributingEquipmentSequence = [contributing_equipment(provenance)]
        self.FrameOfReferenceUID = volume.frame_of_reference_uid
        self.PositionReferenceIndicator = series.first.get("PositionReferenceIndicator", "")
        set_clock(self, provenance)
        self.ContentDate, self.ContentTime = self.SeriesDate, self.SeriesTime
        self.BodyPartExamined = "BRAIN"  # unpaired: no Laterality is needed
        self.ContentLabel = "PRIOR"
        self.ContentDescription = RESEARCH_USE[:64]
        self.ContentCreatorName = ""
        self.RegistrationSequence = [_registered(volume, np.eye(4)), _registered(prior, to_current)]
        self.ReferencedSeriesSequence = [_series(volume)]
        other = Dataset()
        other.StudyInstanceUID = prior.study_instance_uid
        other.ReferencedSeriesSequence = [_series(prior)]
        self.StudiesContainingOtherReferencedInstancesSequence = [other]


def _instances(volume: SourceVolume) -> list[Dataset]:
    found = []
    for uid, sop_class in {item.sop_instance_uid: item.sop_class_uid for item in volume.slices}.items():
        instance = Dataset()
        instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = sop_class, uid
        found.append(instance)
    return found


def _series(volume: SourceVolume) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = volume.series_instance_uid
    item.ReferencedInstanceSequence = _instances(volume)
    return item


def _registered(volume: SourceVolume, matrix: NDArray[np.float64]) -> Dataset:
    """One series and the matrix that brings it onto the reference; by its images, as both may share a frame."""
    rigid = Dataset()
    rigid.FrameOfReferenceTransformationMatrixType = "RIGID"
    rigid.FrameOfReferenceTransformationMatrix = [format_number_as_ds(float(one)) for one in matrix.ravel()]
    steps = Dataset()
    steps.MatrixSequence = [rigid]
    steps.RegistrationTypeCodeSequence = []
    item = Dataset()
    item.ReferencedImageSequence = _instances(volume)
    item.MatrixRegistrationSequence = [steps]
    return item
