"""The preview as a Secondary Capture (PS3.3, A.8.1)."""

from collections.abc import Sequence

import numpy as np
from highdicom.sc import SCImage
from PIL import Image
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from pipeline.errors import GlioLoopError
from pipeline.names import MANUFACTURER, MANUFACTURER_MODEL_NAME
from pipeline.objects.provenance import Provenance, UidSource, contributing_equipment
from pipeline.objects.source import reference_series
from pipeline.volume.records import SourceVolume


class PreviewCapture(SCImage):
    """A picture in the study of the reference series; text burnt in, no patient data in the picture."""

    def __init__(
        self,
        source: Sequence[Dataset],
        volume: SourceVolume,
        picture: Image.Image,
        provenance: Provenance,
        *,
        series_number: int = 9004,
        uid_seed: str | None = None,
    ) -> None:
        """
        Parameters
        ----------
        source
            Headers of the reference series' instances, in any order.
        volume
            The same series as a volume.
        picture
            RGB.
        provenance
            Network, software, installation and time.
        series_number
            SeriesNumber of the new series.
        uid_seed
            Identity of the job, for UIDs that are the same when the job is repeated.

        Raises
        ------
        GlioLoopError
            OBJECT_INVALID, FRAME_OF_REFERENCE_MISSING.
        """
        first = reference_series(source, volume).first
        uids = UidSource(uid_seed)
        try:
            super().__init__(
                pixel_array=np.asarray(picture.convert("RGB")),
                photometric_interpretation="RGB",
                bits_allocated=8,
                coordinate_system="PATIENT",
                patient_orientation=("L", "P"),
                study_instance_uid=volume.study_instance_uid,
                series_instance_uid=uids.uid("preview/series"),
                series_number=series_number,
                sop_instance_uid=uids.uid("preview/instance"),
                instance_number=1,
                manufacturer=MANUFACTURER,
                manufacturer_model_name=MANUFACTURER_MODEL_NAME,
                software_versions=provenance.software_versions[0],
                device_serial_number=provenance.instance[:64],
                patient_id=first.PatientID,
                patient_birth_date=first.PatientBirthDate,
                patient_sex=first.PatientSex,
                accession_number=first.AccessionNumber,
                study_id=first.StudyID,
                study_date=first.StudyDate or None,
                study_time=first.StudyTime or None,
                referring_physician_name=first.ReferringPhysicianName,
                transfer_syntax_uid=ExplicitVRLittleEndian,
                contributing_equipment=[contributing_equipment(provenance)],
                series_description=f"{MANUFACTURER} preview {provenance.model} {provenance.stamp()}"[:64],
            )
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise GlioLoopError("OBJECT_INVALID", f"preview: {error}") from error
        self.add_new("SoftwareVersions", "LO", provenance.software_versions)
        self.PatientName = first.PatientName  # here, as it is: the base class warns of names without a caret
        self.BodyPartExamined = "BRAIN"  # unpaired: no Laterality is needed
        self.add_new("PatientOrientation", "CS", "")  # three slices in one picture have none of their own
        self.BurnedInAnnotation = "YES"
        self.ConversionType = "WSD"
        self.add_new("ImageType", "CS", ["DERIVED", "SECONDARY", "OTHER"])
        self.SeriesDate = self.ContentDate = self.InstanceCreationDate = DA(provenance.created.date())
        self.SeriesTime = self.ContentTime = self.InstanceCreationTime = TM(provenance.created.strftime("%H%M%S"))
