"""What is common to pictures in a study as Secondary Captures (PS3.3, A.8.1)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import place_of
from pipeline.objects.arguments import equipment, patient_and_study, set_clock
from pipeline.objects.legal import UNICODE
from pipeline.objects.provenance import Provenance, contributing_equipment
from pipeline.objects.source import ReferenceSeries


class Capture(SCImage):
    """A picture in the study of the reference series; text burnt in, no patient data in the picture."""

    def __init__(
        self,
        series: ReferenceSeries,
        pixels: NDArray[np.uint8],
        place: Mapping[str, Any],
        provenance: Provenance,
        *,
        kind: str,
    ) -> None:
        """
        Parameters
        ----------
        series
            The reference series.
        pixels
            (rows, columns, 3), RGB.
        place
            Series and instance: see :func:`pipeline.objects.arguments.series_of_one`.
        provenance
            Network, software, installation, and time by the clock of the images.
        kind
            Names the object where it can't be made.

        Raises
        ------
        GlioLoopError
            OBJECT_INVALID.
        """
        try:
            super().__init__(
                pixel_array=pixels,
                photometric_interpretation="RGB",
                bits_allocated=8,
                coordinate_system="PATIENT",
                patient_orientation=("L", "P"),  # a class derived from this one tells what is so
                transfer_syntax_uid=ExplicitVRLittleEndian,
                specific_character_set=UNICODE,
                **patient_and_study(series),
                **place,
                **equipment(provenance),
                contributing_equipment=[contributing_equipment(provenance)],
            )
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise GlioLoopError("OBJECT_INVALID", f"{kind}: {place_of(error)}") from error
        self.PatientName = series.first.PatientName  # here, as it is: the base class warns of names without a caret
        self.BodyPartExamined = "BRAIN"  # unpaired: no Laterality is needed
        self.BurnedInAnnotation = "YES"
        self.ConversionType = "WSD"
        self.add_new("ImageType", "CS", ["DERIVED", "SECONDARY", "OTHER"])
        set_clock(self, provenance)
        self.ContentDate = self.DateOfSecondaryCapture = self.SeriesDate
        self.ContentTime = self.TimeOfSecondaryCapture = self.SeriesTime
