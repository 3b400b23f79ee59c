"""The preview as a Secondary Capture (PS3.3, A.8.1)."""

from collections.abc import Sequence

import numpy as np
from highdicom.sc import SCImage
from PIL import Image
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import place_of
from pipeline.names import MANUFACTURER
from pipeline.objects.arguments import equipment, on_clock_of, patient_and_study, series_of_one, set_clock
from pipeline.objects.legal import UNICODE
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
        kind: str = "preview",
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
        kind
            Names the object among those of its job, and in its series' description.
        series_number
            SeriesNumber of the new series.
        uid_seed
            Identity of the job, for UIDs that are the same when the job is repeated.

        Raises
        ------
        GlioLoopError
            OBJECT_INVALID, FRAME_OF_REFERENCE_MISSING.
        """
        series = reference_series(source, volume)
        provenance = on_clock_of(series, provenance)
        uids = UidSource(uid_seed)
        try:
            super().__init__(
                pixel_array=np.asarray(picture.convert("RGB")),
                photometric_interpretation="RGB",
                bits_allocated=8,
                coordinate_system="PATIENT",
                patient_orientation=("L", "P"),
                transfer_syntax_uid=ExplicitVRLittleEndian,
                specific_character_set=UNICODE,
                **patient_and_study(series),
                **series_of_one(kind, series_number, provenance, uids, f"{MANUFACTURER} {kind}"),
                **equipment(provenance),
                contributing_equipment=[contributing_equipment(provenance)],
            )
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise GlioLoopError("OBJECT_INVALID", f"{kind}: {place_of(error)}") from error
        self.PatientName = series.first.PatientName  # here, as it is: the base class warns of names without a caret
        self.BodyPartExamined = "BRAIN"  # unpaired: no Laterality is needed
        self.add_new("PatientOrientation", "CS", "")  # three slices in one picture have none of their own
        self.BurnedInAnnotation = "YES"
        self.ConversionType = "WSD"
        self.add_new("ImageType", "CS", ["DERIVED", "SECONDARY", "OTHER"])
        set_clock(self, provenance)
        self.ContentDate = self.DateOfSecondaryCapture = self.SeriesDate
        self.ContentTime = self.TimeOfSecondaryCapture = self.SeriesTime
