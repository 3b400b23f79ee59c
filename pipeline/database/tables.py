"""The node's own tables, beside DBOS's in the same database: SQLite by default, PostgreSQL where hosts share the work.

They are made and changed by :data:`MIGRATIONS`, in order, each once; the worker does it before anything else uses them.
"""

import hashlib
from typing import Final

import sqlalchemy
from sqlalchemy import BigInteger, Column, Engine, Float, LargeBinary, MetaData, String, Table, Text, insert, select

from pipeline.database.transactions import Tables, writing
from pipeline.errors import GlioLoopError

_METADATA: Final = MetaData()

MIGRATED: Final = Table("glioloop_migrations", _METADATA, Column("version", BigInteger, primary_key=True))
#: How far Orthanc's log of changes was followed: one row.
CURSOR: Final = Table(
    "glioloop_change_cursor", _METADATA, Column("log", String(32), primary_key=True), Column("sequence", BigInteger)
)
#: Studies looked at beyond the cursor: up to which change.
LOOKS: Final = Table(
    "glioloop_looks", _METADATA, Column("study", String(64), primary_key=True), Column("sequence", BigInteger)
)

#: Questions that were answered by jobs of which nothing else is kept: see
#: :attr:`pipeline.jobs.request.JobRequest.question`.
ANSWERED: Final = Table(
    "glioloop_answered",
    _METADATA,
    Column("study", String(64), primary_key=True),
    Column("question", String(32), primary_key=True),
    Column("job", String(64)),
)

