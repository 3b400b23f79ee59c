"""Asking other archives, and fetching from them: C-FIND and C-MOVE by Orthanc's own means.

How a modality hands out (C-MOVE, or C-GET where Orthanc knows it) is configured in Orthanc. Its retrievals are jobs of
its own, with a priority; one call here is one try, awaited to its end.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from pipeline.archive.client import HttpArchive
from pipeline.archive.forward import await_job
from pipeline.errors import GlioLoopError

Level = Literal["Study", "Series"]

#: Orthanc's own jobs have 0: what is sent and stored meanwhile goes first.
_LOW_PRIORITY: Final = -10
#: Of one association; an archive on tape takes its time to begin.
_ANSWER_SECONDS: Final = 50


@dataclass(frozen=True)
class Query:
    """What a modality answered; Orthanc keeps it until the end of :func:`asked`.

    Attributes
    ----------
    identity
        Orthanc's id of it.
    modality
        Orthanc's name of who answered.
    answers
        A record of attributes by keyword for each match.
    """

    identity: str
    modality: str
    answers: tuple[Mapping[str, str], ...]


@contextmanager
def asked(archive: HttpArchive, modality: str, level: Level, wanted: Mapping[str, str]) -> Iterator[Query]:
    """Ask a modality by C-FIND.

    Parameters
    ----------
    modality
        Name in Orthanc's ``DicomModalities``.
    wanted
        Values to match by keyword; an empty one asks for the attribute.

    Raises
    ------
    GlioLoopError
        MODALITY_UNKNOWN; QUERY_FAILED where it does not answer; ORTHANC_UNREACHABLE, ORTHANC_DENIED.
    """
    body = json.dumps({"Level": level, "Query": dict(wanted), "Timeout": _ANSWER_SECONDS})
    answer = _of_modality(modality, lambda: archive.post(f"/modalities/{modality}/query", body))
    if answer is None:
        raise GlioLoopError("MODALITY_UNKNOWN", modality)
    identity = str(answer["ID"])
    try:
        found = archive.get(f"/queries/{identity}/answers?expand&simplify") or []
        answers = tuple({key: str(value).strip() for key, value in one.items()} for one in found)
        yield Query(identity, modality, answers)
    finally:
        archive.delete(f"/queries/{identity}")


def retrieve(archive: HttpArchive, query: Query, places: Collection[int], timeout_seconds: float = 600) -> None:
    """Have some of a query's matches sent to this Orthanc, one after the other, after all else that it does.

    Raises
    ------
    GlioLoopError
        RETRIEVE_FAILED with what Orthanc says; ORTHANC_UNREACHABLE.
    """
    body = json.dumps({"Asynchronous": True, "Priority": _LOW_PRIORITY, "Timeout": _ANSWER_SECONDS})
    for place in places:
        path = f"/queries/{query.identity}/answers/{place}/retrieve"
        answer = _of_modality(query.modality, lambda path=path: archive.post(path, body))  # type: ignore[misc]
        if not answer:
            raise GlioLoopError("RETRIEVE_FAILED", f"{query.modality}: Orthanc has forgotten what was found")
        await_job(archive, str(answer["ID"]), timeout_seconds, "RETRIEVE_FAILED", query.modality)


def _of_modality(modality: str, request: Callable[[], dict[str, str] | None]) -> dict[str, str] | None:
    """Ask Orthanc for what it asks a modality for: an error of the server is most often the modality's."""
    try:
        return request()
    except GlioLoopError as error:
        if error.code == "ORTHANC_UNREACHABLE" and "http_status" in error.data:
            raise GlioLoopError("QUERY_FAILED", f"{modality}: {error.detail}") from error
        raise
