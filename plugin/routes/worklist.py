"""The worklist's REST API: jobs searched, sorted, counted, as a table, and those that failed run again."""

import csv
import io
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from pipeline.archive.study import find_study
from pipeline.corrections.review import ReviewState
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.worklist import Order, WorklistCounts, WorklistQuery
from pipeline.names import ENDED_JOBS, JobState
from pipeline.records.cells import harmless
from plugin.inside import PluginArchive
from plugin.node import Node
from plugin.routes.answers import Content
from plugin.routes.documents import RetriedJobs, ReviewedJob
from plugin.routes.handlers import Handlers
from plugin.routes.request import Request
from plugin.routes.table import WORKLIST_ROUTES

_MOST_JOBS: Final = 2000
#: Jobs that one command runs again.
_MOST_RETRIED: Final = 500
#: A search of patients that finds more says little.
_MOST_STUDIES: Final = 10_000
#: Studies that Orthanc is asked for in one call: it holds the interpreter's lock meanwhile.
_PAGE: Final = 200
#: So long names are taken for what they were.
_NAMES_SECONDS: Final = 600.0

_HEAD: Final = ("job", "study", "state", "review", "queued", "priority", "whole_tumour_ml", "flags")
_NAMES_HEAD: Final = ("patient_name", "patient_id", "study_date")


_Day = Annotated[date | None, Field(ge=date(1971, 1, 1), le=date(2999, 12, 31))]


def _parted(value: JsonValue) -> JsonValue:
    """Words between commas."""
    return [one for one in value.split(",") if one] if isinstance(value, str) else value


class ListOptions(BaseModel):
    """Which jobs are listed: the query string of the lists, and the body of what is done with them.

    Attributes
    ----------
    patient
        Part of a patient's name or number; ``*`` and ``?`` as in DICOM.
    since, until, dated
        Days, both included, on which the job was queued, or of the study.
    """

    model_config = ConfigDict(extra="ignore")

    study: str | None = Field(default=None, max_length=64)
    patient: str = Field(default="", max_length=64)
    since: _Day = Field(default=None, alias="from")
    until: _Day = Field(default=None, alias="to")
    dated: Literal["queued", "study"] = "queued"
    state: Annotated[tuple[JobState, ...], BeforeValidator(_parted)] = ()
    review: Annotated[tuple[ReviewState, ...], BeforeValidator(_parted)] = ()
    flag: str | None = Field(default=None, pattern=r"^([A-Z][A-Z0-9_]{0,63}|any|none)$")
    least_ml: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    most_ml: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    urgent: bool = False
    sort: Order = Order.DATE
    names: bool = False


class RetryOptions(ListOptions):
    """Body of ``POST /glioloop/jobs/retry``: jobs by their ids, or all that failed and match."""

    model_config = ConfigDict(extra="forbid")

    jobs: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")], ...] | None = Field(
        default=None, max_length=_MOST_RETRIED
    )


class WorklistRoutes(Handlers):
    """Handlers of lists of jobs."""

    routes = WORKLIST_ROUTES

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._names = StudyNames(self._archive)

    def jobs(self, request: Request) -> tuple[int, tuple[ReviewedJob, ...]]:
        """List jobs, latest first unless told otherwise."""
        queue, options = self.queue(), _options(request)
        limit, offset = request.number("limit", 100, _MOST_JOBS), request.number("offset", 0, 10**6)
        query = self._query(options)
        if query == WorklistQuery(study=query.study) and options.sort is Order.DATE:
            # Nothing is searched for: DBOS's own order, which needs nothing to be written.
            return 200, self.reviewed(queue.jobs(query.study, limit, offset))
        page = queue.worklist.page(query, options.sort, limit, offset, self._names.sorted_by)
        return 200, self.reviewed(queue.jobs_of(page))

    def counts(self, request: Request) -> tuple[int, WorklistCounts]:
        """Count jobs by state."""
        return 200, self.queue().worklist.counts(self._query(_options(request)))

    def table(self, request: Request) -> tuple[int, Content]:
        """Answer every job that is found as a table; patients only where they are asked for."""
        options = _options(request)
        rows = self.queue().worklist.rows(self._query(options))
        people = self._names.of({row.study for row in rows}) if options.names else {}
        text = io.StringIO()
        write = csv.writer(text).writerow
        write((*_HEAD, *(_NAMES_HEAD if options.names else ())))
        for row in rows:
            queued = datetime.fromtimestamp(row.created / 1000, UTC).isoformat(timespec="seconds")
            volume = "" if row.whole_ml is None else f"{row.whole_ml:.3f}"
            told = (row.job, row.study, row.state, row.review, queued, row.priority, volume, " ".join(row.flags))
            write((*told, *map(harmless, people.get(row.study, ("",) * 3) if options.names else ())))
        headers = {"Content-Disposition": 'attachment; filename="worklist.csv"', "Cache-Control": "no-store"}
        return 200, Content(text.getvalue().encode(), "text/csv; charset=utf-8", headers)

    def retry(self, request: Request) -> tuple[int, RetriedJobs]:
        """Run jobs again that ended without a result: those named, else all that failed and match."""
        queue, options = self.queue(), request.options(RetryOptions)
        if options.jobs is None:
            query = self._query(options.model_copy(update={"state": options.state or (JobState.FAILED,)}))
            jobs = queue.worklist.page(query, Order.DATE, _MOST_RETRIED, 0, self._names.sorted_by)
        else:
            jobs = list(dict.fromkeys(options.jobs))
        retried, refused = [], {}
        for identity in jobs:
            job = queue.job(identity)
            if job is None:
                refused[identity] = ErrorRecord.of(GlioLoopError("JOB_UNKNOWN", identity))
            elif job.state not in ENDED_JOBS - {JobState.DONE}:
                refused[identity] = ErrorRecord.of(GlioLoopError("JOB_STATE", job.state))
            else:
                queue.retry(identity)
                retried.append(identity)
        return 202, RetriedJobs(retried=tuple(retried), refused=refused)

    def _query(self, options: ListOptions) -> WorklistQuery:
        by_study_date = options.dated == "study" and (options.since or options.until)
        wanted = self._names.find(options.patient, *((options.since, options.until) if by_study_date else (None, None)))
        return WorklistQuery(
            study=find_study(self._archive, options.study).orthanc_id if options.study else None,
            studies=wanted,
            since=None if by_study_date else options.since,
            until=None if by_study_date else options.until,
            states=options.state,
            reviews=options.review,
            flag=options.flag,
            least_ml=options.least_ml,
            most_ml=options.most_ml,
            urgent=options.urgent,
        )


