"""A page as an Encapsulated PDF (PS3.3, A.45.1)."""

from collections.abc import Sequence
from typing import Final

from highdicom.base import SOPClass
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from pipeline.names import MANUFACTURER
from pipeline.objects.arguments import equipment, on_clock_of, patient_and_study, series_of_one, set_clock
from pipeline.objects.legal import UNICODE
from pipeline.objects.page.content import Page
from pipeline.objects.page.pdf import render
from pipeline.objects.provenance import Provenance, UidSource, contributing_equipment
from pipeline.objects.source import reference_series
from pipeline.volume.records import SourceVolume

_REPORT: Final = Code("18748-4", "LN", "Diagnostic imaging report")


class PageDocument(SOPClass):
    """A page in the study of the reference series."""

    def __init__(
        self,
        source: Sequence[Dataset],
        volume: SourceVolume,
        page: Page,
        kind: str,
        provenance: Provenance,
        *,
        series_number: int,
        uid_seed: str | None = None,
    ) -> None:
        """
        Parameters
        ----------
        source
            Headers of the reference series' instances, in any order.
        volume
            The same series as a volume.
        page
            What stands on it.
        kind
            Names the object among those of its job, and in its series' description.
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
            sop_class_uid=EncapsulatedPDFStorage,
            modality="DOC",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            specific_character_set=UNICODE,
            **patient_and_study(series),
            **series_of_one(f"{kind}-pdf", series_number, provenance, UidSource(uid_seed), f"{MANUFACTURER} {kind}"),
            **equipment(provenance),
        )
        self.PatientName = series.first.PatientName  # here, as it is: the base class warns of names without a caret
        self.ContributingEquipmentSequence = [contributing_equipment(provenance)]
        set_clock(self, provenance)
        self.ContentDate, self.ContentTime = self.SeriesDate, self.SeriesTime
        self.AcquisitionDateTime = None
        self.ConversionType = "WSD"
        self.BurnedInAnnotation = "YES"  # dates of studies
        self.RecognizableVisualFeatures = "NO"
        self.DocumentTitle = page.title
        self.ConceptNameCodeSequence = [_coded(_REPORT)]
        self.SourceInstanceSequence = [_reference(uid, sop_class) for uid, sop_class in series.instances.items()]
        self.MIMETypeOfEncapsulatedDocument = "application/pdf"
        content = render(page)
        self.EncapsulatedDocumentLength = len(content)
        self.add_new("EncapsulatedDocument", "OB", content + b"\0" * (len(content) % 2))


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _reference(uid: str, sop_class: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return item
