"""Which series of a study are T1, T1 with contrast, T2 and FLAIR.

Imports nothing but the standard library, pydantic and pydicom: it also runs inside Orthanc.
"""

from pipeline.identify.decide import identify
from pipeline.identify.decision import Decision, OpenPair, SeriesVerdict
from pipeline.identify.exclude import Exclusion
from pipeline.identify.facts import b_value_of
from pipeline.identify.header import SeriesHeader, dataset_from_orthanc_tags, headers_from_files
from pipeline.identify.rules import IdentificationRules

__all__ = [
    "Decision",
    "Exclusion",
    "IdentificationRules",
    "OpenPair",
    "SeriesHeader",
    "SeriesVerdict",
    "b_value_of",
    "dataset_from_orthanc_tags",
    "headers_from_files",
    "identify",
]
