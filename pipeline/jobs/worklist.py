"""Lists of jobs: searched, sorted and counted by the database, however many there are.

DBOS keeps a job as one row with its whole outcome inside, of which nothing can be asked quickly. What lists are
searched by stands in a row of the node's own (:data:`pipeline.database.tables.WORKLIST`), which follows DBOS's row
before every answer. Names of patients are no part of it: they are asked of Orthanc. Every way of asking is a part of
the same statement, which is why this file is long.
"""

import time
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

import sqlalchemy
from dbos import DBOSClient, WorkflowStatus
from sqlalchemy import ColumnElement, Engine, Row, Select, case, cast, func, or_, select, type_coerce
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex

from pipeline.case.job import JobView
from pipeline.corrections.review import ReviewState
from pipeline.database.tables import CASES, DECISIONS, WORKLIST
from pipeline.database.transactions import Tables, writing
from pipeline.jobs.queues import DEFAULT_PRIORITY, SEGMENT_WORKFLOW
from pipeline.jobs.request import acceptance_id
from pipeline.jobs.view import BROKEN
from pipeline.names import JobState, Region
from pipeline.records import Record

#: Of DBOS's rows.
_INDEX: Final = "glioloop_workflows_changed"
#: Jobs that are read at once.
_AT_ONCE: Final = 500
#: A row that has just changed may change again under the same time.
_JUST_NOW_MS: Final = 1000
#: What was urgent is first for so long, unless somebody has seen to it.
_URGENT_MS: Final = 24 * 3_600_000
_STATES: Final = tuple(JobState)
#: After every name: of a study that is gone there is none.
_NAMELESS: Final = chr(0x10FFFF)

#: From ids of studies to what they are sorted by where that is the patient.
Names = Callable[[set[str]], Mapping[str, str]]


class Order(StrEnum):
    """What a list is sorted by; jobs that are alike come latest first."""

    DATE = "date"
    URGENT = "urgent"
    STATE = "state"
    PATIENT = "patient"
    VOLUME = "ml"
    PRIORITY = "priority"


class WorklistQuery(Record):
    """Which jobs are listed.

    Attributes
    ----------
    study
        Orthanc's id of the only study.
    studies
        Orthanc's ids of all studies that come into question; None where all do.
    since, until
        First and last day on which the job was queued, by the node's clock.
    states, reviews
        Any of these; all where empty.
    flag
        A code, ``any`` or ``none``.
    least_ml, most_ml
        Bounds of the whole tumour's volume.
    urgent
        Only those that a rule or a person put before others.
    """

    study: str | None = None
    studies: tuple[str, ...] | None = None
    since: date | None = None
    until: date | None = None
    states: tuple[JobState, ...] = ()
    reviews: tuple[ReviewState, ...] = ()
    flag: str | None = None
    least_ml: float | None = None
    most_ml: float | None = None
    urgent: bool = False


class WorklistRow(Record):
    """What lists are searched by.

    Attributes
    ----------
    created
        When it was queued, ms since 1970.
    priority
        The lowest runs first.
    whole_ml
        Volume of the whole tumour.
    """

    job: str
    study: str
    state: JobState
    created: int
    priority: int
    whole_ml: float | None
    flags: tuple[str, ...]
    review: ReviewState


class WorklistCounts(Record):
    """How many jobs a query finds.

    Attributes
    ----------
    total
        All of them.
    states
        By state, whichever states the query names.
    flags
        Codes of all flags that results have, and how many have them, whatever the query.
    """

    total: int
    states: dict[JobState, int]
    flags: dict[str, int]