#: The audit trail: each line as it was hashed, by its place; ``once`` is the hash of a key that comes only once.
AUDIT: Final = Table(
    "glioloop_audit",
    _METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("once", String(24)),
    Column("line", Text),
)
#: Number and hash of the trail's last line: one row.
AUDIT_HEAD: Final = Table(
    "glioloop_audit_head",
    _METADATA,
    Column("trail", String(32), primary_key=True),
    Column("number", BigInteger),
    Column("digest", String(64)),
)
#: The networks that were put to use and not taken back, oldest first; the last one is in use.
PROMOTIONS: Final = Table(
    "glioloop_promotions",
    _METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("model", String(255)),
    Column("at", String(40)),
)
#: The corrections that were kept: their records, and what is asked of them; ``bytes`` is what their files take.
CASES: Final = Table(
    "glioloop_cases",
    _METADATA,
    Column("id", String(32), primary_key=True),
    Column("patient", String(32)),
    Column("study", String(32)),
    Column("fingerprint", String(255)),
    Column("bytes", BigInteger),
    Column("record", Text),
)
#: Corrections that were dropped or deleted, oldest first.
GONE: Final = Table(
    "glioloop_cases_gone",
    _METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("id", String(32)),
    Column("at", String(40)),
    Column("why", String(32)),
    Column("fingerprint", String(255)),
)
#: Which patients are learnt from and which held back, for ever.
ROLES: Final = Table(
    "glioloop_roles", _METADATA, Column("patient", String(32), primary_key=True), Column("role", String(16))
)
#: What was decided about an object that lay in a study, by its Orthanc id and the digest of its content.
SEEN: Final = Table(
    "glioloop_seen",
    _METADATA,
    Column("instance", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("verdict", String(32)),
    Column("case_id", String(32)),
    Column("detail", Text),
    Column("at", String(40)),
)
#: Studies of patients' courses: Orthanc's id of the patient, and a pseudonym of the person; two may share a number.
COURSE: Final = Table(
    "glioloop_course",
    _METADATA,
    Column("study", String(64), primary_key=True),
    Column("patient", String(64)),
    Column("person", String(16)),
    Column("record", Text),
)
#: What searches for priors in other archives have come to, by Orthanc's id of the study that they are of.
SEARCHES: Final = Table(
    "glioloop_prior_searches", _METADATA, Column("study", String(64), primary_key=True), Column("record", Text)
)
#: Studies that were fetched as priors.
FETCHED: Final = Table("glioloop_fetched", _METADATA, Column("study", String(64), primary_key=True))
#: What belongs to the installation: its name, the key of its pseudonyms.
INSTALLATION: Final = Table(
    "glioloop_installation", _METADATA, Column("name", String(32), primary_key=True), Column("value", String(255))
)
#: Files of earlier versions whose content is in the tables, by their place in the state folder.
TAKEN_OVER: Final = Table(
    "glioloop_taken_over",
    _METADATA,
    Column("file", String(64), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("at", String(40)),
    Column("what", Text),
)
#: Workers of hosts that share the database, and how often each has given a sign of life.
WORKERS: Final = Table(
    "glioloop_workers", _METADATA, Column("executor", String(255), primary_key=True), Column("beat", BigInteger)
)
#: Folders that hosts which share nothing else need of each other, packed, by their place in the state folder.
FOLDERS: Final = Table(
    "glioloop_folders", _METADATA, Column("name", String(255), primary_key=True), Column("content", LargeBinary)
)
#: What lists of jobs are searched and sorted by: a row a job, made from DBOS's (:mod:`pipeline.jobs.worklist`).
WORKLIST: Final = Table(
    "glioloop_worklist",
    _METADATA,
    Column("job", String(64), primary_key=True),
    Column("study", String(64)),
    Column("state", String(16)),
    Column("created", BigInteger),
    Column("updated", BigInteger),
    Column("priority", BigInteger),
    Column("delivery", String(16)),
    Column("whole_ml", Float),
    Column("flags", Text),
)
#: What people decided about results in the dashboard: accepted, or sent back and why.
DECISIONS: Final = Table(
    "glioloop_decisions",
    _METADATA,
    Column("job", String(64), primary_key=True),
    Column("verdict", String(16)),
    Column("reason", Text),
    Column("by", String(64)),
    Column("at", String(40)),
)
#: The row of :data:`AUDIT_HEAD`, and what it holds before the first line.
TRAIL: Final = "node"
NO_DIGEST: Final = "0" * 64
#: A row of :data:`INSTALLATION`: the key in hexadecimal digits.
PSEUDONYM_KEY: Final = "pseudonym_key"

#: SQL that both databases understand. Never change one that was released: add the next.
MIGRATIONS: Final = (
    (
        "CREATE TABLE glioloop_change_cursor (log VARCHAR(32) PRIMARY KEY, sequence BIGINT NOT NULL)",
        "CREATE TABLE glioloop_looks (study VARCHAR(64) PRIMARY KEY, sequence BIGINT NOT NULL)",
    ),
    (
        "CREATE TABLE glioloop_answered (study VARCHAR(64), question VARCHAR(32), job VARCHAR(64) NOT NULL,"
        " PRIMARY KEY (study, question))",
    ),
    (
        "CREATE TABLE glioloop_taken_over (file VARCHAR(64), sha256 VARCHAR(64), at VARCHAR(40) NOT NULL,"
        " what TEXT NOT NULL, PRIMARY KEY (file, sha256))",
        "CREATE TABLE glioloop_audit (number BIGINT PRIMARY KEY, once VARCHAR(24) UNIQUE, line TEXT NOT NULL)",
        "CREATE TABLE glioloop_audit_head (trail VARCHAR(32) PRIMARY KEY, number BIGINT NOT NULL,"
        " digest VARCHAR(64) NOT NULL)",
        "INSERT INTO glioloop_audit_head (trail, number, digest)"
        " VALUES ('node', 0, '0000000000000000000000000000000000000000000000000000000000000000')",
        "CREATE TABLE glioloop_promotions (number BIGINT PRIMARY KEY, model VARCHAR(255) NOT NULL,"
        " at VARCHAR(40) NOT NULL)",
    ),
    (
        "CREATE TABLE glioloop_installation (name VARCHAR(32) PRIMARY KEY, value VARCHAR(255) NOT NULL)",
        "CREATE TABLE glioloop_cases (id VARCHAR(32) PRIMARY KEY, patient VARCHAR(32) NOT NULL,"
        " study VARCHAR(32) NOT NULL, fingerprint VARCHAR(255) NOT NULL, bytes BIGINT NOT NULL, record TEXT NOT NULL)",
        "CREATE INDEX glioloop_cases_study ON glioloop_cases (study)",
        "CREATE INDEX glioloop_cases_fingerprint ON glioloop_cases (fingerprint)",
        "CREATE TABLE glioloop_cases_gone (number BIGINT PRIMARY KEY, id VARCHAR(32) NOT NULL,"
        " at VARCHAR(40) NOT NULL, why VARCHAR(32) NOT NULL, fingerprint VARCHAR(255) NOT NULL)",
        "CREATE TABLE glioloop_roles (patient VARCHAR(32) PRIMARY KEY, role VARCHAR(16) NOT NULL)",
        "CREATE TABLE glioloop_seen (instance VARCHAR(64), digest VARCHAR(64), verdict VARCHAR(32) NOT NULL,"
        " case_id VARCHAR(32), detail TEXT NOT NULL, at VARCHAR(40) NOT NULL, PRIMARY KEY (instance, digest))",
    ),
    (
        "CREATE TABLE glioloop_course (study VARCHAR(64) PRIMARY KEY, patient VARCHAR(64) NOT NULL,"
        " person VARCHAR(16) NOT NULL, record TEXT NOT NULL)",
        "CREATE INDEX glioloop_course_patient ON glioloop_course (patient)",
    ),
    (
        "CREATE TABLE glioloop_prior_searches (study VARCHAR(64) PRIMARY KEY, record TEXT NOT NULL)",
        "CREATE TABLE glioloop_fetched (study VARCHAR(64) PRIMARY KEY)",
    ),
    (
        "CREATE TABLE glioloop_workers (executor VARCHAR(255) PRIMARY KEY, beat BIGINT NOT NULL)",
        # SQLite takes any name of a type.
        "CREATE TABLE glioloop_folders (name VARCHAR(255) PRIMARY KEY, content BYTEA NOT NULL)",
    ),
    (
        "CREATE TABLE glioloop_worklist (job VARCHAR(64) PRIMARY KEY, study VARCHAR(64) NOT NULL,"
        " state VARCHAR(16) NOT NULL, created BIGINT NOT NULL, updated BIGINT NOT NULL, priority BIGINT NOT NULL,"
        " delivery VARCHAR(16) NOT NULL, whole_ml DOUBLE PRECISION, flags TEXT NOT NULL)",
        "CREATE TABLE glioloop_decisions (job VARCHAR(64) PRIMARY KEY, verdict VARCHAR(16) NOT NULL,"
        ' reason TEXT NOT NULL, "by" VARCHAR(64) NOT NULL, at VARCHAR(40) NOT NULL)',
    ),
)


def migrate(engine: Engine) -> None:
    """Bring the tables up to this version; several workers may start at once."""
    with writing(engine, Tables.ALL) as connection:
        MIGRATED.create(connection, checkfirst=True)
        done = connection.execute(select(sqlalchemy.func.max(MIGRATED.c.version))).scalar() or 0
        for version, statements in enumerate(MIGRATIONS[done:], start=done + 1):
            for statement in statements:
                connection.execute(sqlalchemy.text(statement))
            connection.execute(insert(MIGRATED).values(version=version))


def require_migrated(engine: Engine) -> None:
    """Raise while a worker has not made every table.

    Raises
    ------
    GlioLoopError
        NODE_STARTING.
    """
    with engine.connect() as connection:
        there = sqlalchemy.inspect(connection).has_table(MIGRATED.name)
        done = connection.execute(select(sqlalchemy.func.max(MIGRATED.c.version))).scalar() if there else None
    if (done or 0) < len(MIGRATIONS):
        raise GlioLoopError("NODE_STARTING", "the worker is making the node's tables")


def once_key(event: str, subject: str, once: str) -> str | None:
    """Value of ``once`` in :data:`AUDIT`; None where an event may be written again."""
    return hashlib.blake2b("\0".join((event, subject, once)).encode(), digest_size=12).hexdigest() if once else None
