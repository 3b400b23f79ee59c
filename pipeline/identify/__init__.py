"""Which series of a study are T1, T1 with contrast, T2 and FLAIR.

Imports nothing but the standard library, pydantic and pydicom: it also runs inside Orthanc.
"""

from pipeline.identify.decide import identify
from pipeline.identify.decision import Decision, OpenPair, Rivals, SecondChoice, SeriesVerdict
from pipeline.identify.exclude import Exclusion
from pipeline.identify.files import StudyFiles, headers_from_files, study_from_files
from pipeline.identify.header import SeriesHeader, dataset_from_orthanc_tags
from pipeline.identify.listing import ListedInstance, headers_of_series
from pipeline.identify.parts import SeriesPart

__all__ = [
    "Decision",
    "Exclusion",
    "ListedInstance",
    "OpenPair",
    "Rivals",
    "SecondChoice",
    "SeriesHeader",
    "SeriesPart",
    "SeriesVerdict",
    "StudyFiles",
    "dataset_from_orthanc_tags",
    "headers_from_files",
    "headers_of_series",
    "identify",
    "study_from_files",
]