class Worklist:
    """What lists of jobs are searched by.

    Parameters
    ----------
    client
        The queue.
    engine
        Its database.
    views
        Shows jobs as people see them.
    """

    def __init__(
        self, client: DBOSClient, engine: Engine, views: Callable[[list[WorkflowStatus]], list[JobView]]
    ) -> None:
        self._client, self._engine, self._views = client, engine, views

    def make_index(self) -> None:
        """Let it be seen without reading every job which of them have changed."""
        table = self._workflows
        index = next((one for one in table.indexes if one.name == _INDEX), None)
        index = index or sqlalchemy.Index(_INDEX, table.c.name, table.c.updated_at, table.c.workflow_uuid)
        with writing(self._engine, Tables.ALL) as connection:
            connection.execute(CreateIndex(index, if_not_exists=True))

    def follow(self) -> None:
        """Bring the rows up to what has become of the jobs."""
        table = self._workflows
        stale = (
            select(table.c.workflow_uuid)
            .outerjoin(WORKLIST, WORKLIST.c.job == table.c.workflow_uuid)
            .where(
                table.c.name == SEGMENT_WORKFLOW,
                or_(WORKLIST.c.updated.is_(None), WORKLIST.c.updated != table.c.updated_at),
            )
        )
        with self._engine.connect() as connection:
            jobs = [str(job) for job in connection.execute(stale).scalars()]
        for first in range(0, len(jobs), _AT_ONCE):
            found = self._client.list_workflows(workflow_ids=jobs[first : first + _AT_ONCE], load_input=False)
            views = self._views(found)
            self._write([_row(status, view) for status, view in zip(found, views, strict=True)])

    def page(
        self,
        query: WorklistQuery,
        order: Order,
        limit: int,
        offset: int,
        names: Callable[[set[str]], Mapping[str, str]],
    ) -> list[str]:
        """Ids of the jobs of a page, in their order.

        Parameters
        ----------
        names
            What studies are sorted by where that is the patient, by their ids.
        """
        self.follow()
        found = self._matching(query, order is Order.URGENT)
        if order is Order.PATIENT:
            with self._engine.connect() as connection:
                rows = list(connection.execute(found.order_by(*self._sorted(Order.DATE))))
            return _by_name(rows, names)[offset : offset + limit]
        page = found.order_by(*self._sorted(order)).limit(limit).offset(offset)
        with self._engine.connect() as connection:
            return [str(row.job) for row in connection.execute(page)]

    def counts(self, query: WorklistQuery) -> WorklistCounts:
        """How many jobs there are."""
        self.follow()
        every = self._matching(query.model_copy(update={"states": ()})).subquery()
        by_state = select(every.c.state, func.count()).group_by(every.c.state)
        flags: dict[str, int] = {}
        flagged = select(WORKLIST.c.flags, func.count()).where(WORKLIST.c.flags != "").group_by(WORKLIST.c.flags)
        with self._engine.connect() as connection:
            states = {JobState(state): int(count) for state, count in connection.execute(by_state)}
            for codes, count in connection.execute(flagged):
                for code in codes.strip(",").split(","):
                    flags[code] = flags.get(code, 0) + int(count)
        total = sum(count for state, count in states.items() if not query.states or state in query.states)
        return WorklistCounts(total=total, states=states, flags=dict(sorted(flags.items())))

    def rows(self, query: WorklistQuery) -> list[WorklistRow]:
        """What is kept of every job that a query finds, latest first."""
        self.follow()
        row = WORKLIST.c
        found = self._matching(query, reviewed=True).add_columns(
            row.created, row.priority, row.whole_ml, row.flags, self._review().label("review")
        )
        with self._engine.connect() as connection:
            listed = connection.execute(found.order_by(*self._sorted(Order.DATE))).mappings()
            return [
                WorklistRow.model_validate(
                    dict(one) | {"flags": one["flags"].strip(",").split(",") if one["flags"] else ()}
                )
                for one in listed
            ]

    def forget(self, job: str) -> None:
        """Drop a job that is no more."""
        with self._engine.begin() as connection:
            for table in (WORKLIST, DECISIONS):
                connection.execute(sqlalchemy.delete(table).where(table.c.job == job))

    @property
    def _workflows(self) -> sqlalchemy.Table:
        table: sqlalchemy.Table = self._client._sys_db.tables.workflow_status
        return table

    def _write(self, rows: list[dict[str, str | int | float | None]]) -> None:
        if not rows:
            return
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        put = insert(WORKLIST)
        with self._engine.begin() as connection:
            connection.execute(put.on_conflict_do_update(index_elements=["job"], set_=dict(put.excluded)), rows)

    def _matching(self, query: WorklistQuery, reviewed: bool = False) -> Select[tuple[str, str, str]]:
        """Jobs that a query finds; ``reviewed`` where the review state is asked for, too."""
        row = WORKLIST.c
        found: Select[tuple[str, str, str]] = select(row.job, row.study, row.state)
        if reviewed or query.reviews:
            found = self._joined(found)
        conditions: list[ColumnElement[bool]] = []
        if query.study is not None:
            conditions.append(row.study == query.study)
        if query.studies is not None:
            # Written out: what Orthanc names its studies holds no quotes, and thousands are no parameters.
            conditions.append(
                row.study.in_(sqlalchemy.bindparam("studies", query.studies, expanding=True, literal_execute=True))
            )
        if query.since is not None:
            conditions.append(row.created >= _midnight_ms(query.since))
        if query.until is not None:
            conditions.append(row.created < _midnight_ms(query.until + timedelta(days=1)))
        if query.states:
            conditions.append(row.state.in_([one.value for one in query.states]))
        if query.reviews:
            conditions.append(self._review().in_([one.value for one in query.reviews]))
        if query.flag is not None:
            conditions.append(_flagged(query.flag))
        if query.least_ml is not None:
            conditions.append(row.whole_ml >= query.least_ml)
        if query.most_ml is not None:
            conditions.append(row.whole_ml <= query.most_ml)
        if query.urgent:
            conditions.append(row.priority < DEFAULT_PRIORITY)
        return found.where(*conditions)

    def _sorted(self, order: Order) -> list[ColumnElement[object]]:
        row = WORKLIST.c
        latest: list[ColumnElement[object]] = [row.created.desc(), row.job]
        if order is Order.URGENT:
            unseen = (ReviewState.NONE.value, ReviewState.AUTOMATIC.value, ReviewState.SENT.value)
            first = (
                (row.priority < DEFAULT_PRIORITY)
                & (row.created > time.time() * 1000 - _URGENT_MS)
                & (row.state != JobState.CANCELLED.value)
                & self._review().in_(unseen)
            )
            return [case((first, 0), else_=1), *latest]
        if order is Order.STATE:
            return [case({one.value: place for place, one in enumerate(_STATES)}, value=row.state), *latest]
        if order is Order.VOLUME:
            return [row.whole_ml.is_(None), row.whole_ml.desc(), *latest]
        return [row.priority, *latest] if order is Order.PRIORITY else latest

    def _joined(self, found: Select[tuple[str, str, str]]) -> Select[tuple[str, str, str]]:
        latest = self._latest_cases()
        return found.outerjoin(latest, latest.c.job == WORKLIST.c.job).outerjoin(
            DECISIONS, DECISIONS.c.job == WORKLIST.c.job
        )

    def _review(self) -> ColumnElement[str]:
        """Review state, as :func:`pipeline.corrections.review.reviews_of` tells it."""
        none = WORKLIST.c.delivery == ReviewState.NONE.value
        kind = self._latest_cases().c.kind
        accepting = self._workflows.alias("accepting").c
        failed = sqlalchemy.exists().where(
            accepting.workflow_uuid == acceptance_id("") + DECISIONS.c.job, accepting.status.in_(BROKEN)
        )
        verdict = case(
            ((DECISIONS.c.verdict == ReviewState.ACCEPTED.value) & failed, ReviewState.ACCEPT_FAILED.value),
            else_=DECISIONS.c.verdict,
        )
        return case((none, WORKLIST.c.delivery), else_=func.coalesce(kind, verdict, WORKLIST.c.delivery))

    def _latest_cases(self) -> sqlalchemy.Subquery:
        if not hasattr(self, "_cases"):
            read = cast if self._engine.dialect.name == "postgresql" else type_coerce
            record = read(CASES.c.record, sqlalchemy.JSON)
            job, received = record["job"].as_string(), record["received"].as_string()
            place = func.row_number().over(partition_by=job, order_by=received.desc()).label("place")
            every = select(job.label("job"), record["kind"].as_string().label("kind"), place).subquery()
            self._cases = select(every.c.job, every.c.kind).where(every.c.place == 1).subquery("latest_cases")
        return self._cases


