"""A case's identity is its content.

A stable event that fires twice, a re-sent study or a restart finds the job that is there already.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping

from pipeline import PIPELINE_VERSION


def study_prefix(study: str) -> str:
    """First characters that the jobs of a study share."""
    # DBOS finds workflows by a prefix of their id on every database, by attributes on PostgreSQL only.
    return hashlib.sha256(study.encode()).hexdigest()[:8]


def job_id(study: str, sop_instance_uids: list[str], model: str, options: Mapping[str, object], nonce: str = "") -> str:
    """Identity of a job: a hash of all that decides its result.

    Parameters
    ----------
    study
        Orthanc's id of the study; the jobs of one study share the first eight characters.
    sop_instance_uids
        SOP Instance UIDs of the input, any order.
    model
        ``name@version``.
    options
        JSON-serialisable options that change the result.
    nonce
        Something unique, for a run that is forced although its content is done.
    """
    content = json.dumps([sorted(sop_instance_uids), model, PIPELINE_VERSION, dict(options), nonce], sort_keys=True)
    return study_prefix(study) + hashlib.sha256(content.encode()).hexdigest()[:24]


def content_of(instances: Iterable[str], refused: str = "") -> str:
    """Hash of a job's images, whichever network sees them.

    Parameters
    ----------
    instances
        Orthanc's ids, any order.
    refused
        Why the study is refused before any network sees it; empty where it is not.
    """
    return hashlib.sha256(json.dumps([refused, sorted(instances)]).encode()).hexdigest()[:32]


def fresh_nonce() -> str:
    """Return a value that no other forced run has."""
    return secrets.token_hex(8)
