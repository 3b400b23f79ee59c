"""The preview as a Secondary Capture (PS3.3, A.8.1)."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from pydicom import Dataset

from pipeline.names import MANUFACTURER
from pipeline.objects.arguments import on_clock_of, series_of_one
from pipeline.objects.capture import Capture
from pipeline.objects.provenance import Provenance, UidSource
from pipeline.objects.source import reference_series
from pipeline.volume.records import SourceVolume


class PreviewCapture(Capture):
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
        place = series_of_one(kind, series_number, provenance, UidSource(uid_seed), f"{MANUFACTURER} {kind}")
        super().__init__(series, np.asarray(picture.convert("RGB")), place, provenance, kind=kind)
        self.add_new("PatientOrientation", "CS", "")  # three slices in one picture have none of their own