def _flagged(flag: str) -> ColumnElement[bool]:
    """Jobs with a flag, with any or with none."""
    row = WORKLIST.c
    if flag == "none":
        return (row.flags == "") & (row.state == JobState.DONE.value)
    return row.flags != "" if flag == "any" else row.flags.contains(f",{flag},", autoescape=True)


def _row(status: WorkflowStatus, view: JobView) -> dict[str, str | int | float | None]:
    changed = int(status.updated_at or 0)
    # What a delivery may change, or what has just changed, is looked at again.
    settled = not (status.status == "SUCCESS" and view.state is JobState.RUNNING)
    settled = settled and abs(time.time() * 1000 - changed) > _JUST_NOW_MS
    delivery = ReviewState.NONE
    if view.has_objects:
        delivery = ReviewState.SENT if view.delivered else ReviewState.AUTOMATIC
    flags = sorted({flag.code for flag in view.result.flags}) if view.result else []
    return {
        "job": view.id,
        "study": view.study or "",
        "state": view.state.value,
        "created": int(status.created_at or 0),
        "updated": changed if settled else 0,
        "priority": int(status.priority or DEFAULT_PRIORITY),
        "delivery": delivery.value,
        "whole_ml": view.result.volumes_ml.get(Region.WT) if view.result else None,
        "flags": f",{','.join(flags)}," if flags else "",
    }


def _midnight_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day).astimezone().timestamp() * 1000)


def _by_name(listed: list[Row[tuple[str, str, str]]], names: Names) -> list[str]:
    known = names({row.study for row in listed})
    # Who has no name any more comes last.
    return [
        str(row.job) for row in sorted(listed, key=lambda row: (not known.get(row.study), known.get(row.study, "")))
    ]