_QUERY: Final = TypeAdapter(ListOptions)


def _options(request: Request) -> ListOptions:
    """The query string; what is left empty is not asked for.

    Raises
    ------
    GlioLoopError
        REQUEST_INVALID.
    """
    given = {name: value for name, value in request.query.items() if value != ""}
    try:
        return _QUERY.validate_python(given)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))[:100]}: {e['msg']}" for e in error.errors(include_input=False)[:10]]
        raise GlioLoopError("REQUEST_INVALID", "; ".join(wrong)) from None


class StudyNames:
    """Who studies are of: asked of Orthanc, kept in memory alone.

    Parameters
    ----------
    archive
        Orthanc.
    """

    def __init__(self, archive: PluginArchive) -> None:
        self._archive = archive
        self._known: dict[str, tuple[str, str, str]] = {}
        self._asked = 0.0

    def find(self, patient: str, since: date | None, until: date | None) -> tuple[str, ...] | None:
        """Orthanc's ids of the studies of a patient, or of some days; None where neither is asked for.

        Raises
        ------
        GlioLoopError
            REQUEST_INVALID where that says too little.
        """
        words = [one for one in re.split(r"[\s,^\\=]+", patient) if one]
        further: dict[str, str] = {}
        if since or until:
            further["StudyDate"] = "-".join(f"{one:%Y%m%d}" if one else "" for one in (since, until))
        if not words and not further:
            return None
        named = f"*{'*'.join(words)}*"
        asked = [{"PatientName": named}, {"PatientID": named}] if words else [{}]
        found: set[str] = set()
        for one in asked:
            query = {"Level": "Study", "CaseSensitive": False, "Limit": _MOST_STUDIES + 1, "Query": one | further}
            found.update(self._archive.post("/tools/find", json.dumps(query)) or ())
        if len(found) > _MOST_STUDIES:
            raise GlioLoopError("REQUEST_INVALID", f"patient, from, to: more than {_MOST_STUDIES} studies")
        return tuple(sorted(found))

    def of(self, studies: set[str]) -> Mapping[str, tuple[str, str, str]]:
        """Name, number and date of studies by their ids; of studies that are gone none."""
        if time.monotonic() - self._asked > _NAMES_SECONDS:
            self._known = {}
        if studies - self._known.keys():
            self._look(studies)
        return self._known

    def sorted_by(self, studies: set[str]) -> Mapping[str, str]:
        """What studies are sorted by: name, then number."""
        return {
            study: f"{name}\0{number}".casefold()
            for study, (name, number, _) in self.of(studies).items()
            if name + number
        }

    def _look(self, wanted: set[str]) -> None:
        since = 0
        while page := self._archive.get(f"/studies?expand&since={since}&limit={_PAGE}"):
            for one in page:
                patient, study = one.get("PatientMainDicomTags", {}), one.get("MainDicomTags", {})
                told = (patient.get("PatientName", ""), patient.get("PatientID", ""), study.get("StudyDate", ""))
                self._known[one["ID"]] = told
            since += len(page)
        for study in wanted - self._known.keys():
            self._known[study] = ("", "", "")
        self._asked = time.monotonic()
