"""Headers of series from files."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import Tag
from pydicom.uid import MediaStorageDirectoryStorage

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import place_of, raise_if_exhausted
from pipeline.identify.header import SeriesHeader
from pipeline.identify.listing import ListedInstance, headers_of_series
from pipeline.identify.traits import number_of, triple_of

_LISTED = [
    "PatientID",
    "StudyInstanceUID",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "InstanceNumber",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
]


@dataclass(frozen=True)
class StudyFiles:
    """What the files of a folder are.

    Attributes
    ----------
    headers
        One of every part of a series, sorted by SeriesInstanceUID.
    paths
        Files of each series, sorted; with those that are cut off, but tell their series.
    damaged
        Files of DICOM that are cut off before they tell their series.
    owners
        PatientID and StudyInstanceUID of each series' files.
    """

    headers: list[SeriesHeader]
    paths: dict[str, list[Path]]
    damaged: list[Path]
    owners: dict[str, set[tuple[str, str]]]

    def require_one_study(self, series: str) -> None:
        """Refuse a series whose files are of several patients or studies: its one header would not show it.

        Raises
        ------
        GlioLoopError
            ``PATIENTS_MIXED``, ``STUDIES_MIXED``.
        """
        owners = self.owners.get(series, set())
        for code, found in (
            ("PATIENTS_MIXED", {one for one, _ in owners}),
            ("STUDIES_MIXED", {one for _, one in owners}),
        ):
            if len(found) > 1:
                raise GlioLoopError(code, f"{len(found)} in one series.")


def headers_from_files(files: Iterable[Path]) -> tuple[list[SeriesHeader], dict[str, list[Path]]]:
    """Headers and paths of :func:`study_from_files`."""
    study = study_from_files(files)
    return study.headers, study.paths


def study_from_files(files: Iterable[Path]) -> StudyFiles:
    """Group files by series and read the headers that identification looks at.

    Files that are not DICOM, and DICOM directories, are ignored. One that is cut off costs nothing here: should it be
    of a series that is chosen, reading that series tells.

    Raises
    ------
    GlioLoopError
        ``FILE_UNREADABLE`` where every file of DICOM is damaged.
    """
    listed: dict[str, list[ListedInstance]] = {}
    paths: dict[str, list[Path]] = {}
    damaged: list[Path] = []
    owners: dict[str, set[tuple[str, str]]] = {}
    for path in files:
        try:
            header = _brief(path)
        except GlioLoopError as error:
            last = error
            series = _series_of_cut_off(path)
            paths.setdefault(series, []).append(path) if series else damaged.append(path)
            continue
        if header is not None:
            uid = str(header.SeriesInstanceUID)
            listed.setdefault(uid, []).append(_listed(header, path))
            paths.setdefault(uid, []).append(path)
            owner = str(_value(header, "PatientID") or ""), str(_value(header, "StudyInstanceUID") or "")
            owners.setdefault(uid, set()).add(owner)
    if not listed and (damaged or paths):
        raise last
    headers = [header for uid in sorted(listed) for header in headers_of_series(uid, listed[uid], _full)]
    return StudyFiles(headers, {uid: sorted(paths[uid]) for uid in sorted(paths)}, damaged, owners)


def _series_of_cut_off(path: Path) -> str:
    """SeriesInstanceUID of a damaged file, empty where it is cut off before it."""
    after = Tag("SeriesInstanceUID")
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            header = read_partial(file, stop_when=lambda tag, _vr, _length: tag > after)
            return str(header.get("SeriesInstanceUID", ""))
    except Exception as error:  # pydicom raises many kinds on damaged files; all mean the same here
        raise_if_exhausted(error, "identify")
        return ""


def _listed(header: Dataset, path: Path) -> ListedInstance:
    cosines = list(_value(header, "ImageOrientationPatient") or [])
    row, column = triple_of(cosines[:3]), triple_of(cosines[3:])
    return ListedInstance(
        key=str(path),
        number=int(number_of(_value(header, "InstanceNumber")) or 0),
        frames=int(number_of(_value(header, "NumberOfFrames")) or 0),
        position=triple_of(_value(header, "ImagePositionPatient")),
        cosines=(row, column) if row and column else None,
        sop_class=str(_value(header, "SOPClassUID") or ""),
    )


def _value(header: Dataset, keyword: str) -> Any:
    try:
        return header.get(keyword)
    except Exception as error:  # pydicom raises many kinds on a malformed element, which counts as absent
        raise_if_exhausted(error, "identify")
        return None


def _brief(path: Path) -> Dataset | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = dcmread(path, stop_before_pixels=True, specific_tags=list(_LISTED))
            if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
                return None
            if not header.get("SeriesInstanceUID"):
                raise ValueError("no SeriesInstanceUID: the header is cut off")
            return header
    except InvalidDicomError:
        return None
    except Exception as error:  # pydicom raises many kinds on damaged files; all mean the same here
        raise_if_exhausted(error, "identify")
        raise GlioLoopError(
            "FILE_UNREADABLE", f"{path.name}: {type(error).__name__}.", {"cause": place_of(error)}
        ) from error


def _full(path: str) -> Dataset | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dcmread(path, stop_before_pixels=True)
    except Exception as error:  # pydicom raises many kinds on damaged files; all mean the same here
        raise_if_exhausted(error, "identify")
        return None
